"""Meta-learners: Algorithm 1, one file per method."""
