"""Goal distributions of reinforcement-learning domains: p(T), of one mode or several."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Point = tuple[float, ...]


def check_points(name: str, points: Sequence[Point], mode_names: Sequence[str]) -> None:
    """One point for every mode, all of the same dimension.

    Raises:
        ValueError: if not so.
    """
    if not points or len(points) != len(mode_names):
        raise ValueError(f"need one {name} per mode name, got {len(points)} and {len(mode_names)}")
    if len({len(point) for point in points}) != 1:
        raise ValueError(f"{name}s must have one dimension, got {points}")


class GoalDistribution(ABC):
    """An equally weighted mixture of modes; a subclass says what a mode is.

    Attributes:
        mode_names: one name per mode, for tables and legends.
    """

    mode_names: tuple[str, ...]

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of coordinates of a goal."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator, modes: IntArray) -> FloatArray:
        """A goal of each of these modes: [n] to [n, dim]."""

    @abstractmethod
    def _density(self, points: FloatArray) -> FloatArray:
        """p(g) at points [..., dim], as [...]."""

    def sample(
        self, seed: int | Sequence[int] | np.random.Generator, num_tasks: int
    ) -> tuple[FloatArray, IntArray]:
        """Draws goals [num_tasks, dim] and their modes [num_tasks], equally many of each.

        Modes alternate (0, 1, 0, 1, …), so a slice of a multiple of them is balanced. The
        same seed gives the same goals.

        Raises:
            ValueError: num_tasks is not a positive multiple of the number of modes.
        """
        num_modes = len(self.mode_names)
        if num_tasks < 1 or num_tasks % num_modes:
            raise ValueError(f"tasks must be a positive multiple of {num_modes}, got {num_tasks}")
        modes = np.arange(num_tasks, dtype=np.int64) % num_modes
        return self._draw(np.random.default_rng(seed), modes), modes

    def density(self, points: npt.ArrayLike) -> FloatArray:
        """p(g) at `points` [..., dim], as [...].

        Raises:
            ValueError: points whose last axis is not dim.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim == 0 or points.shape[-1] != self.dim:
            raise ValueError(f"points must have shape [..., {self.dim}], got {points.shape}")
        return self._density(points)


@dataclass(frozen=True)
class GaussianGoals(GoalDistribution):
    """A mode is N(mean_k, std² I).

    Attributes:
        mode_names: one name per mode.
        means: one point per mode, all of the same dimension.
        std: standard deviation of every coordinate.

    Raises:
        ValueError: no modes, means that do not match the names or each other, std not positive.
    """

    mode_names: tuple[str, ...]
    means: tuple[Point, ...]
    std: float

    def __post_init__(self) -> None:
        check_points("mean", self.means, self.mode_names)
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}")

    @property
    def dim(self) -> int:
        """See `GoalDistribution`."""
        return len(self.means[0])

    def _draw(self, rng: np.random.Generator, modes: IntArray) -> FloatArray:
        noise = rng.standard_normal((len(modes), self.dim))
        return np.array(self.means)[modes] + self.std * noise

    def _density(self, points: FloatArray) -> FloatArray:
        offsets = (points[..., np.newaxis, :] - np.array(self.means)) / self.std
        normaliser = (self.std * np.sqrt(2.0 * np.pi)) ** self.dim
        return np.exp(-0.5 * np.square(offsets).sum(axis=-1)).mean(axis=-1) / normaliser


@dataclass(frozen=True)
class UniformGoals(GoalDistribution):
    """A mode is a box, all of whose points are equally likely: U[low_k, high_k].

    Attributes:
        mode_names: one name per mode.
        low: one corner per mode, all of the same dimension.
        high: the opposite ones.

    Raises:
        ValueError: no modes, corners that do not match the names or each other, an empty box.
    """

    mode_names: tuple[str, ...]
    low: tuple[Point, ...]
    high: tuple[Point, ...]

    def __post_init__(self) -> None:
        check_points("low corner", self.low, self.mode_names)
        check_points("high corner", self.high, self.mode_names)
        if len(self.low[0]) != len(self.high[0]):
            raise ValueError(f"corners must have one dimension, got {self.low} and {self.high}")
        if not np.all(np.array(self.low) < np.array(self.high)):
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")

    @property
    def dim(self) -> int:
        """See `GoalDistribution`."""
        return len(self.low[0])

    def _draw(self, rng: np.random.Generator, modes: IntArray) -> FloatArray:
        return rng.uniform(np.array(self.low)[modes], np.array(self.high)[modes])

    def _density(self, points: FloatArray) -> FloatArray:
        low, high = np.array(self.low), np.array(self.high)
        points = points[..., np.newaxis, :]
        inside = np.all((low <= points) & (points <= high), axis=-1)
        return (inside / (high - low).prod(axis=-1)).mean(axis=-1)


@dataclass(frozen=True)
class PointGoals(GoalDistribution):
    """A mode is one point. `density` is the probability of exactly that goal.

    Attributes:
        mode_names: one name per mode.
        points: one per mode, all of the same dimension.

    Raises:
        ValueError: no modes, points that do not match the names or each other.
    """

    mode_names: tuple[str, ...]
    points: tuple[Point, ...]

    def __post_init__(self) -> None:
        check_points("point", self.points, self.mode_names)

    @property
    def dim(self) -> int:
        """See `GoalDistribution`."""
        return len(self.points[0])

    def _draw(self, rng: np.random.Generator, modes: IntArray) -> FloatArray:
        return np.array(self.points, dtype=np.float64)[modes]

    def _density(self, points: FloatArray) -> FloatArray:
        equal = np.all(points[..., np.newaxis, :] == np.array(self.points), axis=-1)
        return equal.mean(axis=-1)
