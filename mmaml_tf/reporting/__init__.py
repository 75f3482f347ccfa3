"""What is made of trained runs: evaluations, figures, reports."""
