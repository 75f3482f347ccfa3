"""Figures of every domain, drawn from the run folder's tables and the evaluation's results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only: no display needed

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from mmaml_tf.reporting.evaluation import BEFORE_MODULATION
from mmaml_tf.reporting.seeds import half_width
from mmaml_tf.training.storage import MEGABYTE, replacing

# Ten colours are few where all of a domain's methods are compared: their light shades come next.
matplotlib.rcParams["axes.prop_cycle"] = cycler(
    color=[*matplotlib.color_sequences["tab10"], *matplotlib.color_sequences["tab20"][1::2]]
)
# A t-SNE of more points takes minutes and shows no more.
MAX_EMBEDDED = 1_000


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG and frees it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, MEGABYTE) as partial:
        figure.savefig(partial, dpi=150, bbox_inches="tight")
    plt.close(figure)


def training_curves(
    name: str,
    metrics: Mapping[str, Sequence[pd.DataFrame]],
    column: str,
    ylabel: str,
    yscale: str = "log",
) -> dict[str, Figure]:
    """A metric over the iterations, one line per method: its running median.

    Of one training it is over the values; of several the line is their mean, in a band that is its
    95% interval over them, up to where all of them have come.

    Args:
      name: of the figure's file.
      metrics: the metrics.csv of each training, by label. Those without rows, or without the
        column, are left out.
      column: which of its columns.
      ylabel: what it is.
      yscale: of the metric's axis.

    Returns:
      The figure, by its name; nothing if there are no rows.
    """
    logged = {
        label: kept
        for label, tables in metrics.items()
        if (kept := [t for t in tables if len(t) and column in t])
    }
    if not logged:
        return {}
    figure, axes = plt.subplots(figsize=(6, 3.6))
    axes.margins(y=0.1)
    smooth = {
        label: pd.concat([_running_median(table, column) for table in trainings], axis=1).dropna()
        for label, trainings in logged.items()
    }
    for label, curves in smooth.items():
        marker = "o" if len(curves) == 1 else None  # a line of one point is none
        axes.plot(curves.index, curves.mean(axis=1), label=label, marker=marker)
    # The axis is the smooth lines' alone: a single diverged inner loop would flatten all of them.
    _scale(axes, yscale, pd.concat([curves.mean(axis=1) for curves in smooth.values()]))
    axes.set_ylim(axes.get_ylim())
    for index, (label, trainings) in enumerate(logged.items()):
        curves = smooth[label]
        if len(trainings) > 1:
            _band(axes, curves.index, curves.mean(axis=1), half_width(curves, 1), f"C{index}")
            continue
        axes.plot(
            trainings[0]["iteration"],
            trainings[0][column],
            color=f"C{index}",
            alpha=0.25,
            linewidth=0.8,
            zorder=1,
        )
    axes.set(xlabel="meta-iteration", ylabel=ylabel)
    axes.grid(alpha=0.3, which="both")
    _legend(axes, beside=len(logged) > 3)
    return {name: figure}


def _scale(axes: Axes, yscale: str, shown: pd.Series) -> None:
    """Sets the scale, but for a logarithm of what has none: all trainings diverged."""
    axes.set_yscale(yscale if (shown > 0).any() else "linear")


def _running_median(table: pd.DataFrame, column: str) -> pd.Series:
    """A column of metrics.csv by iteration, smoothed."""
    values = table.set_index("iteration")[column]
    return values.rolling(max(1, len(table) // 50), center=True, min_periods=1).median()


def _band(axes: Axes, x: npt.ArrayLike, mean: pd.Series, half: npt.ArrayLike, color: str) -> None:
    low, high = np.subtract(mean, half), np.add(mean, half)
    axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0, zorder=1)


def adaptation_curves(
    evaluations: Mapping[str, pd.DataFrame],
    ylabel: str,
    yscale: str = "linear",
    xlabel: str = "gradient steps",
) -> Figure:
    """The metric after every gradient step, with 95% intervals: one panel per mode.

    Bars are intervals over tasks; of several trainings it is a band, over them.

    Args:
      evaluations: evaluation.csv or `seeds.over_seeds`, by label.
      ylabel: what the metric is.
      yscale: of the metric's axis.
      xlabel: what the steps are.
    """
    modes = list(next(iter(evaluations.values()))["mode"].unique())
    steps = sorted(set().union(*(table["step"] for table in evaluations.values())))
    if steps[0] == BEFORE_MODULATION:
        xlabel = f"{xlabel}\n(pre: before modulation)"
    figure, panels = plt.subplots(
        1, len(modes), figsize=(max(4.5, 3.2 * len(modes)), 3.2), sharey=True, squeeze=False
    )
    bands: list[tuple[Axes, pd.Series, pd.Series, pd.Series, str]] = []
    for axes, mode in zip(panels[0], modes, strict=True):
        for label, table in evaluations.items():
            rows = table[table["mode"] == mode]
            is_band = "num_seeds" in rows and len(rows) > 1
            bars = None if is_band else rows["ci95"]
            drawn = axes.errorbar(
                rows["step"], rows["mean"], yerr=bars, label=label, marker="o", capsize=3
            )
            colour = drawn.lines[0].get_color()
            if is_band:
                bands.append((axes, rows["step"], rows["mean"], rows["ci95"], colour))
            # A method without steps, to be compared with the others' every one.
            if rows["step"].max() == 0:
                axes.axhline(rows["mean"].iloc[-1], color=colour, linestyle="--", alpha=0.6)
        axes.set(title=f"{mode} tasks", xlabel=xlabel)
        _scale(axes, yscale, pd.concat([table["mean"] for table in evaluations.values()]))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        if steps[0] == BEFORE_MODULATION:
            axes.set_xticks(steps, ["pre", *steps[1:]])
        axes.grid(alpha=0.3, which="both")
    # The axis is the lines' alone: of few seeds a band may go below zero, which has no logarithm.
    limits = panels[0][0].get_ylim()
    for band in bands:
        _band(*band)
    panels[0][0].set(ylim=limits, ylabel=ylabel)
    _legend(panels[0][-1], beside=len(evaluations) > 1)
    return figure


def embedding_map(
    embeddings: np.ndarray, labels: np.ndarray, names: Sequence[str], seed: int = 0
) -> Figure:
    """t-SNE of the task embeddings v, coloured by mode ([MuMoMAML] Figures 2c and 4).

    Args:
      embeddings: [tasks, v_dim].
      labels: [tasks], index into `names`.
      names: of the modes.
      seed: of the t-SNE and of the tasks drawn if there are more than `MAX_EMBEDDED`.
    """
    is_known = np.isfinite(embeddings).all(axis=1)  # those of an encoder that diverged are not
    if is_known.sum() < 2:
        is_known = np.ones(len(embeddings), bool)
        embeddings = np.zeros_like(embeddings)
    embeddings, labels = embeddings[is_known], labels[is_known]
    chosen = np.random.default_rng(seed).permutation(len(embeddings))[:MAX_EMBEDDED]
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    # The default start divides by the first principal component's deviation: where an encoder says
    # the same of every task, that is zero, and scikit-learn crashes on what comes of it.
    start = "pca" if np.ptp(embeddings[chosen], axis=0).max() > 0 else "random"
    tsne = TSNE(perplexity=perplexity, init=start, random_state=seed)
    with threadpool_limits(1):  # on busy cores OpenMP's threads wait for each other for a minute
        points = tsne.fit_transform(embeddings[chosen])
    figure, axes = plt.subplots(figsize=(4.5, 4.5))
    for index, name in enumerate(names):
        members = points[labels[chosen] == index]
        axes.scatter(members[:, 0], members[:, 1], s=8, alpha=0.7, label=name)
    axes.set(title="t-SNE of the task embeddings", xticks=[], yticks=[])
    _legend(axes, beside=len(names) > 3, markerscale=2)
    return figure


def _legend(axes: Axes, beside: bool, markerscale: float = 1.0) -> None:
    """A legend: `beside` the axes where it is so long that it would hide what they show."""
    if beside:
        axes.legend(markerscale=markerscale, loc="upper left", bbox_to_anchor=(1, 1))
    else:
        axes.legend(markerscale=markerscale)
