"""How a model's graph will run: a rule for every call, layers that run in one go, and sites.

A *site* is where tau modulates. By the stated rule there is one in every hidden block, before its
activation: a block is a Dense or Conv2D layer, perhaps a normalisation right after it, and an
activation, the layer's own or an activation layer that is next; the one that ends the model is not
hidden. What is computed by raw operations (`keras.ops.relu(h)`), or activated only after layers
were merged, is no such block: name the layers to modulate instead. A named layer is modulated
before its own activation if it has one that its rule applies, else at its output. A layer that is
called several times has a site, and a tau, per call.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

# The rules, registered by being imported.
from mmaml_tf.layers import appended, conv, dense, embedding, normalisation  # noqa: F401
from mmaml_tf.layers.fallback import one_by_one
from mmaml_tf.layers.folded import folded
from mmaml_tf.layers.rules import RULES, LayerCall, Pass, Rule
from mmaml_tf.networks import refusals
from mmaml_tf.networks.graph import Call, Graph, symbolic

BLOCKS = (keras.layers.Dense, keras.layers.Conv2D)
NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)
ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.PReLU,
    keras.layers.Softmax,
)

FOLDED = Rule(folded, lambda layer: True)
ONE_BY_ONE = Rule(one_by_one, lambda layer: True)


@dataclass
class Step:
    """A call as it will run.

    Attributes:
      call: what was recorded; of the last layer where two run in one go.
      rule: how.
      before: the layer before it that runs in the same go, or None.
      site: its number among the modulated ones, or None.
    """

    call: Call
    rule: Rule
    before: keras.layers.Layer | None = None
    site: int | None = None

    def run(self, a_pass: Pass, values: dict[int, Any]) -> None:
        """Adds the call's outputs to the values, by the identity of their symbolic tensors."""
        args, kwargs = keras.tree.map_structure(
            lambda value: values[id(value)] if symbolic(value) else value,
            (self.call.args, self.call.kwargs),
        )
        layer_call = LayerCall(self.call.operation, self.before, self.site, a_pass)
        outputs = self.rule.run(layer_call, *args, **kwargs)
        if self.site is not None:
            outputs = layer_call.modulated(outputs)
        for name, value in zip(self.call.outputs, keras.tree.flatten(outputs), strict=True):
            values[id(name)] = value


@dataclass
class Plan:
    """A model, ready to run.

    Attributes:
      start: the input's symbolic tensor.
      steps: in the order they run.
      end: the output's symbolic tensor.
      layers: those of theta, each once, in the order of their first call.
      adapting: those that the inner loop changes.
      rules: of those layers.
      site_units: units or channels of each site.
    """

    start: Any
    steps: list[Step]
    end: Any
    layers: list[keras.layers.Layer]
    adapting: list[keras.layers.Layer]
    rules: list[Rule]
    site_units: list[int]

    def late_sites(self) -> list[keras.layers.Layer]:
        """Layers that are modulated behind their own activation, having no rule to do it before."""
        modulated = [step for step in self.steps if step.site is not None]
        layers = [step.call.operation for step in modulated if step.rule in (FOLDED, ONE_BY_ONE)]
        none = (None, keras.activations.linear)
        return [layer for layer in layers if getattr(layer, "activation", None) not in none]

    def rows_per_example(self, layer: keras.layers.Layer) -> int | None:
        """How many rows a layer sees of every example, in all its calls; None if that is open."""
        shapes = [
            tensor.shape[1:-1]
            for step in self.steps
            if step.call.operation is layer
            for tensor in step.call.inputs()
        ]
        if any(None in shape for shape in shapes):
            return None
        return sum(math.prod(shape) for shape in shapes)


def planned(
    graph: Graph, sites: Sequence[str] | None = None, adapts: Sequence[str] | None = None
) -> Plan:
    """A graph's plan.

    Args:
      graph: of one input and one output.
      sites: names of the layers to modulate; None for the stated rule.
      adapts: names of the layers that the inner loop changes; None for all that have weights.

    Raises:
      ValueError: if there is no layer of a name.
    """
    neighbours = _Neighbours(graph)
    modulated = neighbours.of_hidden_blocks() if sites is None else _named(graph, sites)
    steps = _steps(graph, neighbours, modulated)
    numbered = [step for step in steps if step.site is not None]
    theta: dict[int, tuple[keras.layers.Layer, Rule]] = {}
    for call in graph.calls:
        if getattr(call.operation, "trainable_variables", None):
            rule = rule_of(call)
            theta.setdefault(id(call.operation), (call.operation, rule))
    layers = [layer for layer, _ in theta.values()]
    return Plan(
        graph.inputs[0],
        steps,
        graph.outputs[0],
        layers,
        layers if adapts is None else _adapting(layers, adapts),
        [rule for _, rule in theta.values()],
        [step.call.outputs[0].shape[-1] for step in numbered],
    )


