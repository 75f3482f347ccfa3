"""Pictures of episodes: navigation drawn in NumPy, animations saved as GIF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mmaml_tf.envs.arguments import FloatArray

Frame = npt.NDArray[np.uint8]

BACKGROUND = (255, 255, 255)
AXES = (220, 220, 220)
TRAIL = (140, 170, 220)
AGENT = (20, 60, 160)
GOAL = (200, 30, 30)


class RendererUnavailableError(RuntimeError):
    """MuJoCo found no OpenGL library to draw with."""

    def __init__(self, cause: BaseException) -> None:
        reason = str(cause).strip().splitlines() or [type(cause).__name__]
        super().__init__(
            "MuJoCo cannot render: set MUJOCO_GL=egl (a GPU or Mesa) or MUJOCO_GL=osmesa "
            f"(software) and install that library ({reason[0]})"
        )


def draw_navigation(
    trail: FloatArray, goal: FloatArray, size: int = 256, extent: float = 4.0
) -> Frame:
    """Draws the square [-extent, extent]², y upwards: axes, trail, goal and current position.

    Args:
        trail: positions so far [steps + 1, 2], the last one being the current position.
        goal: [2].
        size: width and height in pixels.
        extent: half the side of the drawn square, in the environment's units. Points outside it
            are drawn on its border.

    Returns:
        RGB frame [size, size, 3].
    """
    frame = np.full((size, size, 3), BACKGROUND, dtype=np.uint8)
    frame[size // 2, :] = AXES
    frame[:, size // 2] = AXES
    for points, radius, colour in (
        (trail, 1, TRAIL),
        (goal[np.newaxis], 5, GOAL),
        (trail[-1:], 3, AGENT),
    ):
        _stamp_discs(frame, points, radius, colour, extent)
    return frame


def save_animation(
    frames: Sequence[Frame], path: str | Path, fps: float = 20.0, shrink: int = 1
) -> Path:
    """Saves `frames` (each [height, width, 3], uint8) as a looping GIF at `path`.

    The folder is made if it is missing. GIF counts in hundredths of a second, so `fps` is rounded
    to 100 / k. `shrink` pixels a side become one. Use with frames from
    `gymnasium.make(id, render_mode="rgb_array").render()`.

    Raises:
        ValueError: no frames, a path that does not end in .gif, or fps not in (0, 100].
    """
    path = Path(path)
    if len(frames) == 0:
        raise ValueError("an animation needs at least one frame, got none")
    if path.suffix.lower() != ".gif":
        raise ValueError(f"an animation is saved as .gif, got {path.name}")
    if not 0 < fps <= 100:
        raise ValueError(f"fps must be in (0, 100], got {fps}")
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = (Image.fromarray(frame).reduce(shrink) for frame in frames)
    duration_ms = 10 * round(100 / fps)
    first.save(path, save_all=True, append_images=rest, duration=duration_ms, loop=0)
    return path


def _stamp_discs(
    frame: Frame, points: FloatArray, radius: int, colour: tuple[int, int, int], extent: float
) -> None:
    """Draws a disc of `radius` pixels at every point [n, 2], in place."""
    size = len(frame)
    scaled = (np.clip(points, -extent, extent) / extent + 1.0) / 2.0 * (size - 1)
    columns = np.rint(scaled[:, 0]).astype(int)
    rows = size - 1 - np.rint(scaled[:, 1]).astype(int)
    offsets = np.arange(-radius, radius + 1)
    down, right = np.meshgrid(offsets, offsets, indexing="ij")
    inside = down**2 + right**2 <= radius**2
    rows = np.clip(rows[:, np.newaxis] + down[inside], 0, size - 1)
    columns = np.clip(columns[:, np.newaxis] + right[inside], 0, size - 1)
    frame[rows, columns] = colour
