"""The least error that any learner can have on the regression tasks, and where it comes from.

    python benchmarks/bayes_floor.py --domain=regression_2mode [--checkpoint=RUN ...]

The Bayes-optimal predictor knows the families, their priors and the noise, and predicts the
posterior mean given a task's K noisy points: here by importance sampling, from functions drawn of
every family and weighted by the likelihood of the points. It is scored like a learner, on noisy
query points of fresh tasks. `told the mode`: the true family alone, as Multi-MAML is told it.

With finitely many draws it is a predictor like any other, so its expected error is not below the
floor but a little above; more --draws bring it closer. The effective number of draws is that of the
true family.

The last table says which tasks the error comes from: those whose points tell the mode, or those
that fit another one as well. It sorts them by the posterior probability of the true mode, and gives
each sort's part of the mean error, for the optimal predictor and for trained learners
(`--checkpoint`, any number of times). The columns add up to the mean errors.
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.trained import trained
from data.families import Family
from data.regression import MIXTURES, Mixture
from mmaml_tf.learners.losses import mean_squared_error
from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.regression.config import RegressionConfig
from mmaml_tf.reporting.actions import steps_table
from mmaml_tf.reporting.evaluation import TaskResults, step_scores, summarise
from mmaml_tf.tasks import Draw, Examples, TaskStream

PERCENTILES = (50, 90, 99, 99.9)
# Upper bounds of the sorts of tasks, in posterior probability of the true mode.
MODE_PROBABILITIES = (0.5, 0.9, 0.99, 1.0)
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


def errors(
    mixture: Mixture, index: tf.Tensor, draws: int, learners: Sequence[MetaLearner] = ()
) -> tuple[tf.Tensor, ...]:
    """The optimal predictor, and trained learners after their last step, on a chunk of tasks.

    The mixture's posterior mean weighs the families' by their evidence.

    Returns:
      Errors of the optimal predictor, of the same told the mode, and of the learners, [tasks, ...];
      and each [tasks]: the modes, the effective draws, the posterior probability of the mode.
    """
    draw = Draw(TaskStream.EVALUATION, 1, index, CHUNK * len(mixture.families))
    batch = mixture.sample(draw, NUM_SHOTS, NUM_QUERIES)
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
    for learner in learners:
        scored.append(step_scores(learner, mean_squared_error, batch)[0][:, -1])
    true_family = [tf.reduce_sum(told * values, 1) for values in (effective, posterior)]
    return tf.stack(scored, 1), batch.mode, *true_family


def parts_by_ambiguity(
    losses: np.ndarray, probabilities: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """Each sort's share of the tasks and its part of every mean error.

    Args:
      losses: [tasks, len(names)].
      probabilities: posterior, of the true mode, [tasks].
      names: of the predictors.
    """
    sort = np.searchsorted(MODE_PROBABILITIES, probabilities.clip(0, 1))
    rows = {}
    for index, upper in enumerate(MODE_PROBABILITIES):
        chosen = sort == index
        share = {"share of tasks": chosen.mean()}
        parts = losses[chosen].sum(0) / len(losses)
        rows[f"up to {upper:g}"] = share | dict(zip(names, parts, strict=True))
    return pd.DataFrame.from_dict(rows, orient="index")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--domain", choices=MIXTURES, default="regression_2mode")
    parser.add_argument("--num_tasks", type=int, default=6_000)
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument(
        "--checkpoint", action="append", default=[], help="a run's folder; may be repeated"
    )
    args = parser.parse_args()

    mixture = MIXTURES[args.domain]
    if mixture.noise_stddev == 0:
        parser.error(f"{args.domain} has no noise, so its floor is 0")
    names, learners = ["mode unknown", "told the mode"], []
    for path in args.checkpoint:
        domain, learner = trained(path, RegressionConfig)
        if domain.config.domain != args.domain:
            parser.error(f"{path} is a run of {domain.config.domain}, not of {args.domain}")
        names.append(Path(path).name)
        learners.append(learner)
    size = CHUNK * len(mixture.families)
    step = tf.function(lambda index: errors(mixture, index, args.draws, learners))
    chunks = [step(tf.constant(index)) for index in range(-(-args.num_tasks // size))]
    losses, modes, effective, true_mode = map(np.concatenate, zip(*chunks, strict=True))
    table = steps_table(summarise(TaskResults(losses, modes, None), mixture.mode_names, "mse"))
    print(f"mean squared error on {len(losses)} tasks")
    print(table.set_axis(names).to_string())
    percentiles = pd.DataFrame(np.percentile(losses, PERCENTILES, 0).T, names, PERCENTILES)
    print(f"percentiles\n{percentiles.round(3).to_string()}")
    print("part of the mean error, by the posterior probability of the true mode")
    print(parts_by_ambiguity(losses, true_mode, names).round(4).to_string())
    typical, least = np.percentile(effective, (50, 1))
    print(f"effective draws: median {typical:.0f}, 1% below {least:.0f}")


if __name__ == "__main__":
    main()
