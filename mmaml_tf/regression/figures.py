"""Predicted functions of sampled tasks, before and after adaptation ([MuMoMAML] Figure 2)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mmaml_tf.tasks import Examples


def predictions(
    x: np.ndarray,
    curves: np.ndarray,
    support: Examples,
    mode_names: Sequence[str],
    modes: np.ndarray,
    predicted: Mapping[str, np.ndarray],
) -> Figure:
    """One row per mode, one panel per task: truth, support points and every method's prediction.

    Dotted: after modulation (before any step); solid: after the last gradient step.

    Args:
      x: grid, [N].
      curves: the noise-free functions on it, [tasks, N].
      support: what the learners adapted to, [tasks, K, 1].
      mode_names: of the modes.
      modes: [tasks].
      predicted: by method, [S + 1, tasks, N].
    """
    columns = len(modes) // len(mode_names)
    figure, panels = plt.subplots(
        len(mode_names), columns, figsize=(3.4 * columns, 2.7 * len(mode_names)), squeeze=False
    )
    for row, name in enumerate(mode_names):
        for column, task in enumerate(np.flatnonzero(modes == row)[:columns]):
            axes = panels[row][column]
            axes.plot(x, curves[task], color="black", linewidth=2.5, alpha=0.35, label="truth")
            for index, (method, values) in enumerate(predicted.items()):
                color = f"C{index}"
                axes.plot(x, values[0, task], ":", color=color, label=f"{method}, 0 steps")
                steps = len(values) - 1
                axes.plot(x, values[-1, task], color=color, label=f"{method}, {steps} steps")
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
