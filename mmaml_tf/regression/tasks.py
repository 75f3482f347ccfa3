"""What the regression domain asks of a task distribution."""

from typing import Protocol, Self

import numpy.typing as npt
import tensorflow as tf

from mmaml_tf.few_shot.domain import FewShotTasks
from mmaml_tf.tasks import Draw


class RegressionTasks(FewShotTasks, Protocol):
    """Functions to fit (`data.regression.Mixture` is one)."""

    @property
    def input_size(self) -> int:
        """Numbers in an x."""

    @property
    def input_range(self) -> tuple[float, float]:
        """The lowest and the highest of them that figures show."""

    def told(self) -> Self:
        """The same tasks, whose inputs say which function it is."""

    def one_sided(self) -> Self:
        """The same functions, of whose inputs only the lower half of the range is met."""

    def grid(self, draw: Draw, x: npt.ArrayLike) -> tf.Tensor:
        """Those tasks' inputs at the points x [N]: [tasks, N, input_size]."""

    def curves(self, draw: Draw, x: npt.ArrayLike) -> tf.Tensor:
        """The noise-free functions of those tasks, there: [tasks, N]."""
