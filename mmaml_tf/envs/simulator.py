"""MuJoCo and Gymnasium's half-cheetah, imported in one place with one clear error.

MuJoCo loads the OpenGL library that MUJOCO_GL names as soon as it is imported, and without that
library fails from deep inside.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from mmaml_tf.envs.rendering import RendererUnavailableError

try:
    import mujoco
    from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
    from mujoco.batch import Batch
except (AttributeError, RuntimeError) as error:
    raise RendererUnavailableError(error) from None

__all__ = ["Batch", "HalfCheetahEnv", "make_renderer", "mujoco", "quiet_loading"]


def make_renderer(model: "mujoco.MjModel", height: int, width: int) -> "mujoco.Renderer":
    """MuJoCo's renderer.

    Raises:
        RendererUnavailableError: if MuJoCo finds no OpenGL.
    """
    try:
        with warnings.catch_warnings():  # the error says it better than GLFW's warnings
            warnings.simplefilter("ignore")
            return mujoco.Renderer(model, height, width)
    except Exception as error:  # each OpenGL library has its own
        raise RendererUnavailableError(error) from None


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
