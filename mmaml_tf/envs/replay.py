"""Draws recorded episodes, in a process of its own.

TensorFlow and Mesa's software renderer each bring an LLVM, and a process with both crashes. So the
actions are recorded where the policy is, and played again, from the same seeds, where none is:

    python -m mmaml_tf.envs.replay recording.npz animation.gif

Gymnasium's RecordVideo would draw where the policy acts, and needs moviepy; a GIF needs Pillow.
"""

import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.envs.registration import EnvSpec

from mmaml_tf.envs import save_animation
from mmaml_tf.envs.arguments import FloatArray
from mmaml_tf.errors import RunError

ROOT = Path(__file__).resolve().parents[2]
# About so wide an animation is, or its file gets large; and faster ones browsers slow down.
MAX_PIXELS, MAX_FPS = 240, 50


def save_replay(
    env_id: str, goals: FloatArray, actions: Sequence[npt.NDArray[Any]], path: str | Path
) -> None:
    """Saves episodes, one after the other, as a GIF.

    Args:
        env_id: a registered environment; of one's own, from a module that can be imported.
        goals: one per episode [episodes, dim]; episode i starts from `reset(seed=i)`.
        actions: of each episode, [steps, act].
        path: ends in .gif.

    Raises:
        RunError: if it can't be drawn here; with what went wrong.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    if "DISPLAY" not in environment:
        environment.setdefault("MUJOCO_GL", "egl")
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.npz"
        episodes: dict[str, Any] = {f"actions_{i}": value for i, value in enumerate(actions)}
        np.savez(recording, spec=_importable_spec(env_id).to_json(), goals=goals, **episodes)
        done = subprocess.run(
            [sys.executable, "-m", "mmaml_tf.envs.replay", str(recording), str(path)],
            env=environment,
            capture_output=True,
            text=True,
        )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RunError(f"the animation can't be drawn: {lines[-1]}")


def _importable_spec(env_id: str) -> EnvSpec:
    """What another process makes the environment from: its class by name, as it knows no
    registration but this project's."""
    spec = copy.copy(gymnasium.spec(env_id))
    maker: Any = spec.entry_point
    if callable(maker):
        if maker.__module__ == "__main__":
            raise RunError(
                f"the animation can't be drawn: {maker.__qualname__} is defined in the program "
                "that runs; define it in a module of its own and import it"
            )
        spec.entry_point = f"{maker.__module__}:{maker.__qualname__}"
    spec.vector_entry_point = None
    return spec


def replayed(recording: Any) -> tuple[list[Any], float]:
    """The frames of all episodes of a recording, and how many a second has."""
    frames: list[Any] = []
    spec = EnvSpec.from_json(str(recording["spec"]))
    env = gymnasium.make(spec, render_mode="rgb_array")
    for episode, goal in enumerate(recording["goals"]):
        env.reset(seed=episode, options={"goal": goal})
        for action in recording[f"actions_{episode}"]:
            frames.append(env.render())
            env.step(action)
    env.close()
    return frames, min(env.metadata.get("render_fps", 20), MAX_FPS)


if __name__ == "__main__":
    with np.load(sys.argv[1]) as held:
        frames, fps = replayed(held)
    save_animation(frames, sys.argv[2], fps, shrink=max(1, len(frames[0]) // MAX_PIXELS))
