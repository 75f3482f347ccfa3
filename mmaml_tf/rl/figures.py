"""Navigation trajectories over the goal density ([MuMoMAML] Figure 3d)."""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from mmaml_tf.rl.rollouts import Rollouts


def navigation_trajectories(
    goals: npt.NDArray[np.float64],
    rollouts: Sequence[Rollouts],
    density: Callable[[npt.ArrayLike], npt.NDArray[np.float64]],
    step_name: str = "gradient step",
) -> Figure:
    """One panel per number of steps, one colour per task; stars are the goals.

    Args:
      goals: [tasks, 2].
      rollouts: of those tasks after 0, 1, ..., S steps; observations start with the position.
      density: of goals, [..., 2] -> [...], drawn as contours.
      step_name: what a step is.
    """
    extent = 1.5 * np.abs(goals).max()
    axis = np.linspace(-extent, extent, 161)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    figure, panels = plt.subplots(
        1, len(rollouts), figsize=(3.2 * len(rollouts), 3.4), sharey=True, squeeze=False
    )
    for step, (axes, played) in enumerate(zip(panels[0], rollouts, strict=True)):
        axes.contour(axis, axis, density(grid), levels=6, colors="grey", linewidths=0.6, alpha=0.6)
        mask, positions = np.array(played.mask), np.array(played.observations)[..., :2]
        for task, goal in enumerate(goals):
            for episode, is_live in zip(positions[task], mask[task] > 0, strict=True):
                axes.plot(*episode[is_live].T, color=f"C{task}", linewidth=0.8, alpha=0.6)
            axes.plot(*goal, "*", color=f"C{task}", markersize=12, markeredgecolor="black")
        title = f"after {step} {step_name}{'s'[: step > 1]}" if step else f"before any {step_name}"
        axes.set(title=title, xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    return figure
