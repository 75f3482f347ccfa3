"""Rules: how a kind of Keras layer runs for many tasks at once, with weights of each task's own.

A rule is one function, given a `LayerCall` and the layer's inputs with a task axis in front,
[tasks, N, ...]. Adding one for a layer of your own:

    @rule_for(Scale)
    def scale(call, x):
        (factor,) = call.weights                            # [1 or tasks, units]
        return x * over_positions(factor, x)                # to [1 or tasks, 1, ..., units]

Layers without weights need no rule (`folded`); others without one run one task after the other
(`fallback`). Whatever the rule, a network is compared with its model when it is built (`check`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import FactoredWeights, TaskWeights
from mmaml_tf.layers.gradients import OutputTrace
from mmaml_tf.layers.modulation import AffineModulation, Modulation

Run = Callable[..., Any]


@dataclass(frozen=True)
class Rule:
    """How a kind of layer runs.

    Attributes:
      run: (call, inputs) -> outputs.
      fits: whether that is right for this very layer, as it is configured.
      at_outputs: the layer is dense and differentiated in its outputs (`OutputTrace`), so that its
        fast weights can be factored.
    """

    run: Run
    fits: Callable[..., bool]
    at_outputs: bool = False


# By the kind of layer, and by (a kind, the one right after it) for two that run in one go.
RULES: dict[Any, Rule] = {}


def rule_for(
    *kinds: type,
    after: type | None = None,
    fits: Callable[..., bool] = lambda *layers: True,
    at_outputs: bool = False,
) -> Callable[[Run], Run]:
    """Registers a function as the rule of these very kinds of layers (not of subclasses).

    Args:
      *kinds: layer classes.
      after: the class of the layer right before, where the rule runs both in one go; `call.before`
        is then that layer.
      fits: tells from the layer (or from the one before and the layer) whether the rule is right
        for it as it is configured; without a rule that fits, the layer runs as if it had none.
      at_outputs: see `Rule`.
    """

    def add(run: Run) -> Run:
        for kind in kinds:
            RULES[kind if after is None else (after, kind)] = Rule(run, fits, at_outputs)
        return run

    return add


@dataclass
class Pass:
    """One pass through a network: what all its calls have in common.

    Attributes:
      weights: fast weights by the layer's identity.
      modulation: of the network's sites; None for none.
      tau: one [tasks, ...] tensor per site; None for none.
      watch: told of the leaves; None where nothing is differentiated.
      num_rows: batch statistics come from the first so many of the N rows; None for all.
      watched: identities of the layers that are differentiated.
      outputs_of: of the layers that are differentiated in their outputs, by identity.
    """

    weights: dict[int, TaskWeights | FactoredWeights]
    modulation: Modulation | None
    tau: Any
    watch: Callable[[tf.Tensor], None] | None
    num_rows: int | tf.Tensor | None
    watched: frozenset[int] = frozenset()
    outputs_of: dict[int, OutputTrace] = field(default_factory=dict)


@dataclass
class LayerCall:
    """One call of a layer in a pass: what a rule sees.

    Attributes:
      layer: the Keras layer (or operation).
      before: the layer that runs in the same go, right before this one; mostly None.
      site: the call's number among the modulated ones; None if it isn't.
      run: the pass.
    """

    layer: Any
    before: Any
    site: int | None
    run: Pass
    is_modulated: bool = False

    @property
    def fast(self) -> TaskWeights | FactoredWeights:
        """The layer's fast weights."""
        return self.weights_of(self.layer)

    @property
    def weights(self) -> tuple[tf.Tensor, ...]:
        """theta' of the layer: one tensor [1 or tasks, ...] per trainable variable."""
        return self.fast.parts

    @property
    def num_rows(self) -> int | tf.Tensor | None:
        """How many of the first rows batch statistics come from; None for all."""
        return self.run.num_rows

    def weights_of(self, layer: keras.layers.Layer) -> TaskWeights | FactoredWeights:
        """The fast weights of this layer or the one before; none if they are frozen."""
        return self.run.weights.get(id(layer), TaskWeights(()))

    def modulated(self, z: tf.Tensor) -> tf.Tensor:
        """z [tasks, N, ..., units] modulated, if this is a site: to be called on what goes into
        the layer's own activation. A rule that doesn't is modulated at its output."""
        modulation = self.run.modulation
        if self.is_modulated or self.site is None or self.run.tau is None or modulation is None:
            return z
        self.is_modulated = True
        return modulation(z, self.run.tau[self.site])

    def with_affine_modulation(self, scale: Any, shift: Any) -> tuple[Any, Any]:
        """A scale and a shift per channel, [1 or tasks, channels] or numbers, with an affine
        modulation folded in; any other is left to `modulated`, which is called next."""
        modulation = self.run.modulation
        if not isinstance(modulation, AffineModulation) or self.site is None or not self.run.tau:
            return scale, shift
        self.is_modulated = True
        gain, offset = modulation.affine(self.run.tau[self.site])
        shift = gain * shift
        return gain * scale, shift if offset is None else shift + offset

    def differentiated_at(self, inputs: tf.Tensor, z: tf.Tensor) -> None:
        """Notes a dense layer's rows, [tasks, N, in] and [tasks, N, out], for its gradient."""
        if self.run.watch is None or id(self.layer) not in self.run.watched:
            return
        self.run.watch(z)
        trace = self.run.outputs_of.setdefault(
            id(self.layer), OutputTrace([], [], has_bias=len(self.weights) == 2)
        )
        trace.inputs.append(inputs)
        trace.leaves.append(z)


def has_own_weights(layer: keras.layers.Layer) -> bool:
    """Whether the layer runs with its variables as they are: neither LoRA's nor quantised ones."""
    return not getattr(layer, "lora_enabled", False) and layer.quantization_mode is None
