"""MuJoCo and Gymnasium's half-cheetah, imported in one place with one clear error.

MuJoCo loads the OpenGL library that MUJOCO_GL names as soon as it is imported, and without that
library fails from deep inside.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from mmaml_tf.envs.arguments import BoolArray, FloatArray
from mmaml_tf.envs.rendering import Frame, RendererUnavailableError

try:
    import mujoco
    from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
    from mujoco.batch import Batch
except (AttributeError, RuntimeError) as error:
    raise RendererUnavailableError(error) from None

__all__ = ["Batch", "Camera", "HalfCheetahEnv", "mujoco", "quiet_loading", "within_limit"]

STATE_LIMIT = 1e3


def within_limit(state: FloatArray) -> BoolArray:
    """Whether all of a state, [..., n] to [...], lies within ±1000 (choice); NaN does not.

    MuJoCo gives up at 1e10, several steps and some enormous rewards too late. Positions (m, rad)
    and velocities (m/s, rad/s) of a sound half-cheetah stay below 50 under full torques.
    """
    return np.all(np.abs(state) < STATE_LIMIT, axis=-1)


class Camera:
    """The model's tracking camera.

    MuJoCo's renderer is made at the first frame, not with the environment. Not with Mesa's software
    renderer in a process that has loaded TensorFlow: see `replay`.

    Args:
        model: that is drawn.
        height: of the frames, in pixels.
        width: likewise.
    """

    def __init__(self, model: "mujoco.MjModel", height: int, width: int) -> None:
        self._arguments = (model, height, width)
        self._renderer: mujoco.Renderer | None = None

    def frame(self, data: "mujoco.MjData", posts: Sequence[float] = ()) -> Frame:
        """The state as an RGB frame [height, width, 3], with red posts at these x (m).

        Raises:
            RendererUnavailableError: if MuJoCo finds no OpenGL.
        """
        if self._renderer is None:
            self._renderer = _renderer(*self._arguments)
        self._renderer.update_scene(data, camera="track")
        for x in posts:
            _add_post(self._renderer.scene, x)
        return self._renderer.render()

    def close(self) -> None:
        """Frees the renderer; closing twice is allowed."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _renderer(model: "mujoco.MjModel", height: int, width: int) -> "mujoco.Renderer":
    try:
        with warnings.catch_warnings():  # the error says it better than GLFW's warnings
            warnings.simplefilter("ignore")
            return mujoco.Renderer(model, height, width)
    except Exception as error:  # each OpenGL library has its own
        raise RendererUnavailableError(error) from None


def _add_post(scene: "mujoco.MjvScene", x: float) -> None:
    mujoco.mjv_initGeom(
        scene.geoms[scene.ngeom],
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        size=np.array([0.03, 0.5, 0.0]),
        pos=np.array([x, 0.0, 0.5]),
        mat=np.eye(3).ravel(),
        rgba=np.array([0.8, 0.1, 0.1, 1.0], dtype=np.float32),
    )
    scene.ngeom += 1


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Silences MuJoCo while it loads Gymnasium's model file, whose deprecated attributes are not
    the user's to mend."""
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(handler)
