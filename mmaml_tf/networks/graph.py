"""A Keras model's graph as a list of calls, recorded with public Keras API."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras


@dataclass
class Call:
    """One call of a layer or raw operation. Symbolic tensors serve as the names of values.

    Attributes:
      operation: what is called.
      args: symbolic tensors, possibly nested, and constants.
      kwargs: likewise, without those that are None, and without `training`.
      outputs: symbolic tensors.
    """

    operation: keras.Operation
    args: tuple
    kwargs: dict[str, Any]
    outputs: list

    def inputs(self) -> list:
        """The symbolic tensors among the arguments."""
        return [value for value in keras.tree.flatten((self.args, self.kwargs)) if symbolic(value)]

    def renamed(self, names: dict[int, Any]) -> "Call":
        """The same call with other symbolic tensors, by the identity of those here."""
        args, kwargs, outputs = keras.tree.map_structure(
            lambda value: names.get(id(value), value), (self.args, self.kwargs, self.outputs)
        )
        return Call(self.operation, args, kwargs, outputs)


class Graph(NamedTuple):
    """A model: its calls in an order in which they can run.

    Attributes:
      inputs: symbolic tensors.
      calls: nested models are taken apart, so these are layers and raw operations alone.
      outputs: symbolic tensors.
    """

    inputs: list
    calls: list[Call]
    outputs: list


def symbolic(value: Any) -> bool:
    """Whether a call's argument is a tensor of the graph."""
    return isinstance(value, keras.KerasTensor)


def has_graph(model: Any) -> bool:
    """Whether it is a Sequential or Functional model that knows its input's shape."""
    if not isinstance(model, keras.Model):
        return False
    try:
        return bool(model.inputs and model.outputs)
    except (AttributeError, ValueError):
        return False


class _StandIn(keras.Operation):
    """Takes an operation's place while the graph is recorded, so that it isn't touched."""

    def __init__(self, operation: keras.Operation):
        super().__init__()
        self.operation = operation

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.operation.compute_output_spec(*args, **kwargs)


def recorded(model: keras.Model) -> Graph:
    """The graph of a model that `has_graph`.

    Raises:
      ValueError: if a nested model is called with settings of its own.
    """
    calls: list[Call] = []

    def record(stand_in: _StandIn, *args: Any, **kwargs: Any) -> Any:
        outputs = stand_in(*args, **kwargs)
        # A model that runs in training mode tells every layer so, whatever the call says.
        kwargs = {n: value for n, value in kwargs.items() if value is not None and n != "training"}
        call = Call(stand_in.operation, args, kwargs, keras.tree.flatten(outputs))
        if not has_graph(call.operation):
            calls.append(call)
            return outputs
        if not all(symbolic(value) for value in keras.tree.flatten((args, kwargs))):
            raise ValueError(
                f"{call.operation.name}: a model within a model must be called on tensors alone"
            )
        inner = recorded(call.operation)
        ends = zip(inner.inputs + inner.outputs, call.inputs() + call.outputs, strict=True)
        names = {id(inside): outside for inside, outside in ends}
        calls.extend(inner_call.renamed(names) for inner_call in inner.calls)
        return outputs

    clone = cloned(model, _StandIn, record)
    return Graph(clone.inputs, calls, clone.outputs)


def cloned(
    model: keras.Model, of_operation: Callable, call: Callable | None = None, **options: Any
) -> keras.Model:
    """`keras.models.clone_model` as a Functional model, whatever kind it is of."""
    functional = keras.Model(model.inputs, model.outputs)
    return keras.models.clone_model(
        functional, clone_function=of_operation, call_function=call, **options
    )
