"""The reinforcement-learning domains: wires environment, policy, encoder, TRPO and figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from mmaml_tf import methods
from mmaml_tf.config import RunConfig
from mmaml_tf.reporting import evaluation, figures, seeds
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.rl.animation import save_policy_animation
from mmaml_tf.rl.config import EVALUATION_BATCH, RlConfig
from mmaml_tf.rl.figures import navigation_trajectories
from mmaml_tf.rl.meta_trpo import MetaTrpo, no_update
from mmaml_tf.rl.policy_learner import MetaUpdate, PolicyLearner
from mmaml_tf.rl.policy_method import PolicyMethod
from mmaml_tf.rl.rollouts import Rollouts
from mmaml_tf.rl.sampler import Sampler
from mmaml_tf.rl.tasks import GoalTasks
from mmaml_tf.tasks import TaskStream
from mmaml_tf.training import fit
from mmaml_tf.training.callbacks import Validation
from mmaml_tf.training.run_folder import RunFolder

METRIC = "return"
LABEL = "mean return"
# The best training return picks the model ([MAML]), as it is after the update that followed. The
# mean over so many logging intervals decides: one batch of tasks says little (choice).
PICKED_BY = 5
# Tasks, of modes in turn, and rollouts whose positions an evaluation keeps for the figures.
FIGURE_TASKS, FIGURE_ROLLOUTS = 4, 5


class Goals(Protocol):
    """What this domain asks of a goal distribution (`data.goal_distributions` has some)."""

    def sample(
        self, seed: np.random.Generator, num_tasks: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Goals [num_tasks, dim] and their modes [num_tasks], which alternate: 0, 1, ..., 0, ..."""

    def density(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """p(g) at points [..., dim]."""


class RlResults(NamedTuple):
    """What an evaluation measured.

    Attributes:
      tasks: every task's mean return after 0, 1, ..., S steps.
      shown_goals: of a few tasks, [tasks, dim].
      shown_rollouts: a few episodes of those tasks after each number of steps.
    """

    tasks: evaluation.TaskResults
    shown_goals: npt.NDArray[np.float64]
    shown_rollouts: list[Rollouts]


class RlDomain:
    """Meta-reinforcement learning on an environment whose goals are drawn from a distribution.

    Args:
      config: of the run.
      env_id: a registered environment; see `Sampler`.
      goals: the goal distribution.
      vectorization: see `Sampler`.
    """

    def __init__(self, config: RlConfig, env_id: str, goals: Goals, vectorization: str = "sync"):
        self.config = config
        self.goals = goals
        self.method = method_of(config)
        any_goal = goals.sample(np.random.default_rng(0), len(config.modes))[0][0]
        self.sampler = Sampler(env_id, any_goal, self.method.observes_goal, vectorization)

    def build_learner(self) -> PolicyLearner:
        """A learner with freshly initialised weights, ready to train."""
        config = self.config
        keras.utils.set_random_seed(config.seed)
        learner = self.method.build(
            config,
            self.sampler,
            discount=config.discount,
            gae_lambda=config.gae_lambda,
            draw_tasks=self.training_tasks,
            meta_update=self.meta_update(),
        )
        # The optimizer counts iterations; the step is the meta-update's.
        learner.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=True)
        learner.optimizer.build(learner.trainable_variables)
        return learner

    def meta_update(self) -> MetaUpdate:
        """TRPO as the run's settings say, or none where the method has none."""
        if not self.config.has("meta_update"):
            return no_update
        return MetaTrpo(**self.config.group("meta_update"))

    def tasks(
        self, goals: npt.NDArray[np.float64], rng: np.random.Generator, rollouts: int | None = None
    ) -> GoalTasks:
        """The tasks of these goals, to act in as the run's settings say, or in so many episodes."""
        config = self.config
        return GoalTasks(
            self.sampler,
            goals,
            rng.spawn(len(goals)),
            rollouts or config.rollouts,
            config.embedding_trajectories or 0,
        )

    def training_tasks(self, iteration: int) -> GoalTasks:
        """The tasks of a meta-iteration: all its randomness is a function of (seed, iteration)."""
        rng = np.random.default_rng([self.config.seed, TaskStream.TRAINING.value, iteration])
        goals, _ = self.goals.sample(rng, self.config.meta_batch_size)
        return self.tasks(goals, rng)

    def train(self, learner: PolicyLearner, folder: RunFolder) -> None:
        """Trains, resuming from the folder's checkpoints; ends with the best weights."""

        def training_return() -> float:
            return float(learner.trackers["return_after"].result())

        picked = Validation("return_after", training_return, PICKED_BY)
        fit.train(learner, self.config, folder, lambda iteration: iteration, picked)
        print(f"best training return: iteration {fit.restore(learner, folder)}")

    def evaluate(self, learner: PolicyLearner) -> RlResults:
        """Adapts to `config.eval_tasks` fresh tasks and measures the return after every step."""
        config = self.config
        rng = np.random.default_rng([config.eval_seed, TaskStream.EVALUATION.value])
        goals, modes = self.goals.sample(rng, config.eval_tasks)
        returns, unmodulated, embeddings = [], [], []
        shown: list[Rollouts] = []
        for start in range(0, len(goals), EVALUATION_BATCH):
            batch = goals[start : start + EVALUATION_BATCH]
            tasks = self.tasks(batch, rng, config.eval_rollouts)
            adaptation = learner.adapt_to(tasks, config.eval_steps or 0)
            returns.append(tasks.returns())
            if adaptation.embedding is not None:
                embeddings.append(adaptation.embedding.numpy())
            if not shown:
                shown = [
                    Rollouts(*(part[:FIGURE_TASKS, :FIGURE_ROLLOUTS] for part in rollouts))
                    for rollouts in tasks.rollouts
                ]
            # Last, so that it changes nothing of what the tasks' generators give the others.
            if learner.act_unmodulated(tasks):
                unmodulated.append(tasks.returns()[:, -1])
        results = evaluation.TaskResults(
            np.concatenate(returns),
            modes,
            np.concatenate(embeddings) if embeddings else None,
            np.concatenate(unmodulated) if unmodulated else None,
        )
        return RlResults(results, goals[:FIGURE_TASKS], shown)

    def summarise(self, results: RlResults) -> pd.DataFrame:
        """The rows of evaluation.csv."""
        return evaluation.summarise(results.tasks, self.config.modes, METRIC)

    def run_figures(
        self, learner: PolicyLearner, results: RlResults, metrics: pd.DataFrame
    ) -> dict[str, Figure]:
        """The figures of one run, by file name."""
        label = self.config.label
        drawn = comparison_figures(
            {label: [metrics]}, {label: self.summarise(results)}, [self.method.step]
        )
        if results.tasks.embeddings is not None:
            drawn["task_embeddings"] = figures.embedding_map(
                results.tasks.embeddings, results.tasks.modes, self.config.modes
            )
        if results.shown_goals.shape[1] == 2:  # goals in a plane are positions
            drawn["trajectories"] = navigation_trajectories(
                results.shown_goals, results.shown_rollouts, self.goals.density, self.method.step
            )
        return drawn

    def report_figures(self, runs: Sequence[ReportedRun]) -> dict[str, Figure]:
        """Figures that compare runs, by file name."""
        groups = seeds.grouped(runs)
        return comparison_figures(
            {group.label: group.metrics for group in groups},
            {group.label: group.evaluation for group in groups},
            [method_of(run.domain.config).step for run in runs],
        )

    def export(self, learner: PolicyLearner, path: Path) -> None:
        """Saves the learner as a SavedModel and, if asked for, an animation beside it."""
        self.method.export(learner, self.sampler, self.config, path)
        if self.config.animation:
            rng = np.random.default_rng([self.config.eval_seed, TaskStream.EVALUATION.value])
            goals, _ = self.goals.sample(rng, len(self.config.modes))
            tasks = self.tasks(goals, rng)
            adaptation = learner.adapt_to(tasks, self.config.eval_steps or 0)
            path = path.parent / "figures" / "policy.gif"
            save_policy_animation(learner, tasks, adaptation, path)


def method_of(config: RunConfig) -> PolicyMethod:
    """What a run's method is here."""
    return methods.of(config.KIND)[config.method].learner


def comparison_figures(
    metrics: Mapping[str, Sequence[pd.DataFrame]],
    evaluations: Mapping[str, pd.DataFrame],
    steps: Sequence[str],
) -> dict[str, Figure]:
    """The figures that need only the runs' tables, by file name; `steps` are what the runs' steps
    are."""
    xlabel = " or ".join(f"{step}s" for step in dict.fromkeys(steps))
    return {
        **figures.training_curves(
            "training", metrics, "return_after", f"{LABEL} after adaptation", yscale="linear"
        ),
        "adaptation": figures.adaptation_curves(evaluations, LABEL, xlabel=xlabel),
    }
