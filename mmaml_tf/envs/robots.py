"""[MAML]'s robots, simulated, observed and paid as in its code (github.com/cbfinn/maml_rl).

MuMoMAML's half-cheetah steps five times as long (`half_cheetah.py`), and its speed is that of the
torso; here it is that of the centre of mass. Models are Gymnasium's, which descend from those of
the published code; `load` sets what differs.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from gymnasium.envs import mujoco as gymnasium_mujoco

from mmaml_tf.envs.arguments import BoolArray, FloatArray
from mmaml_tf.envs.simulator import mujoco, quiet_loading

ASSETS = Path(gymnasium_mujoco.__file__).parent / "assets"
POSITION_NOISE, VELOCITY_NOISE = 0.01, 0.1
TORSO = "torso"


class RobotState(NamedTuple):
    """What is known of a robot, or of several [..., n].

    Attributes:
      qpos: generalised positions (m, rad).
      qvel: generalised velocities (m/s, rad/s).
      centre: of mass, [..., 3] (m).
      velocity: of the centre of mass along x, [...] (m/s).
      rotation: of the torso, a matrix row by row, [..., 9].
      forces: of contacts on each body, [..., bodies, 6]; None of a robot that does not feel them.
    """

    qpos: FloatArray
    qvel: FloatArray
    centre: FloatArray
    velocity: FloatArray
    rotation: FloatArray
    forces: FloatArray | None

    @property
    def felt(self) -> FloatArray:
        """Contact forces clipped to ±1, [..., 6 bodies]."""
        assert self.forces is not None
        return np.clip(self.forces.reshape(*self.forces.shape[:-2], -1), -1.0, 1.0)


@dataclass(frozen=True)
class Robot:
    """A robot.

    Attributes:
      file: of its model.
      timestep: of the simulator, and of the environment (s).
      solimp: MuJoCo's impedance of contacts, where it is not that of the file.
      observe: state [..., n] -> observation [..., obs].
      control_cost: of a squared torque, in units of the largest.
      contact_cost: of a squared contact force, clipped to ±1; zero if it does not feel them.
      bonus: per step, by aim.
      heights: of the torso (m); the episode ends outside.
    """

    file: str
    timestep: float
    observe: Callable[[RobotState], FloatArray]
    control_cost: float
    bonus: Mapping[str, float]
    contact_cost: float = 0.0
    solimp: tuple[float, ...] | None = None
    heights: tuple[float, float] = (-np.inf, np.inf)

    def reward(
        self, aim: str, state: RobotState, goal: FloatArray, action: FloatArray
    ) -> FloatArray:
        """What a step is paid: the state after it, goals [...] and actions [..., act] to [...].

        Only the torque that is applied costs, so the action is clipped to ±1.
        """
        reward = AIMS[aim](state.velocity, goal) + self.bonus[aim]
        reward -= self.control_cost * np.square(np.clip(action, -1.0, 1.0)).sum(axis=-1)
        if self.contact_cost:
            reward -= self.contact_cost * np.square(state.felt).sum(axis=-1)
        return reward

    def fell(self, qpos: FloatArray) -> BoolArray:
        """Whether the torso is too low or too high: [..., n] to [...]."""
        low, high = self.heights
        return (qpos[..., 2] < low) | (qpos[..., 2] > high)

    def load(self) -> "mujoco.MjModel":
        """The model, with a sensor of the velocity of the centre of mass, the first of its data."""
        with quiet_loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec = mujoco.MjSpec.from_file(str(ASSETS / self.file))
            spec.option.timestep = self.timestep
            kinds = [mujoco.mjtSensor.mjSENS_SUBTREELINVEL]
            if self.contact_cost:  # MuJoCo computes contact forces on bodies for sensors alone
                kinds.append(mujoco.mjtSensor.mjSENS_FRAMELINACC)
            for kind in kinds:
                spec.add_sensor(type=kind, objtype=mujoco.mjtObj.mjOBJ_BODY, objname=TORSO)
            model = spec.compile()
        if self.solimp is not None:
            model.geom_solimp[:, : len(self.solimp)] = self.solimp
        return model


def start_of(model: "mujoco.MjModel") -> FloatArray:
    """Positions that episodes start near: `init_qpos` where the model's file names it."""
    names = [model.numeric(index).name for index in range(model.nnumeric)]
    return np.array(model.numeric("init_qpos").data if "init_qpos" in names else model.qpos0)


def observed_by_cheetah(state: RobotState) -> FloatArray:
    """All positions but x, velocities, and the centre of mass: [20]."""
    return np.concatenate([state.qpos[..., 1:], state.qvel, state.centre], axis=-1)


def observed_by_ant(state: RobotState) -> FloatArray:
    """Positions, velocities, contact forces, the torso's rotation, and the centre of mass: [125]"""
    return np.concatenate(
        [state.qpos, state.qvel, state.felt, state.rotation, state.centre], axis=-1
    )


AIMS: dict[str, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "velocity": lambda velocity, goal: -np.abs(velocity - goal),
    "direction": lambda velocity, goal: goal * velocity,
}
"""By name: the velocity along x and the goal (m/s, or ±1) -> reward."""

ROBOTS = {
    "half_cheetah": Robot(
        "half_cheetah.xml",
        timestep=0.01,
        observe=observed_by_cheetah,
        control_cost=0.05,
        bonus={"velocity": 0.0, "direction": 0.0},
    ),
    "ant": Robot(
        "ant.xml",
        timestep=0.02,
        solimp=(0.8, 0.8, 0.01),
        observe=observed_by_ant,
        control_cost=0.005,
        contact_cost=0.0005,
        bonus={"velocity": 1.05, "direction": 0.05},
        heights=(0.2, 1.0),
    ),
}
