"""The least error that any learner can have on the regression tasks, and where it comes from.

    python benchmarks/bayes_floor.py --domain=regression_2mode

The Bayes-optimal predictor knows the families, their priors and the noise, and predicts the
posterior mean given a task's K noisy points: here by importance sampling, from functions drawn of
every family and weighted by the likelihood of the points. It is scored like a learner, on noisy
query points of fresh tasks. `told the mode`: the true family alone, as Multi-MAML is told it.

With finitely many draws it is a predictor like any other, so its expected error is not below the
floor but a little above; more --draws bring it closer. The effective number of draws is that of the
true family.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.families import Family
from data.regression import MIXTURES, Mixture
from mmaml_tf.evaluation import TaskResults, summarise
from mmaml_tf.experiment import steps_table
from mmaml_tf.tasks import Examples, TaskStream

PERCENTILES = (50, 90, 99, 99.9)
# Tasks of each mode at a time, which bounds the memory; support and query points, as published.
CHUNK, NUM_SHOTS, NUM_QUERIES = 6, 5, 5


def posterior_mean(
    family: Family, noise_stddev: float, support: Examples, query_x: tf.Tensor, draws: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """E[f(query_x) | support, family], by self-normalised importance sampling from the prior.

    Args:
      family: the functions.
      noise_stddev: of the targets.
      support: [tasks, K, 1].
      query_x: [tasks, N, 1].
      draws: functions drawn, the same for all tasks.

    Returns:
      Predictions [tasks, N], log evidence log p(support | family) up to a constant [tasks], and
      the effective number of draws [tasks].
    """
    parameters = {
        name: prior.sample([draws, 1, 1], tf.constant([7, index]))
        for index, (name, prior) in enumerate(family.priors.items())
    }

    def values(x: tf.Tensor) -> tf.Tensor:
        """Every drawn function at x [tasks, points, 1]: [draws, tasks, points]."""
        drawn = family.function(tf.reshape(x, [1, -1, 1]), **parameters)
        return tf.reshape(drawn, [draws, *x.shape[:2]])

    squared = tf.reduce_sum((values(support.x) - support.y[..., 0]) ** 2, -1)
    log_weights = -squared / (2 * noise_stddev**2)
    weights = tf.nn.softmax(log_weights, 0)
    predictions = tf.einsum("dt,dtn->tn", weights, values(query_x))
    evidence = tf.reduce_logsumexp(log_weights, 0) - math.log(draws)
    return predictions, evidence, 1 / tf.reduce_sum(weights**2, 0)


def errors(mixture: Mixture, index: tf.Tensor, draws: int) -> tuple[tf.Tensor, ...]:
    """The optimal predictor on a chunk of tasks.

    The mixture's posterior mean weighs the families' by their evidence.

    Returns:
      Its errors, the same told the mode, the modes, the effective draws: each [tasks].
    """
    batch = mixture.sample(
        TaskStream.EVALUATION, 1, index, CHUNK * len(mixture.families), NUM_SHOTS, NUM_QUERIES
    )
    by_family = [
        posterior_mean(family, mixture.noise_stddev, batch.support, batch.query.x, draws)
        for family in mixture.families
    ]
    predictions, evidence, effective = (tf.stack(part, 1) for part in zip(*by_family, strict=True))
    posterior = tf.nn.softmax(evidence, 1)
    told = tf.one_hot(batch.mode, len(mixture.families))
    target = batch.query.y[..., 0]
    scored = [
        tf.reduce_mean((tf.einsum("tf,tfn->tn", weights, predictions) - target) ** 2, 1)
        for weights in (posterior, told)
    ]
    return *scored, batch.mode, tf.reduce_sum(told * effective, 1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", choices=MIXTURES, default="regression_2mode")
    parser.add_argument("--num_tasks", type=int, default=6_000)
    parser.add_argument("--draws", type=int, default=100_000)
    args = parser.parse_args()

    mixture = MIXTURES[args.domain]
    if mixture.noise_stddev == 0:
        parser.error(f"{args.domain} has no noise, so its floor is 0")
    size = CHUNK * len(mixture.families)
    step = tf.function(lambda index: errors(mixture, index, args.draws))
    chunks = [step(tf.constant(index)) for index in range(-(-args.num_tasks // size))]
    unknown, told, modes, effective = (np.concatenate(part) for part in zip(*chunks, strict=True))
    losses = np.stack([unknown, told], 1)
    names = ["mode unknown", "told the mode"]
    table = steps_table(summarise(TaskResults(losses, modes, None), mixture.mode_names, "mse"))
    print(f"mean squared error on {len(losses)} tasks")
    print(table.set_axis(names).to_string())
    percentiles = pd.DataFrame(np.percentile(losses, PERCENTILES, 0).T, names, PERCENTILES)
    print(f"percentiles\n{percentiles.round(3).to_string()}")
    typical, least = np.percentile(effective, (50, 1))
    print(f"effective draws: median {typical:.0f}, 1% below {least:.0f}")


if __name__ == "__main__":
    main()
