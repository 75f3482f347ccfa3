"""A Keras model as the base network f of every method: all tasks at once, with fast weights."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mmaml_tf.layers.fast_weights import (
    FactoredWeights,
    Fast,
    TaskWeights,
    copy_per_task,
    num_tasks_of,
    per_task,
    weights_form,
)
from mmaml_tf.layers.gradients import Gradient, OutputTrace, WeightTrace
from mmaml_tf.layers.modulation import Modulation
from mmaml_tf.layers.rules import Pass
from mmaml_tf.networks import refusals
from mmaml_tf.networks.check import check
from mmaml_tf.networks.copies import fresh
from mmaml_tf.networks.graph import recorded
from mmaml_tf.networks.plan import planned


class TaskNetwork(keras.layers.Layer):
    """A Sequential or Functional Keras model, run with a task axis in front.

    theta stays in the model's own variables, so that `model.save` and `get_weights` keep working.
    Every trainable weight is part of theta; frozen layers run with their own. The model always runs
    in training mode, and nothing that it would remember is updated: batch norm uses the statistics
    of the set at hand, as in MAML, and its moving averages stay as they are, so that the plain
    `model.predict` of a model with batch norm is not what was trained.

    A query set is normalised by its own statistics, as in the papers: predictions on it then depend
    on one another (*transductive*). With `support_statistics`, `predict` normalises queries by the
    statistics of the support set.

    Args:
      model: Sequential or Functional, of one input and one output, built.
      modulation: of every site, or None.
      sites: names of the layers to modulate; None for every hidden block (`networks.plan`).
      adapts: names of the layers whose weights the inner loop changes; None for all. The others are
        theta for every task.
      support_statistics: whether `predict` normalises by the support set alone.
      num_groups: independent copies of the model, each with its own initial draw (Multi-MAML: one
        per mode). Tasks sorted by group, as many of each, need not say which is theirs.
      checked: whether building it compares it with the model (`networks.check`).

    Raises:
      ValueError: for a model that can't be meta-learned, a name that no layer has, or a modulation
        of a model without sites.
    """

    def __init__(
        self,
        model: keras.Model,
        modulation: Modulation | None = None,
        sites: Sequence[str] | None = None,
        adapts: Sequence[str] | None = None,
        support_statistics: bool = False,
        num_groups: int = 1,
        checked: bool = True,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        refusals.refuse_without_graph(model)
        graph = recorded(model)
        refusals.refuse(model, graph)
        self.plan = planned(graph, sites, adapts)
        if modulation is not None and not self.plan.site_units:
            raise ValueError(
                f"{model.name}: has no hidden block to modulate (a Dense or Conv2D layer with an "
                "activation); name the layers in `sites`"
            )
        if modulation is not None:
            for layer in self.plan.late_sites():
                refusals.warn_of_late_site(layer)
        self.models = [model, *(fresh(model) for _ in range(num_groups - 1))]
        self.modulation = modulation
        self.support_statistics = support_statistics
        self.checked = checked

    @property
    def model(self) -> keras.Model:
        """The model; with several groups, the first one's."""
        return self.models[0]

    @property
    def num_groups(self) -> int:
        """How many independent sets of slow weights there are."""
        return len(self.models)

    @property
    def groups(self) -> list[list[keras.Variable]]:
        """theta of each group."""
        return [model.trainable_variables for model in self.models]

    @property
    def normalises_queries_together(self) -> bool:
        """Whether a query's prediction depends on those beside it, by batch norm."""
        norms = (keras.layers.BatchNormalization,)
        return not self.support_statistics and any(isinstance(n, norms) for n in self.plan.layers)

    @property
    def site_units(self) -> list[int]:
        """Units (or channels) of each modulated site, for the modulator's heads."""
        return self.plan.site_units

    def build(self, input_shape: tuple) -> None:
        """Compares the network with its model, for inputs [tasks, N, ...].

        Raises:
          ValueError: if the model takes other inputs, or a layer would not be run as it should.
        """
        wanted = self.model.input_shape[1:]
        given = tuple(input_shape[2:])
        pairs = zip(wanted, given, strict=False)
        if len(wanted) != len(given) or any(
            None not in pair and len({*pair}) > 1 for pair in pairs
        ):
            raise ValueError(
                f"{self.model.name}: takes examples of shape {wanted}, not {given}; make the model "
                "for the tasks' inputs"
            )
        if self.checked:
            rules = ((type(step.call.operation), step.rule.run) for step in self.plan.steps)
            check(self.model, lambda twin: TaskNetwork(twin, checked=False), tuple(rules))

    def prior(self, groups: tf.Tensor | None = None, rows_seen: int | None = None) -> Fast:
        """theta as fast weights, one entry per layer with trainable variables.

        Args:
          groups: [tasks] int, picks one of the network's groups of slow weights for every task;
            None if there is one group, or if the tasks are sorted into equal groups.
          rows_seen: support examples times gradient steps, which decides per dense layer whether
            its fast weights are factored or multiplied out; None multiplies all out.

        Raises:
          ValueError: if a layer was frozen since.
        """
        index = {id(variable): i for i, variable in enumerate(self.model.trainable_variables)}

        def theta(variable: keras.Variable) -> tf.Tensor:
            sets = [variables[index[id(variable)]] for variables in self.groups]
            if len(sets) == 1:
                return tf.convert_to_tensor(sets[0])[None]
            stacked = tf.stack([tf.convert_to_tensor(variable) for variable in sets])
            return stacked if groups is None else tf.gather(stacked, groups)

        frozen = [layer.name for layer in self.plan.layers if not layer.trainable_variables]
        if frozen:
            raise ValueError(
                f"{', '.join(frozen)}: frozen too late; freeze before making a learner"
            )
        return [
            form(tuple(theta(variable) for variable in layer.trainable_variables))
            for form, layer in zip(self._forms(rows_seen), self.plan.layers, strict=True)
        ]

    def in_order(self, fast: Fast) -> list[tf.Tensor]:
        """Materialised fast weights, in the order of the model's variables: [tasks, ...]."""
        parts = {
            id(variable): part
            for layer, weights in zip(self.plan.layers, fast, strict=True)
            for variable, part in zip(layer.trainable_variables, weights.parts, strict=True)
        }
        return [parts[id(variable)] for variable in self.model.trainable_variables]

    def _forms(self, rows_seen: int | None) -> list[type[FactoredWeights] | type[TaskWeights]]:
        """The fast-weight form of each layer."""
        forms: list[type[FactoredWeights] | type[TaskWeights]] = []
        for rule, layer in zip(self.plan.rules, self.plan.layers, strict=True):
            rows = self.plan.rows_per_example(layer)
            if rule.at_outputs and rows_seen is not None and rows is not None:
                fan_in, fan_out = layer.kernel.shape
                forms.append(weights_form(fan_in, fan_out, rows_seen * rows))
            else:
                forms.append(TaskWeights)
        return forms

    def forward(
        self,
        x: tf.Tensor,
        fast: Fast,
        tau: Sequence[tf.Tensor] | None = None,
        watch: Callable[[tf.Tensor], None] | None = None,
        num_rows: int | tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[Any]]:
        """f(x; theta', tau) and the trace of the pass, from which the inner gradients come.

        Args:
          x: [tasks, N, ...].
          fast: one set of fast weights per layer of theta.
          tau: one [tasks, ...] tensor per site; None for no modulation.
          watch: told of every leaf, a tensor that the inner loss is to be differentiated in (a
            gradient tape's `watch`).
          num_rows: batch norm's statistics come from the first so many of the N examples; None for
            all.

        Returns:
          The outputs [tasks, N, ...], and an `OutputTrace` or a `WeightTrace` of each layer that
          adapts.

        Raises:
          ValueError: if tau does not have one entry per site, or nothing to apply it.
        """
        self._require_one_tau_per_site(tau)
        layers, rules, num_tasks = self.plan.layers, self.plan.rules, num_tasks_of(x)
        weights, trace = {}, {}
        watched = frozenset(map(id, self.plan.adapting))
        for layer, rule, own in zip(layers, rules, fast, strict=True):
            if not rule.at_outputs:
                own = TaskWeights(tuple(per_task(part, num_tasks) for part in own.parts))
                if watch is not None and id(layer) in watched:
                    own = TaskWeights(tuple(copy_per_task(part, num_tasks) for part in own.parts))
                    for part in own.parts:
                        watch(part)
                    trace[id(layer)] = WeightTrace(own.parts)
            weights[id(layer)] = own
        a_pass = Pass(weights, self.modulation, tau, watch, num_rows, watched)
        values: dict[int, Any] = {id(self.plan.start): x}
        for step in self.plan.steps:
            step.run(a_pass, values)
        traces: dict[int, OutputTrace | WeightTrace] = {**trace, **a_pass.outputs_of}
        outputs = values[id(self.plan.end)]
        adapting = self.plan.adapting if watch is not None else []
        return outputs, [traces[id(layer)] for layer in adapting]

    def _require_one_tau_per_site(self, tau: Sequence[tf.Tensor] | None) -> None:
        if tau is None:
            return
        if self.modulation is None:
            raise ValueError("modulation parameters given to a network that has no modulation")
        if len(tau) != len(self.site_units):
            raise ValueError(
                f"{len(tau)} modulation parameters for {len(self.site_units)} sites; every "
                "modulated block needs exactly one"
            )

    def predict(
        self,
        query_x: tf.Tensor,
        fast: Fast,
        tau: Sequence[tf.Tensor] | None,
        support_x: tf.Tensor,
    ) -> tf.Tensor:
        """f(x; theta', tau) on query inputs: [tasks, N, ...] to [tasks, N, ...].

        The support inputs are for models whose predictions depend on a set (batch norm).
        """
        if not self.support_statistics:
            return self.forward(query_x, fast, tau)[0]
        num_support = tf.shape(support_x)[1]
        both = tf.concat([support_x, query_x], 1)
        return self.forward(both, fast, tau, num_rows=num_support)[0][:, num_support:]

    def leaves(self, trace: list[Any]) -> list[tf.Tensor]:
        """What the inner loss is differentiated in: outputs of dense layers, weights of others."""
        return [leaf for part in trace for leaf in part.leaves]

    def gradients(self, trace: list[Any], leaf_gradients: list[tf.Tensor]) -> list[Gradient]:
        """What a tape says of the leaves as one parameter gradient of each layer that adapts.

        Raises:
          ValueError: if a layer has no part in the loss.
        """
        found, rest = [], iter(leaf_gradients)
        for layer, part in zip(self.plan.adapting, trace, strict=True):
            own = [next(rest) for _ in part.leaves]
            if any(gradient is None for gradient in own):
                raise ValueError(f"no inner gradient reaches {layer.name}")
            found.append(part.gradient(own))
        return found

    def call(self, x: tf.Tensor, tau: Sequence[tf.Tensor] | None = None) -> tf.Tensor:
        """f(x; theta, tau): [tasks, N, ...] to [tasks, N, ...]."""
        return self.forward(x, self.prior(), tau)[0]
