"""A network against its model, when it is built: a layer that is misread is an error, no number.

The model is made anew in float64 with random weights and seen two ways: by the rules, for two tasks
at once, and by Keras itself, for one task after the other. One inner step on a squared error,

    theta'_j = theta - alpha grad L_j(theta),   s(theta) = sum_j c_j . f(x_j; theta'_j),

must give the same outputs before and after it, so that both theta shared by the tasks and theta'_j
of their own are tried, and the rules' meta-gradient must be what s changes by along a random
direction. That difference quotient needs first derivatives of the model alone, which also Keras's
normalisation layers have right, where their second derivatives are wrong (`layers.normalisation`).
"""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.errors import reason
from mmaml_tf.networks.graph import cloned, has_graph

if TYPE_CHECKING:
    from mmaml_tf.networks.task_network import TaskNetwork

NetworkOf = Callable[[keras.Model], "TaskNetwork"]

TASKS, EXAMPLES = 2, 3
# What an axis of open length is tried with.
OPEN_LENGTH = 4
# Of the weights, relative: a ReLU has its kink within the step once in a million units.
STEP = 1e-7
# Float64 gives outputs to about 1e-12, and quotients over that step to about 1e-8.
SAME, SAME_SLOPE = 1e-8, 1e-5
# A kink spoils a quotient, not another one.
ATTEMPTS = 3

# What has been compared in this process already.
_passed: set[tuple] = set()


def check(model: keras.Model, network_of: NetworkOf, decided_by: tuple) -> None:
    """Compares a network with its model; once per process for models that are alike.

    Args:
      model: the network's.
      network_of: makes such a network of another model; not to be checked in turn.
      decided_by: what the outcome depends on besides the model's config.

    Raises:
      ValueError: if they differ, naming the first layer that does.
    """
    try:
        key = (model.to_json(), *decided_by)
    except (NotImplementedError, TypeError, ValueError):
        key = None
    if key is not None and key in _passed:
        return
    if not tf.executing_eagerly():
        raise ValueError(f"{model.name}: build the network outside of tf.function")
    with _float64():
        twin = _in_float64(model)
        _randomise(twin)
        problem = _problem(twin, network_of)
        if problem is not None:
            raise ValueError(_first_culprit(twin, network_of, problem))
    if key is not None:
        _passed.add(key)


@contextlib.contextmanager
def _float64() -> Iterator[None]:
    """New layers are float64, and what they draw costs nobody a random number."""
    policy, floatx, state = keras.config.dtype_policy(), keras.config.floatx(), random.getstate()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)
        random.setstate(state)


def _in_float64(model: keras.Model) -> keras.Model:
    """The model anew, with weights drawn anew."""

    def of_operation(operation: keras.Operation) -> keras.Operation:
        if has_graph(operation):
            return _in_float64(operation)
        try:
            return type(operation).from_config(_with_float64(operation.get_config()))
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                f"{operation.name} ({type(operation).__name__}): can't be made anew from its "
                "config, which the check of its derivatives needs; write get_config, and let "
                "__init__ take **kwargs"
            ) from error

    # The input's type, too: a model rounds its inputs to it.
    (source,) = model.inputs if len(model.inputs) == 1 else (None,)
    if source is None:
        return cloned(model, of_operation)
    dtype = "float64" if keras.backend.is_float_dtype(source.dtype) else source.dtype
    start = keras.Input(batch_shape=source.shape, dtype=dtype)
    twin = cloned(model, of_operation, input_tensors=[start])
    return keras.Model(twin.inputs, twin.outputs[0], name=model.name)


