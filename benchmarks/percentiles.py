"""Over fresh tasks, the percentiles of a trained regression learner's errors and inner gradients.

    python benchmarks/percentiles.py --checkpoint=pretrained/regression_2mode/multi_maml-seed0

The mean error of few-shot regression is carried by few tasks, whose points fit another function as
well; the median says what an ordinary task gets. The gradient norm is each task's, all layers
together, at the first inner step, where no limit has had a say yet (`--inner_clip_norm`).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.trained import trained
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.regression.config import RegressionConfig
from mmaml_tf.tasks import Draw, TaskBatch, TaskStream

PERCENTILES = (50, 90, 99, 99.9, 99.99)
BATCH = 600


@tf.function(autograph=False)
def first_step_norms(learner: MetaLearner, batch: TaskBatch) -> tf.Tensor:
    """|grad L(f(x; theta, tau); D_train)| of every task, all layers together: [tasks]."""
    support, network = batch.support, learner.network
    tau, _ = learner.modulate(support)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        outputs, trace = network.forward(support.x, network.prior(), tau, watch=tape.watch)
        total = tf.reduce_sum(learner.task_loss(support.y, outputs))
    gradients = network.gradients(trace, tape.gradient(total, network.leaves(trace)))
    return tf.sqrt(tf.add_n([gradient.squared_norm() for gradient in gradients]))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="a run's folder")
    parser.add_argument("--gradient_tasks", type=int, default=12_000, help=f"in batches of {BATCH}")
    parser.add_argument("--eval_tasks", type=int, default=90_000)
    parser.add_argument("--inner_clip_norm", type=float, help="instead of the run's; 0 for none")
    args = parser.parse_args()

    domain, learner = trained(
        args.checkpoint,
        RegressionConfig,
        eval_tasks=args.eval_tasks,
        inner_clip_norm=args.inner_clip_norm,
    )
    config = domain.config

    points = (config.num_shots, config.num_queries)
    norms = [
        first_step_norms(
            learner,
            domain.tasks.sample(Draw(TaskStream.EVALUATION, config.eval_seed, i, BATCH), *points),
        )
        for i in range(-(-args.gradient_tasks // BATCH))
    ]
    losses = domain.evaluate(learner).scores
    print(f"mean error {losses[:, 0].mean():.4f}, after the steps {losses[:, -1].mean():.4f}")
    print(f"{'percentile':>16}" + "".join(f"{p:>10}" for p in PERCENTILES))
    for name, values in (
        ("error before", losses[:, 0]),
        (f"after {config.inner_steps} steps", losses[:, -1]),
        ("gradient norm", np.concatenate(norms)),
    ):
        print(f"{name:>16}" + "".join(f"{v:10.3f}" for v in np.percentile(values, PERCENTILES)))


if __name__ == "__main__":
    main()