def rule_of(call: Call) -> Rule:
    """How a call runs by itself.

    A layer that is frozen runs with its own weights, as one that has none. One that is called with
    settings of its own runs as it is.
    """
    operation = call.operation
    if getattr(operation, "variables", None) and not operation.trainable:
        return FOLDED
    rule = RULES.get(type(operation))
    given = keras.tree.flatten(call.args)
    if rule and not call.kwargs and all(map(symbolic, given)) and rule.fits(operation):
        return rule
    return ONE_BY_ONE if getattr(operation, "trainable_variables", None) else FOLDED


def _steps(graph: Graph, neighbours: "_Neighbours", modulated: set[int]) -> list[Step]:
    """A step per call, less those that run in one go with the next; the sites numbered."""
    steps: list[Step] = []
    joined: dict[int, Step] = {}
    num_sites = 0
    for call in graph.calls:
        after = neighbours.next(call)
        if after is not None and isinstance(after.operation, keras.layers.BatchNormalization):
            refusals.warn_of_idle_bias(call.operation, after.operation)
        if after is not None and id(call) not in modulated:
            both = _in_one_go(call, after)
            if both is not None:
                joined[id(after)] = both
                continue
        step = joined.get(id(call)) or Step(call, rule_of(call))
        if id(call) in modulated:
            step.site = num_sites
            num_sites += 1
        steps.append(step)
    return steps


def _in_one_go(call: Call, after: Call) -> Step | None:
    """The step for two calls, if there is a rule for the pair."""
    rule = RULES.get((type(call.operation), type(after.operation)))
    by_rules = all(rule_of(one) not in (FOLDED, ONE_BY_ONE) for one in (call, after))
    if rule is None or not by_rules or not rule.fits(call.operation, after.operation):
        return None
    both = Call(after.operation, call.args, call.kwargs, after.outputs)
    return Step(both, rule, before=call.operation)


def _named(graph: Graph, names: Sequence[str]) -> set[int]:
    """The calls of the layers of these names, by identity."""
    known = [call.operation.name for call in graph.calls]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"no layer {', '.join(unknown)} to modulate; choose from "
            f"{', '.join(dict.fromkeys(known))}"
        )
    return {id(call) for call in graph.calls if call.operation.name in names}


def _adapting(
    layers: Sequence[keras.layers.Layer], names: Sequence[str]
) -> list[keras.layers.Layer]:
    known = [layer.name for layer in layers]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"no layer {', '.join(unknown)} with weights to adapt; choose from {', '.join(known)}"
        )
    chosen = [layer for layer in layers if layer.name in names]
    require_own_names(chosen)
    return chosen


def require_own_names(layers: Sequence[keras.layers.Layer]) -> None:
    """Raises ValueError for two layers of one name, as nested models may have."""
    names = [layer.name for layer in layers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two layers are called {name}: give them names of their own")


class _Neighbours:
    """Which call comes after which."""

    def __init__(self, graph: Graph):
        self.calls = graph.calls
        self.ends = {id(tensor) for tensor in graph.outputs}
        self.users: dict[int, list[Call]] = {}
        for call in graph.calls:
            for tensor in call.inputs():
                self.users.setdefault(id(tensor), []).append(call)

    def next(self, call: Call) -> Call | None:
        """The only call that uses this one's output; None if there are several, or none."""
        users = self.users.get(id(call.outputs[0]), [])
        return users[0] if len(users) == 1 and not self.is_end(call) else None

    def is_end(self, call: Call) -> bool:
        """Whether it gives the model's output."""
        return id(call.outputs[0]) in self.ends

    def of_hidden_blocks(self) -> set[int]:
        """The calls before whose activation the stated rule modulates, by identity."""
        found = set()
        for call in self.calls:
            if not isinstance(call.operation, BLOCKS):
                continue
            if call.operation.activation is not keras.activations.linear:
                if not self.is_end(call):
                    found.add(id(call))
                continue
            last, after = call, self.next(call)
            if after is not None and isinstance(after.operation, NORMS):
                last, after = after, self.next(after)
            is_activated = after is not None and isinstance(after.operation, ACTIVATIONS)
            if after is not None and is_activated and not self.is_end(after):
                found.add(id(last))
        return found
