"""The arguments of a SavedModel's signatures, checked in its graph.

What is wrong is an `InvalidArgumentError` that names the argument, what it must be and what it is;
never a number.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import tensorflow as tf

Sizes = dict[str, tf.Tensor]
# Numbers that an error shows at most.
SHOWN = 8


class Input(NamedTuple):
    """What an argument must be. Floats must be finite besides.

    Attributes:
      shape: sizes. A name stands for any size but 0; for that of the signature's first argument
        where it has the name too.
      dtype: type of the values.
      below: the values are whole numbers from 0 to below - 1, of whichever type; None for any.
      meaning: what these numbers are, for the message.
    """

    shape: tuple[str | int, ...] = ()
    dtype: tf.DType = tf.float32
    below: int | None = None
    meaning: str = ""

    def batched(self, *axes: str) -> Self:
        """The same for every element along these axes, which come first."""
        return self._replace(shape=(*axes, *self.shape))

    @property
    def static_shape(self) -> list[int | None]:
        """The shape with None for its names."""
        return [size if isinstance(size, int) else None for size in self.shape]


def signature(function: Callable[..., Any], inputs: Mapping[str, Input]) -> Any:
    """A concrete function that checks its arguments and calls `function` with them, by name."""

    def serve(**values: tf.Tensor) -> Any:
        return function(**checked(values, inputs))

    specs = {
        name: tf.TensorSpec(wanted.static_shape, wanted.dtype, name)
        for name, wanted in inputs.items()
    }
    return tf.function(serve, autograph=False).get_concrete_function(**specs)


def checked(values: Mapping[str, tf.Tensor], inputs: Mapping[str, Input]) -> dict[str, tf.Tensor]:
    """The values, asserted to be as the inputs say: the shapes in turn, then what they hold."""
    first = next(iter(inputs))
    common: Sizes = {}
    assertions: list[tf.Operation] = []
    for name, wanted in inputs.items():
        with tf.control_dependencies(assertions):
            assertion, sizes = _assert_shape(name, values[name], wanted, common, first)
        assertions.append(assertion)
        common = common or sizes
    with tf.control_dependencies(assertions):
        shaped = {name: tf.identity(values[name]) for name in inputs}
    return {name: _checked_values(name, shaped[name], inputs[name]) for name in inputs}


def _assert_shape(
    name: str, value: tf.Tensor, wanted: Input, common: Sizes, first: str
) -> tuple[tf.Operation, Sizes]:
    """Asserts the rank and all sizes, those in `common` by name; and the value's sizes by name."""
    shape, rank = _shape_in_fact(value), len(wanted.shape)
    # Brought to the wanted length: a plain `shape[axis]` fails by itself at a wrong rank.
    sizes = tf.unstack(tf.concat([shape, tf.zeros([rank], tf.int32)], 0)[:rank], rank)
    named = {
        axis: size for axis, size in zip(wanted.shape, sizes, strict=True) if isinstance(axis, str)
    }
    allowed = {axis: tf.maximum(size, 1) for axis, size in named.items()} | common
    right = tf.stack(
        [rank, *(allowed[axis] if isinstance(axis, str) else axis for axis in wanted.shape)]
    )
    is_right = tf.reduce_all(tf.stack([tf.size(shape), *sizes]) == right)
    shared = " and ".join(axis for axis in named if axis in common)
    message = f"{name} must be [{', '.join(map(str, wanted.shape))}]"
    message += f" with {shared} as in {first}, such as" if shared else ", such as"
    data = [message, right[1:], "but its shape is", shape]
    return tf.debugging.Assert(is_right, data, SHOWN), named


def _shape_in_fact(value: tf.Tensor) -> tf.Tensor:
    """The shape of what is fed, whatever is declared: [rank].

    TensorFlow's graph optimizer replaces `tf.shape(value)` by the shape that is declared, or that
    later operations need, and would drop the assertions. It can't look into an `Optional`.
    """
    boxed = tf.raw_ops.OptionalFromValue(components=[value])
    (fed,) = tf.raw_ops.OptionalGetValue(
        optional=boxed, output_types=[value.dtype], output_shapes=[None]
    )
    return tf.shape(fed)


def _checked_values(name: str, value: tf.Tensor, wanted: Input) -> tf.Tensor:
    """The value, asserted to be finite, and of labels that they are whole and within the limits."""
    if wanted.dtype.is_floating:
        value = tf.debugging.check_numerics(value, f"{name} must be finite")
    if wanted.below is None:
        return value
    flat = tf.reshape(value, [-1])
    is_whole = flat == tf.round(flat)
    wrong = tf.boolean_mask(flat, (flat < 0) | (flat >= wanted.below) | ~is_whole)
    limits = f"{name} must be 0 to {wanted.below - 1} ({wanted.meaning})"
    with tf.control_dependencies([assert_none(wrong, limits)]):
        return tf.identity(value)


def assert_none(wrong: tf.Tensor, message: str) -> tf.Operation:
    """Asserts that there are no such values; the message says what they must be."""
    return tf.debugging.Assert(tf.size(wrong) == 0, [f"{message}, but there is", wrong], SHOWN)
