"""Meta-reinforcement learning: policies, policy gradients, rollouts and the TRPO meta-optimiser."""
