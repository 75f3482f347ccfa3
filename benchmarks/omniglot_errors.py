"""Over fresh tasks, how a trained Omniglot classifier's errors are spread.

    python benchmarks/omniglot_errors.py --checkpoint=pretrained/omniglot/maml-5way-5shot-seed0

Says which share of the tasks has an error at all, and which share of the errors lies in the worst
tasks: whether accuracy is lost a little everywhere, or in few tasks whose classes look alike.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.trained import trained
from flags.omniglot_config import OmniglotConfig

WORST = (0.01, 0.02, 0.05, 0.1, 0.2)


def part_in_worst(errors: np.ndarray, share: float) -> float:
    """Which part of the tasks' summed errors [tasks] is in the worst `share` of the tasks."""
    worst = np.sort(errors)[::-1][: max(1, round(share * len(errors)))]
    return worst.sum() / errors.sum()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="a run's folder")
    parser.add_argument("--eval_tasks", type=int, default=2_000)
    args = parser.parse_args()
    domain, learner = trained(args.checkpoint, OmniglotConfig, eval_tasks=args.eval_tasks)
    errors = 1 - domain.evaluate(learner).scores[:, domain.config.eval_steps]
    print(f"mean error {errors.mean():.2%}; tasks with an error {(errors > 1e-6).mean():.1%}")
    for share in WORST:
        print(f"worst {share:4.0%} of the tasks: {part_in_worst(errors, share):4.0%} of the errors")


if __name__ == "__main__":
    main()
