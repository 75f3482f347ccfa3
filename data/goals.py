"""Goal distributions of the reinforcement-learning domains: p(T) of [MuMoMAML] Fig. 3.

A goal is drawn from one of two equally likely Gaussian modes, g ~ N(mean_k, std² I). Those of
navigation are read from the contours of [MuMoMAML] Figure 3d: ½ N((-½, -½), 0.1 I) + ½ N((½, ½),
0.1 I). The paper says of the half-cheetah's that they are bimodal and no more, so those numbers are
a choice, as are the wider goals of navigation. They can be reached within the horizon: a linear
policy per goal, searched for by `benchmarks/reachability.py`, ended with

    speed goal (m/s)       -2.5    -1.5    -0.5    0.5     1.5     2.5
    speed, second half     -2.57   -1.44   -0.49   0.46    1.53    2.75
    return                 -68     -41     -14     -19     -36     -111

    location goal (m)      -7      -5      -3      3       5       7
    x, second half         -9.53   -5.12   -3.46   3.30    5.52    6.86
    return                 -749    -213    -159    -164    -367    -367

(standing still: -200 |g|), and a point needs 20 of its 100 steps to (±2, ±2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GoalDistribution:
    """An equally weighted mixture of Gaussians with one standard deviation.

    Attributes:
        mode_names: one name per mode, for tables and legends.
        means: one point per mode, all of the same dimension.
        std: standard deviation of every coordinate.

    Raises:
        ValueError: no modes, means that do not match the names or each other, std not positive.
    """

    mode_names: tuple[str, ...]
    means: tuple[tuple[float, ...], ...]
    std: float

    def __post_init__(self) -> None:
        if not self.means or len(self.means) != len(self.mode_names):
            raise ValueError(
                f"need one mean per mode name, got {len(self.means)} and {len(self.mode_names)}"
            )
        if len({len(mean) for mean in self.means}) != 1:
            raise ValueError(f"means must have one dimension, got {self.means}")
        if not self.std > 0:
            raise ValueError(f"std must be positive, got {self.std}")

    @property
    def dim(self) -> int:
        """Number of coordinates of a goal."""
        return len(self.means[0])

    def sample(
        self, seed: int | Sequence[int] | np.random.Generator, num_tasks: int
    ) -> tuple[FloatArray, npt.NDArray[np.int64]]:
        """Draws goals [num_tasks, dim] and their modes [num_tasks], equally many of each.

        Modes alternate (0, 1, 0, 1, …), so any even slice is balanced too. The result is a pure
        function of `seed`: pass `[seed, iteration]` for the tasks of one meta-iteration, and a
        resumed run sees the tasks that an uninterrupted one would have seen.

        Raises:
            ValueError: num_tasks is not a positive multiple of the number of modes.
        """
        num_modes = len(self.means)
        if num_tasks < 1 or num_tasks % num_modes:
            raise ValueError(f"tasks must be a positive multiple of {num_modes}, got {num_tasks}")
        rng = np.random.default_rng(seed)
        modes = np.arange(num_tasks, dtype=np.int64) % num_modes
        noise = rng.standard_normal((num_tasks, self.dim))
        return np.array(self.means)[modes] + self.std * noise, modes

    def density(self, points: npt.ArrayLike) -> FloatArray:
        """p(g) at `points` [..., dim], as [...]: the mean over modes of N(g; mean_k, std² I).

        Raises:
            ValueError: points whose last axis is not dim.
        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim == 0 or points.shape[-1] != self.dim:
            raise ValueError(f"points must have shape [..., {self.dim}], got {points.shape}")
        offsets = (points[..., np.newaxis, :] - np.array(self.means)) / self.std
        normaliser = (self.std * np.sqrt(2.0 * np.pi)) ** self.dim
        return np.exp(-0.5 * np.square(offsets).sum(axis=-1)).mean(axis=-1) / normaliser


GOALS: dict[str, GoalDistribution] = {
    "navigation_2d": GoalDistribution(
        mode_names=("lower_left", "upper_right"),
        means=((-0.5, -0.5), (0.5, 0.5)),
        std=float(np.sqrt(0.1)),
    ),
    "navigation_2d_wide": GoalDistribution(
        mode_names=("lower_left", "upper_right"), means=((-2.0, -2.0), (2.0, 2.0)), std=0.5
    ),
    "cheetah_location": GoalDistribution(
        mode_names=("behind", "ahead"), means=((-5.0,), (5.0,)), std=1.0
    ),
    "cheetah_speed": GoalDistribution(
        mode_names=("backward", "forward"), means=((-1.5,), (1.5,)), std=0.5
    ),
}
"""By domain: positions in the plane, x positions in m, speeds in m/s."""
