"""Reinforcement-learning environments of the paper, registered with Gymnasium on import.

    gymnasium.make(NAVIGATION_2D)                      one environment
    gymnasium.make_vec(NAVIGATION_2D, num_envs=800)    its batched twin, equal step by step

The horizon is the registration's `max_episode_steps`: 100 for navigation, 200 for half-cheetah and
ant ([MAML] §5.3). `make` applies it with Gymnasium's TimeLimit, `make_vec` passes it to the twin.
Entry points are strings, so importing this package loads neither MuJoCo nor a renderer.
"""

import gymnasium

from mmaml_tf.envs.rendering import RendererUnavailableError, save_animation

NAVIGATION_2D = "mmaml_tf/Navigation2D-v0"
NAVIGATION_2D_SQUARED = "mmaml_tf/Navigation2DSquared-v0"
HALF_CHEETAH_LOCATION = "mmaml_tf/HalfCheetahLocation-v0"
HALF_CHEETAH_SPEED = "mmaml_tf/HalfCheetahSpeed-v0"
# [MAML]'s, which step as its code does.
ROBOT_ENVS = {
    f"mmaml_tf/{robot.title().replace('_', '')}{aim.title()}-v0": dict(robot=robot, aim=aim)
    for robot in ("half_cheetah", "ant")
    for aim in ("velocity", "direction")
}

__all__ = [
    "HALF_CHEETAH_LOCATION",
    "HALF_CHEETAH_SPEED",
    "NAVIGATION_2D",
    "NAVIGATION_2D_SQUARED",
    "ROBOT_ENVS",
    "RendererUnavailableError",
    "save_animation",
]

for env_id, squared in ((NAVIGATION_2D, False), (NAVIGATION_2D_SQUARED, True)):
    gymnasium.register(
        id=env_id,
        entry_point="mmaml_tf.envs.navigation:Navigation2DEnv",
        vector_entry_point="mmaml_tf.envs.navigation_vector:Navigation2DVectorEnv",
        max_episode_steps=100,
        kwargs={"squared": squared},
    )
gymnasium.register(
    id=HALF_CHEETAH_LOCATION,
    entry_point="mmaml_tf.envs.half_cheetah:HalfCheetahLocationEnv",
    vector_entry_point="mmaml_tf.envs.half_cheetah_vector:HalfCheetahLocationVectorEnv",
    max_episode_steps=200,
)
gymnasium.register(
    id=HALF_CHEETAH_SPEED,
    entry_point="mmaml_tf.envs.half_cheetah:HalfCheetahSpeedEnv",
    vector_entry_point="mmaml_tf.envs.half_cheetah_vector:HalfCheetahSpeedVectorEnv",
    max_episode_steps=200,
)
for _id, _kwargs in ROBOT_ENVS.items():
    gymnasium.register(
        id=_id,
        entry_point="mmaml_tf.envs.robot_env:RobotEnv",
        vector_entry_point="mmaml_tf.envs.robot_vector:RobotVectorEnv",
        max_episode_steps=200,
        kwargs=_kwargs,
    )
