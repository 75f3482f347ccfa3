"""How large the inner gradients of a trained regression learner are, which its limit is set by.

    python benchmarks/inner_gradients.py --checkpoint=pretrained/regression_2mode/multi_maml-seed0

Prints percentiles, over fresh tasks, of each task's global gradient norm at the first inner step,
where no limit has had a say yet (`--inner_clip_norm`).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from flags.common import FLAGS
from mmaml_tf.meta_learners import MetaLearner
from mmaml_tf.run_folder import RunFolder
from mmaml_tf.tasks import TaskBatch, TaskStream
from run_experiment import held_run, registered_domains

PERCENTILES = (50, 90, 99, 99.9, 100)
BATCH = 600


@tf.function
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
    parser.add_argument("--num_tasks", type=int, default=12_000, help=f"rounded up to {BATCH}s")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    FLAGS(["inner_gradients"])
    folder = RunFolder(Path(args.checkpoint))
    config, registration = held_run(registered_domains(), folder)
    domain = registration.build(config)
    learner = domain.build_learner()
    domain.restore(learner, folder)
    points = (config.num_shots, config.num_queries)
    norms = np.concatenate(
        [
            first_step_norms(
                learner, domain.tasks.sample(TaskStream.EVALUATION, args.seed, i, BATCH, *points)
            )
            for i in range(-(-args.num_tasks // BATCH))
        ]
    )
    print(f"inner gradient norms of {len(norms)} tasks (limit {config.inner_clip_norm}):")
    for percentile, norm in zip(PERCENTILES, np.percentile(norms, PERCENTILES), strict=True):
        print(f"  {percentile:5} %  {norm:9.1f}")


if __name__ == "__main__":
    main()