def _with_float64(config: Any) -> Any:
    """A config with its float32 replaced, at any depth."""
    if isinstance(config, dict):
        return {
            name: "float64"
            if value == "float32" and name in ("dtype", "name")
            else _with_float64(value)
            for name, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(_with_float64(value) for value in config)
    return config


def _randomise(model: keras.Model) -> None:
    """Adds noise to all weights: zeros and ones would hide mistakes."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        fan_in = max(np.prod(variable.shape[:-1]), 4) if len(variable.shape) > 1 else 10
        variable.assign_add(rng.normal(size=variable.shape) / np.sqrt(fan_in))


class _Problem(NamedTuple):
    """How a network differs from its model."""

    description: str
    advice: str


OTHER_OUTPUTS = _Problem(
    "gives other outputs when it runs for many tasks at once than for one",
    "it must work on each example by itself",
)
OTHER_DERIVATIVES = _Problem(
    "has second derivatives that are not those of its outputs (does it call moments?)",
    "write out what it computes",
)


def _problem(model: keras.Model, network_of: NetworkOf) -> _Problem | None:
    """What is wrong, if anything."""
    try:
        for attempt in range(ATTEMPTS):
            problem = _difference(network_of(model), model, attempt)
            if problem is not OTHER_DERIVATIVES:
                return problem
        return problem
    except (TypeError, ValueError, IndexError, NotImplementedError, tf.errors.OpError) as error:
        return _Problem(f"does not run for many tasks at once ({reason(error)})", "")


def _difference(network: "TaskNetwork", model: keras.Model, attempt: int) -> _Problem | None:
    rng = np.random.default_rng(attempt)
    support_x, query_x = (_inputs(model, rng) for _ in range(2))
    theta = [variable.value for variable in model.trainable_variables]
    keras_view = _KerasView(model, support_x, query_x, rng)
    with tf.GradientTape() as meta_tape:
        meta_tape.watch(theta)
        prior = network.prior(rows_seen=1)  # factored wherever one row is cheaper so
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            before, trace = network.forward(support_x, prior, watch=tape.watch)
            loss = tf.reduce_sum(keras_view.losses(before))
        gradients = network.gradients(trace, tape.gradient(loss, network.leaves(trace)))
        fast = [w.updated(g, keras_view.rate) for w, g in zip(prior, gradients, strict=True)]
        after = network.forward(query_x, fast)[0]
        score = tf.reduce_sum(keras_view.weights * after)
    slopes = meta_tape.gradient(score, theta, unconnected_gradients="zero")
    expected_after, expected_score = keras_view.adapted(theta)
    shared = network.forward(support_x, network.prior())[0]
    expected = [(shared, keras_view.before), (before, keras_view.before), (after, expected_after)]
    if not all(_close(*pair) for pair in expected):
        return OTHER_OUTPUTS
    directions = [_direction(variable, rng) for variable in theta]
    pairs = list(zip(theta, directions, strict=True))
    above = keras_view.adapted([w + STEP * d for w, d in pairs])[1]
    below = keras_view.adapted([w - STEP * d for w, d in pairs])[1]
    slope = float(above - below) / (2 * STEP)
    parts = [float(tf.reduce_sum(g * d)) for g, d in zip(slopes, directions, strict=True)]
    scale = abs(slope) + sum(map(abs, parts)) + 0.1 * abs(float(expected_score))
    return OTHER_DERIVATIVES if abs(slope - sum(parts)) > SAME_SLOPE * scale else None


class _KerasView:
    """The model as Keras runs it, one task after the other."""

    def __init__(self, model: keras.Model, support_x: Any, query_x: Any, rng: np.random.Generator):
        self.model, self.support_x, self.query_x = model, support_x, query_x
        theta = [variable.value for variable in model.trainable_variables]
        self.before = tf.stack([self._outputs(theta, x) for x in support_x])
        self.targets = rng.normal(size=self.before.shape)
        self.weights = rng.normal(size=self.before.shape)
        self.rate = tf.constant(1.0, tf.float64)
        size = tf.linalg.global_norm(self._gradient(theta, 0))
        # A step that changes theta by a share of its own size.
        self.rate = 0.1 * tf.linalg.global_norm(theta) / tf.maximum(size, 1e-12)

    def losses(self, outputs: tf.Tensor) -> tf.Tensor:
        """Each task's squared error."""
        return tf.reduce_mean((outputs - self.targets) ** 2, list(range(1, outputs.shape.rank)))

    def adapted(self, theta: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Outputs after the inner step, and s(theta)."""
        outputs = []
        for task in range(TASKS):
            gradient = self._gradient(theta, task)
            stepped = [w - self.rate * g for w, g in zip(theta, gradient, strict=True)]
            outputs.append(self._outputs(stepped, self.query_x[task]))
        return tf.stack(outputs), tf.reduce_sum(self.weights * tf.stack(outputs))

    def _gradient(self, theta: list[tf.Tensor], task: int) -> list[tf.Tensor]:
        theta = [tf.convert_to_tensor(part) for part in theta]
        with tf.GradientTape() as tape:
            tape.watch(theta)
            outputs = self._outputs(theta, self.support_x[task])
            loss = tf.reduce_mean((outputs - self.targets[task]) ** 2)
        parts = tape.gradient(loss, theta, unconnected_gradients="zero")
        return [tf.convert_to_tensor(part) for part in parts]

    def _outputs(self, theta: list[tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        state = self.model.non_trainable_variables
        return self.model.stateless_call(theta, state, x, training=True)[0]


def _inputs(model: keras.Model, rng: np.random.Generator) -> tf.Tensor:
    """Generic inputs [tasks, N, ...] of the model's type."""
    (source,) = model.inputs
    shape = (TASKS, EXAMPLES, *(size or OPEN_LENGTH for size in source.shape[1:]))
    if keras.backend.is_float_dtype(source.dtype):
        return tf.constant(rng.normal(size=shape))
    return tf.cast(rng.integers(0, 2, shape), source.dtype)  # what every vocabulary has


def _direction(variable: tf.Tensor, rng: np.random.Generator) -> np.ndarray:
    values = np.asarray(variable)
    return rng.normal(size=values.shape) * (np.sqrt(np.mean(values**2)) + 1e-3)


def _close(actual: tf.Tensor, expected: tf.Tensor) -> bool:
    if actual.shape != expected.shape:
        return False
    limit = SAME * (1 + np.abs(expected).max())
    return bool(np.abs(actual - expected).max() <= limit)


def _first_culprit(model: keras.Model, network_of: NetworkOf, problem: _Problem) -> str:
    """The message: of the first operation up to which the model differs already."""
    for operation in model.operations:
        outputs = keras.tree.flatten(operation.output)
        part = keras.Model(model.inputs, outputs[0])
        if len(outputs) > 1 or not part.trainable_variables:
            continue
        found = _problem(part, network_of)
        if found is not None:
            return _message(f"{operation.name} ({type(operation).__name__})", found)
    return _message(model.name, problem)


def _message(name: str, problem: _Problem) -> str:
    advice = problem.advice and f"; {problem.advice}"
    return (
        f"{name}: {problem.description}{advice}, give it a rule "
        "(mmaml_tf.layers.rules.rule_for), or leave it out"
    )
