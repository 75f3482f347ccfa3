"""The evaluation tasks that figures show, and learners' predictions in them."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from mmaml_tf.learners.meta_learner import MetaLearner
from mmaml_tf.regression.config import RegressionConfig
from mmaml_tf.regression.figures import Prediction, predictions
from mmaml_tf.regression.tasks import RegressionTasks
from mmaml_tf.tasks import Draw, TaskStream

TASKS_PER_MODE = 3


class ShownTasks:
    """A few tasks of each mode.

    Args:
      tasks: where they are drawn.
      config: of a run; equal evaluation seeds show equal tasks.
      one_sided: with support points in one half of the range alone.
    """

    def __init__(self, tasks: RegressionTasks, config: RegressionConfig, one_sided: bool = False):
        self._config = config
        self._x = np.linspace(*tasks.input_range, 201, dtype=np.float32)
        if one_sided:
            tasks = tasks.one_sided()
        number = TASKS_PER_MODE * len(config.modes)
        draw = Draw(TaskStream.EVALUATION, config.eval_seed, 0, number)
        self._batch = tasks.sample(draw, config.shots_at_evaluation, num_queries=1)
        self._curves = tasks.curves(draw, self._x).numpy()
        self._grid = tasks.grid(draw, self._x)

    def predictions(self, learner: MetaLearner) -> np.ndarray:
        """A learner's predictions over the range of inputs, [S + 1, tasks, N]."""
        steps = self._config.eval_steps
        return learner.after_each_step(self._batch.support, self._grid, steps).predictions.numpy()[
            ..., 0
        ]

    def figures(self, predicted: Mapping[str, np.ndarray]) -> dict[str, Figure]:
        """`predictions` by label, overlaid: of a single learner before and after adaptation, of
        several in a figure each ([MuMoMAML] Figure 2a and 2b)."""
        is_alone = len(predicted) == 1
        before, after = [], []
        for index, (label, values) in enumerate(predicted.items()):
            if len(values) > 1 or not is_alone:
                style = ":" if is_alone else "-"
                before.append(Prediction(f"{label}, 0 steps", values[0], f"C{index}", style))
            adapted = f"{label}, {len(values) - 1} steps"
            after.append(Prediction(adapted, values[-1], f"C{index}", "-"))
        if is_alone:
            return {"predictions": self._figure(before + after)}
        return {"predictions_before": self._figure(before), "predictions": self._figure(after)}

    def _figure(self, predicted: list[Prediction]) -> Figure:
        modes, support = self._config.modes, self._batch.support
        of_each = self._batch.mode.numpy()
        return predictions(self._x, self._curves, support, modes, of_each, predicted)
