"""Models that can't be meta-learned: one line that names the layer, why, and what to do."""

import warnings
from typing import Any

import keras
import numpy as np

from mmaml_tf.layers.folded import in_training
from mmaml_tf.networks.graph import Call, Graph, has_graph, symbolic

HALVES = ("float16", "bfloat16")


def refuse_without_graph(model: Any) -> None:
    """A model must be Sequential or Functional, and built.

    Raises:
      ValueError: if it is not.
    """
    if has_graph(model):
        return
    name = getattr(model, "name", type(model).__name__)
    if isinstance(model, keras.Sequential):
        raise ValueError(f"{name}: isn't built; begin the Sequential model with a keras.Input")
    raise ValueError(
        f"{name}: a {type(model).__name__} is no Sequential or Functional Keras model, so its "
        "layers are not known; build it as keras.Model(inputs, outputs)"
    )


def refuse(model: keras.Model, graph: Graph) -> None:
    """What else can be seen without running the model.

    Raises:
      ValueError: for what the functions below say.
    """
    for ends, name in ((graph.inputs, "inputs"), (graph.outputs, "outputs")):
        if len(ends) != 1:
            raise ValueError(
                f"{model.name}: has {len(ends)} {name}; a base network has one input and one "
                "output: join them by a Concatenate layer"
            )
    if graph.inputs[0].dtype == "string":
        raise ValueError(
            f"{model.name}: takes strings; vectorize them before, and give the model whole numbers"
        )
    if not any(call.operation.trainable_variables for call in _layers(graph)):
        raise ValueError(f"{model.name}: has no trainable weights, so nothing can adapt")
    for call in graph.calls:
        _refuse_mixing(call)
    for call in _layers(graph):
        _refuse_drawing(call)
        _refuse_masking(call)
        _refuse_precision(call)
        _refuse_regulariser(call)
        _refuse_constraint(call)
        _refuse_integers(call)
        _refuse_open_sizes(call)
    _refuse_shared_variables(graph)


def warn_of_idle_bias(conv: keras.layers.Layer, norm: keras.layers.Layer) -> None:
    """A bias that the batch norm after it subtracts again."""
    if getattr(conv, "use_bias", False):
        warnings.warn(
            f"{conv.name}: its bias has no effect, as {norm.name} subtracts the mean; "
            "use_bias=False is faster",
            stacklevel=2,
        )


def warn_of_late_site(layer: keras.layers.Layer) -> None:
    """A layer whose activation comes before its modulation."""
    warnings.warn(
        f"{layer.name} ({type(layer).__name__}): is modulated after its activation; make the "
        "activation a layer of its own to modulate before it, as the paper does",
        stacklevel=2,
    )


def _layers(graph: Graph) -> list[Call]:
    return [call for call in graph.calls if isinstance(call.operation, keras.layers.Layer)]


def _refuse_mixing(call: Call) -> None:
    for tensor in call.inputs() + call.outputs:
        if tensor.shape[:1] != (None,):
            raise ValueError(
                f"{_named(call)}: its tensor {tensor.shape} has no axis of examples in front, so "
                "it mixes the examples of a batch; work on each example by itself"
            )


def _refuse_drawing(call: Call) -> None:
    if _draws(call):
        raise ValueError(
            f"{_named(call)}: draws random numbers, and would draw the same ones for ever in a "
            "meta-learned model; leave it out"
        )


def _draws(call: Call) -> bool:
    """Whether the state of a random generator moves on: some layers have one that they don't use,
    as recurrent ones without dropout."""
    layer = call.operation
    state = layer.non_trainable_variables
    weights = {id(variable) for variable in layer.non_trainable_weights}
    generators = [i for i, variable in enumerate(state) if id(variable) not in weights]
    if not generators:
        return False
    args, kwargs = keras.tree.map_structure(_zeros_like, (call.args, call.kwargs))
    _, after = layer.stateless_call(
        layer.trainable_variables, state, *args, **kwargs, **in_training(layer)
    )
    return any(np.any(after[i] != state[i].numpy()) for i in generators)


def _zeros_like(value: Any) -> Any:
    if not symbolic(value):
        return value
    return keras.ops.zeros([size or 2 for size in value.shape], value.dtype)


def _refuse_masking(call: Call) -> None:
    layer = call.operation
    if isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False):
        raise ValueError(
            f"{_named(call)}: makes a mask, which does not reach the layers after it here; "
            "multiply by a mask of your own instead"
        )


def _refuse_precision(call: Call) -> None:
    layer = call.operation
    if layer.compute_dtype != layer.variable_dtype or layer.compute_dtype in HALVES:
        raise ValueError(
            f"{_named(call)}: half or mixed precision ({layer.dtype_policy.name}) loses the second "
            "derivatives; use dtype='float32'"
        )


def _refuse_constraint(call: Call) -> None:
    constrained = [v for v in call.operation.trainable_variables if v.constraint is not None]
    if constrained:
        raise ValueError(
            f"{_named(call)}: has a constraint on {constrained[0].name}, which gradient steps on a "
            "task would not keep; leave it out"
        )


def _refuse_regulariser(call: Call) -> None:
    layer = call.operation
    regularised = [v for v in layer.trainable_variables if v.regularizer is not None]
    if regularised or getattr(layer, "activity_regularizer", None) is not None:
        raise ValueError(
            f"{_named(call)}: has a regularizer, which no task's loss would see; put the penalty "
            "into the loss"
        )


def _refuse_integers(call: Call) -> None:
    layer = call.operation
    if isinstance(layer, keras.layers.Embedding) or not layer.trainable_variables:
        return
    for tensor in call.inputs():
        if not keras.backend.is_float_dtype(tensor.dtype):
            raise ValueError(
                f"{_named(call)}: gets {tensor.dtype} numbers; put an Embedding or a Rescaling "
                "before it, or give the model a float input"
            )


def _refuse_open_sizes(call: Call) -> None:
    for tensor in call.inputs():
        if isinstance(call.operation, keras.layers.Conv2D) and None in tensor.shape[1:]:
            raise ValueError(
                f"{_named(call)}: needs images of a known size, but gets {tensor.shape}; give "
                "height and width in keras.Input"
            )


def _refuse_shared_variables(graph: Graph) -> None:
    owners: dict[int, keras.layers.Layer] = {}
    for call in _layers(graph):
        for variable in call.operation.trainable_variables:
            owner = owners.setdefault(id(variable), call.operation)
            if owner is not call.operation:
                raise ValueError(
                    f"{_named(call)}: shares {variable.path} with {owner.name}; share the whole "
                    "layer instead, by calling it twice"
                )


def _named(call: Call) -> str:
    return f"{call.operation.name} ({type(call.operation).__name__})"
