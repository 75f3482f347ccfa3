"""How well an untrained task encoder of reinforcement learning tells the goal's mode.

    python benchmarks/encoder_modes.py [--domain=cheetah_speed] [--num_tasks=320]

One episode of the untrained policy per task goes through each kind of encoder, weights random.
Prints the accuracy of a linear classifier of its embedding v (logistic regression, five-fold; 0.5
is chance), and how far apart the two modes' mean v are, in deviations within a mode. What is lost
here, the meta-gradient has to find first.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.goals import GOALS
from data.reinforcement import DOMAINS
from registry import find


def main() -> None:
    """Measures and prints."""
    of_two = sorted(name for name, goals in GOALS.items() if len(goals.mode_names) == 2)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", choices=of_two, default="cheetah_speed")
    parser.add_argument("--num_tasks", type=int, default=320)
    args = parser.parse_args()

    from mmaml_tf import encoders
    from mmaml_tf.rl.config import RlConfig, paper_settings

    goals = GOALS[args.domain]
    for encoder in encoders.of("rl"):
        settings = paper_settings(args.domain, "mumomaml", goals.mode_names)
        settings |= dict(reward=next(iter(DOMAINS[args.domain].environments)))
        config = RlConfig(**(settings | dict(encoder=encoder, rollouts=1)))
        domain = find(args.domain).build(config)
        learner = domain.build_learner()
        rng = np.random.default_rng(0)
        drawn, modes = goals.sample(rng, args.num_tasks)
        v = learner.adapt_to(domain.tasks(drawn, rng), 0).embedding.numpy()
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        accuracy = cross_val_score(classifier, v, modes, cv=5).mean()
        one, other = v[modes == 0], v[modes == 1]
        within = np.sqrt((one.var(0).sum() + other.var(0).sum()) / 2)
        apart = np.linalg.norm(one.mean(0) - other.mean(0)) / within
        print(f"{args.domain} {encoder}: accuracy {accuracy:.3f}, modes {apart:.2f} apart")


if __name__ == "__main__":
    main()
