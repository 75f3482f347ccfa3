"""Predicted functions of sampled tasks, before and after adaptation ([MuMoMAML] Figure 2)."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mmaml_tf.tasks import Examples


class Prediction(NamedTuple):
    """A method's predicted functions and how to draw them.

    Attributes:
      label: for the legend.
      values: on the grid, [tasks, N].
      color, style: of the lines, as Matplotlib names them.
    """

    label: str
    values: np.ndarray
    color: str
    style: str


def predictions(
    x: np.ndarray,
    curves: np.ndarray,
    support: Examples,
    mode_names: Sequence[str],
    modes: np.ndarray,
    predicted: Sequence[Prediction],
) -> Figure:
    """One row per mode, one panel per task: truth, support points and the predictions.

    Args:
      x: grid, [N].
      curves: the noise-free functions on it, [tasks, N].
      support: what the learners adapted to, [tasks, K, 1].
      mode_names: of the modes.
      modes: [tasks].
      predicted: by method.
    """
    columns = len(modes) // len(mode_names)
    figure, panels = plt.subplots(
        len(mode_names), columns, figsize=(3.4 * columns, 2.7 * len(mode_names)), squeeze=False
    )
    for row, name in enumerate(mode_names):
        for column, task in enumerate(np.flatnonzero(modes == row)[:columns]):
            axes = panels[row][column]
            axes.plot(x, curves[task], color="black", linewidth=2.5, alpha=0.35, label="truth")
            for label, values, color, style in predicted:
                axes.plot(x, values[task], style, color=color, label=label)
            axes.plot(
                support.x[task, :, 0], support.y[task, :, 0], "k^", markersize=6, label="support"
            )
            axes.set_title(name, fontsize=10)
            axes.grid(alpha=0.3)
            margin = 0.25 * np.ptp(curves[task]) + 1
            axes.set_ylim(curves[task].min() - margin, curves[task].max() + margin)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=3)
    figure.tight_layout()
    return figure
