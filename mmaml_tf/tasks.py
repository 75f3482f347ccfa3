"""The one type that crosses folders: a batch of tasks, each with a support and a query set."""

import enum
from typing import NamedTuple

import tensorflow as tf


class Examples(NamedTuple):
    """Input-output pairs of every task in a batch: x [tasks, N, in_dim], y [tasks, N, out_dim]."""

    x: tf.Tensor
    y: tf.Tensor


class TaskBatch(NamedTuple):
    """A batch of tasks T_j ~ p(T), sorted by mode, with equally many tasks of each mode.

    Attributes:
      support: D_train of each task, what the learner adapts to; x is [tasks, K, in_dim].
      query: D_val of each task, what the adapted learner is scored on. Never shares a point
        with the support set.
      mode: [tasks] int32, the index of the mode that each task was drawn from. Only Multi-MAML
        (an oracle) and the reports look at it.
    """

    support: Examples
    query: Examples
    mode: tf.Tensor


class TaskStream(enum.Enum):
    """Which of a run's independent sequences of tasks is drawn from."""

    TRAINING = 0
    EVALUATION = 1
    VALIDATION = 2
