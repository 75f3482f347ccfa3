"""Task distribution p(T) of the regression domains: mixtures of function families."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import tensorflow as tf

from data.families import ABS, LINEAR, QUADRATIC, SINUSOID, TANH, Family
from data.priors import Uniform
from mmaml_tf.tasks import Draw, Examples, TaskBatch


@dataclass(frozen=True)
class Mixture:
    """Equally likely families; a batch holds equally many tasks of each, sorted by mode.

    Every draw is a pure function of (stream, seed, iteration), so that a resumed run sees the
    tasks that an uninterrupted one would have seen.

    Attributes:
      families: the modes.
      noise_stddev: standard deviation of the Gaussian noise on every y, support and query.
      inputs: distribution of x.
      settings: defaults of the domain's flags, where they are not
        `mmaml_tf.regression.config.paper_settings`.
      is_told: whether an x is [x, parameters]: what an oracle sees ([MAML] 5.1).
    """

    families: Sequence[Family]
    noise_stddev: float = 0.3
    inputs: Uniform = field(default=Uniform(-5.0, 5.0))
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_told: bool = False

    @property
    def defaults(self) -> dict[str, Any]:
        """What of the domain's flags the mixture decides."""
        return {"noise_stddev": self.noise_stddev} | dict(self.settings)

    @property
    def mode_names(self) -> list[str]:
        """The families' names, in the order of `TaskBatch.mode`."""
        return [family.name for family in self.families]

    def sample(self, draw: Draw, num_shots: int, num_queries: int) -> TaskBatch:
        """A batch of tasks with noisy targets.

        Args:
          draw: which batch.
          num_shots: K, support points per task.
          num_queries: query points per task, drawn independently of the support points.

        Returns:
          x [num_tasks, num_shots or num_queries, input_size], y [..., 1], mode [num_tasks].
        """
        support_seed, query_seed, noise_seed, task_seed = self._seeds(draw)
        support_x = self.inputs.sample([draw.num_tasks, num_shots, 1], support_seed)
        query_x = self.inputs.sample([draw.num_tasks, num_queries, 1], query_seed)
        clean = self._values(task_seed, tf.concat([support_x, query_x], 1))
        noise = tf.random.stateless_normal(clean.shape, noise_seed, stddev=self.noise_stddev)
        support_y, query_y = tf.split(clean + noise, [num_shots, num_queries], 1)
        mode = tf.repeat(tf.range(len(self.families)), draw.num_tasks // len(self.families))
        support = Examples(self._seen(draw, support_x), support_y)
        query = Examples(self._seen(draw, query_x), query_y)
        return TaskBatch(support, query, mode)

    def grid(self, draw: Draw, x: tf.Tensor) -> tf.Tensor:
        """`sample`'s tasks' inputs at the points x [N]: [num_tasks, N, input_size]."""
        return self._seen(draw, _for_each(draw, x))

    def _seen(self, draw: Draw, x: tf.Tensor) -> tf.Tensor:
        if not self.is_told:
            return x
        parameters = self.parameters(draw)[:, None]
        return tf.concat([x, tf.repeat(parameters, x.shape[1], 1)], -1)

    def curves(self, draw: Draw, x: tf.Tensor) -> tf.Tensor:
        """The noise-free functions of `sample`'s tasks at the points x [N]: [num_tasks, N]."""
        *_, task_seed = self._seeds(draw)
        return self._values(task_seed, _for_each(draw, x))[..., 0]

    def parameters(self, draw: Draw) -> tf.Tensor:
        """What `sample`'s functions are: [num_tasks, P], for every family whether it is the task's
        (one or zero) and its parameters (zero for the others')."""
        *_, task_seed = self._seeds(draw)
        each = draw.num_tasks // len(self.families)
        blocks = []
        for drawn in self._parameters(task_seed, draw.num_tasks):
            values = [tf.ones([each, 1]), *(tf.reshape(v, [each, 1]) for v in drawn.values())]
            blocks.append(tf.linalg.LinearOperatorFullMatrix(tf.concat(values, 1)))
        return tf.linalg.LinearOperatorBlockDiag(blocks).to_dense()

    @property
    def num_parameters(self) -> int:
        """P."""
        return sum(1 + len(family.priors) for family in self.families)

    @property
    def input_size(self) -> int:
        """Numbers in an x."""
        return 1 + (self.num_parameters if self.is_told else 0)

    @property
    def input_range(self) -> tuple[float, float]:
        """Where x is drawn."""
        return self.inputs.low, self.inputs.high

    def one_sided(self) -> Self:
        """The same functions, of whose inputs only the lower half of the range is met."""
        low, high = self.inputs.low, self.inputs.high
        return replace(self, inputs=Uniform(low, (low + high) / 2))

    def told(self) -> Self:
        """The same tasks, whose inputs say which function it is."""
        return replace(self, is_told=True)

    def _seeds(self, draw: Draw) -> list[tf.Tensor]:
        # Its type matters to fold_in; datasets count in int64.
        iteration = tf.cast(draw.iteration, tf.int64)
        base = tf.random.fold_in(tf.constant([draw.seed, draw.stream.value]), iteration)
        return tf.unstack(tf.random.split(base, 4))

    def _values(self, task_seed: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """f_j(x_j) of freshly drawn functions f_j: [tasks, N, 1] -> [tasks, N, 1]."""
        parts = zip(
            self.families,
            tf.split(x, len(self.families)),
            self._parameters(task_seed, x.shape[0]),
            strict=True,
        )
        return tf.concat([family.function(inputs, **drawn) for family, inputs, drawn in parts], 0)

    def _parameters(self, task_seed: tf.Tensor, num_tasks: int) -> list[dict[str, tf.Tensor]]:
        """Every family's parameters, [tasks of it, 1, 1] each."""
        drawn = []
        for index, family in enumerate(self.families):
            seeds = tf.random.split(tf.random.fold_in(task_seed, index), len(family.priors))
            drawn.append(
                {
                    name: prior.sample([num_tasks // len(self.families), 1, 1], seeds[position])
                    for position, (name, prior) in enumerate(family.priors.items())
                }
            )
        return drawn


def _for_each(draw: Draw, x: tf.Tensor) -> tf.Tensor:
    """The points x [N] for each task: [num_tasks, N, 1]."""
    return tf.tile(tf.reshape(x, [1, -1, 1]), [draw.num_tasks, 1, 1])


# [MAML] 5.1.
PLAIN_SINUSOID = dict(
    inner_steps=1,
    inner_lr=0.01,
    eval_steps=10,
    num_shots=10,
    num_queries=10,
    eval_queries=10,
    hidden_units=(40, 40),
    bias_transformation_size=0,
    meta_clip_norm=None,
)
# [MuMoMAML] Table 1, and the five modes of the follow-up.
MIXTURES = {
    "sinusoid": Mixture([SINUSOID], noise_stddev=0.0, settings=PLAIN_SINUSOID),
    "regression_2mode": Mixture([SINUSOID, LINEAR]),
    "regression_3mode": Mixture([SINUSOID, LINEAR, QUADRATIC]),
    "regression_5mode": Mixture([SINUSOID, LINEAR, QUADRATIC, TANH, ABS]),
}
