"""Sample episodes with a learner's predictions, before and after adaptation."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# More classes than this do not fit a page side by side.
MAX_CLASSES = 10
RIGHT, WRONG = "tab:green", "tab:red"


def episodes(
    support_x: np.ndarray,
    query_x: np.ndarray,
    predicted: Mapping[int, np.ndarray],
) -> Figure:
    """Per task: one support image of each class, a query image of each, and what it is taken for.

    Under each query image: the predicted class and its probability, green where it is the right
    one, in a line for every number of gradient steps.

    Args:
      support_x: an image of every class, [tasks, classes, H, W] or, in color, [..., 3].
      query_x: likewise.
      predicted: class probabilities of the query images after so many gradient steps, [tasks,
        classes, classes].
    """
    num_tasks, num_classes = support_x.shape[:2]
    columns = min(num_classes, MAX_CLASSES)
    figure, panels = plt.subplots(
        2 * num_tasks, columns, figsize=(1.25 * columns, 3.0 * num_tasks), squeeze=False
    )
    for task in range(num_tasks):
        top, bottom = panels[2 * task], panels[2 * task + 1]
        for label in range(columns):
            _image(top[label], support_x[task, label])
            if task == 0:
                top[label].set_title(f"class {label}", fontsize=9)
            _image(bottom[label], query_x[task, label])
            for line, (steps, of_tasks) in enumerate(predicted.items()):
                probabilities = of_tasks[task, label]
                guess = int(np.argmax(probabilities))
                bottom[label].text(
                    0.5,
                    -0.14 - 0.17 * line,
                    f"{steps} steps: {guess} ({probabilities[guess]:.2f})",
                    transform=bottom[label].transAxes,
                    ha="center",
                    va="center",
                    fontsize=7,
                    color=RIGHT if guess == label else WRONG,
                )
        top[0].set_ylabel("support", fontsize=9)
        bottom[0].set_ylabel("query", fontsize=9)
    figure.subplots_adjust(hspace=0.4, wspace=0.1)
    return figure


def _image(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
