"""Task distribution p(T) of the regression domains: mixtures of function families."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from data.families import ABS, LINEAR, QUADRATIC, SINUSOID, TANH, Family
from data.priors import Uniform
from mmaml_tf.tasks import Examples, TaskBatch, TaskStream


@dataclass(frozen=True)
class Mixture:
    """Equally likely families; a batch holds equally many tasks of each, sorted by mode.

    Every draw is a pure function of (stream, seed, iteration), so that a resumed run sees the
    tasks that an uninterrupted one would have seen.

    Attributes:
      families: the modes.
      noise_stddev: standard deviation of the Gaussian noise on every y, support and query.
      inputs: distribution of x.
    """

    families: Sequence[Family]
    noise_stddev: float = 0.3
    inputs: Uniform = field(default=Uniform(-5.0, 5.0))

    @property
    def mode_names(self) -> list[str]:
        """The families' names, in the order of `TaskBatch.mode`."""
        return [family.name for family in self.families]

    def sample(
        self,
        stream: TaskStream,
        seed: int,
        iteration: int | tf.Tensor,
        num_tasks: int,
        num_shots: int,
        num_queries: int,
    ) -> TaskBatch:
        """A batch of tasks with noisy targets.

        Args:
          stream: training, or evaluation on fresh tasks.
          seed: of the run.
          iteration: of the batch within the stream; may be a tensor.
          num_tasks: a multiple of the number of families.
          num_shots: K, support points per task.
          num_queries: query points per task, drawn independently of the support points.

        Returns:
          x and y of [num_tasks, num_shots or num_queries, 1], mode [num_tasks].
        """
        support_seed, query_seed, noise_seed, task_seed = self._seeds(stream, seed, iteration)
        support_x = self.inputs.sample([num_tasks, num_shots, 1], support_seed)
        query_x = self.inputs.sample([num_tasks, num_queries, 1], query_seed)
        clean = self._values(task_seed, tf.concat([support_x, query_x], 1))
        noise = tf.random.stateless_normal(clean.shape, noise_seed, stddev=self.noise_stddev)
        support_y, query_y = tf.split(clean + noise, [num_shots, num_queries], 1)
        mode = tf.repeat(tf.range(len(self.families)), num_tasks // len(self.families))
        return TaskBatch(Examples(support_x, support_y), Examples(query_x, query_y), mode)

    def curves(
        self,
        stream: TaskStream,
        seed: int,
        iteration: int | tf.Tensor,
        num_tasks: int,
        x: tf.Tensor,
    ) -> tf.Tensor:
        """The noise-free functions of `sample`'s tasks at the points x [N]: [num_tasks, N]."""
        *_, task_seed = self._seeds(stream, seed, iteration)
        x = tf.tile(tf.reshape(x, [1, -1, 1]), [num_tasks, 1, 1])
        return self._values(task_seed, x)[..., 0]

    def _seeds(self, stream: TaskStream, seed: int, iteration: int | tf.Tensor) -> list[tf.Tensor]:
        # Its type matters to fold_in; datasets count in int64.
        iteration = tf.cast(iteration, tf.int64)
        base = tf.random.fold_in(tf.constant([seed, stream.value]), iteration)
        return tf.unstack(tf.random.split(base, 4))

    def _values(self, task_seed: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """f_j(x_j) of freshly drawn functions f_j: [tasks, N, 1] -> [tasks, N, 1]."""
        num_families = len(self.families)
        values = []
        for index, (family, inputs) in enumerate(
            zip(self.families, tf.split(x, num_families), strict=True)
        ):
            seeds = tf.random.split(tf.random.fold_in(task_seed, index), len(family.priors))
            parameters = {
                name: prior.sample([inputs.shape[0], 1, 1], seeds[position])
                for position, (name, prior) in enumerate(family.priors.items())
            }
            values.append(family.function(inputs, **parameters))
        return tf.concat(values, 0)


# [MuMoMAML] Table 1, and the five modes of the follow-up. The plain sinusoid is [MAML]'s.
MIXTURES = {
    "sinusoid": Mixture([SINUSOID]),
    "regression_2mode": Mixture([SINUSOID, LINEAR]),
    "regression_3mode": Mixture([SINUSOID, LINEAR, QUADRATIC]),
    "regression_5mode": Mixture([SINUSOID, LINEAR, QUADRATIC, TANH, ABS]),
}
