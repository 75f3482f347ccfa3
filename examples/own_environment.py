"""Meta-reinforcement learning in an environment of one's own, through the ordinary command.

python examples/own_environment.py --domain=reach --preset=quick

The task is the goal that `reset` takes from its options; the agent does not see it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import gymnasium
import numpy as np

import run_experiment
from data.goal_distributions import UniformGoals
from data.reinforcement import DOMAINS, Reinforcement


class Reach(gymnasium.Env):
    """A cart on a track that should stand at a goal."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))  # position, speed
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))  # push

    def reset(
        self, *, seed: int | None = None, options: dict | None = None
    ) -> tuple[np.ndarray, dict]:
        """Back to the middle, and on to the next goal."""
        super().reset(seed=seed)
        self.goal = (options or {}).get("goal", np.ones(1))
        self.state = self.np_random.normal(0.0, 0.01, 2).astype(np.float32)
        return self.state, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """The push of a tenth of a second, against friction."""
        position, speed = self.state
        speed = 0.9 * speed + 0.1 * action[0]
        self.state = np.array([position + 0.1 * speed, speed], np.float32)
        return self.state, -abs(float(self.state[0] - self.goal[0])), False, False, {}


gymnasium.register("Reach-v0", Reach, max_episode_steps=50)
DOMAINS["reach"] = Reinforcement(
    "Reach-v0",
    UniformGoals(("left", "right"), low=((-2.0,), (1.0,)), high=((-1.0,), (2.0,))),
    dict(meta_batch_size=20, rollouts=10),
)

if __name__ == "__main__":
    sys.exit(run_experiment.main())
