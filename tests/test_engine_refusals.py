"""Models that can't be meta-learned are errors that name the layer; misread ones, too."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf.layers.modulation import FiLM, over_positions
from mmaml_tf.layers.rules import RULES, rule_for
from mmaml_tf.networks import check
from mmaml_tf.networks.task_network import TaskNetwork
from tests.engine_models import K, make_batch, make_learner, plain_losses


class Subclassed(keras.Model):
    def call(self, x):
        return x


def sequential(*layers, shape=(3,), dtype=None):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def two_inputs():
    inputs = [keras.Input([2]), keras.Input([2])]
    return keras.Model(inputs, K.Dense(1)(K.Concatenate()(inputs)))


def two_outputs():
    inputs = keras.Input([2])
    return keras.Model(inputs, [K.Dense(1)(inputs), K.Dense(1)(inputs)])


def mixing_shapes():
    inputs = keras.Input([2])
    return keras.Model(inputs, K.Dense(1)(inputs) - keras.ops.sum(inputs, 0, keepdims=True))


def tied():
    embedding = K.Dense(3, name="first")

    class Tied(K.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.other = embedding

        def call(self, x):
            return x @ self.other.kernel

    inputs = keras.Input([3])
    return keras.Model(inputs, Tied(name="tied")(embedding(inputs)))


REFUSED = [
    (Subclassed, ["Subclassed", "keras.Model(inputs, outputs)"]),
    (lambda: keras.Sequential([K.Dense(1)]), ["isn't built", "keras.Input"]),
    (lambda: sequential(K.Dense(2, dtype="bfloat16", name="half")), ["half", "precision"]),
    (lambda: sequential(K.Embedding(3, 2), dtype="string"), ["takes strings"]),
    (lambda: sequential(K.Dense(2), K.Dropout(0.5, name="drop")), ["drop (Dropout)", "random"]),
    (lambda: sequential(K.GaussianNoise(0.1, name="n"), K.Dense(2)), ["n (Gauss", "random"]),
    (
        lambda: sequential(K.Dense(2, dtype="mixed_float16", name="half")),
        ["half (Dense)", "mixed_float16", "float32"],
    ),
    (two_inputs, ["2 inputs", "Concatenate"]),
    (two_outputs, ["2 outputs"]),
    (lambda: sequential(K.Dense(2, name="d"), dtype="int32"), ["d (Dense)", "int32", "Embedding"]),
    (
        lambda: sequential(
            K.Conv2D(2, 3, name="c"), K.GlobalAveragePooling2D(), shape=(None, 8, 1)
        ),
        ["c (Conv2D)", "known size"],
    ),
    (mixing_shapes, ["mixes the examples"]),
    (lambda: sequential(K.Flatten()), ["no trainable weights"]),
    (
        lambda: sequential(K.Dense(2, kernel_constraint="non_neg", name="c")),
        ["c (Dense)", "constraint on kernel"],
    ),
    (
        lambda: sequential(K.Dense(2, kernel_regularizer="l2", name="r")),
        ["r (Dense)", "regularizer"],
    ),
    (
        lambda: sequential(K.Embedding(5, 2, mask_zero=True, name="e"), dtype="int32"),
        ["e (", "mask"],
    ),
    (tied, ["tied (Tied)", "first"]),
]


@pytest.mark.parametrize(
    ("make", "words"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_refused_by_name(make, words):
    with pytest.raises(ValueError) as error:
        TaskNetwork(make())
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@keras.saving.register_keras_serializable()
class Moments(K.Layer):
    """A normalisation of one's own, as Keras would write it."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x):
        mean, variance = keras.ops.moments(x, -1, keepdims=True)
        return (x - mean) * keras.ops.rsqrt(variance + 1e-3) * self.scale


@keras.saving.register_keras_serializable()
class CentredBatch(K.Layer):
    """Without weights, and it looks at the other examples."""

    def call(self, x):
        return x - keras.ops.mean(x, 0, keepdims=True)


class Nameless(K.Layer):
    """Can't be made anew from a config."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def softmax_of_examples():
    inputs = keras.Input([3])
    return keras.Model(inputs, K.Dense(1)(keras.ops.softmax(K.Dense(4)(inputs), axis=0)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: sequential(K.Dense(4, "tanh"), Moments(name="own"), K.Dense(1)),
            ["own (Moments)", "second derivatives", "rule_for"],
        ),
        (
            lambda: sequential(K.Dense(4), CentredBatch(name="own"), K.Dense(1)),
            ["own (CentredBatch)", "other outputs"],
        ),
        (softmax_of_examples, ["softmax", "other outputs"]),
        (
            lambda: sequential(K.Dense(4), K.BatchNormalization(axis=1, name="bn"), shape=(5, 2)),
            ["bn (BatchNormalization)", "second derivatives"],
        ),
        (lambda: sequential(K.Dense(4), Nameless(lambda x: x)), ["Nameless", "get_config"]),
    ],
)
def test_what_is_misread_is_an_error_when_built(make, words):
    model = make()
    network = TaskNetwork(model)
    with pytest.raises(ValueError) as error:
        network.build((None, None, *model.input_shape[1:]))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


@keras.saving.register_keras_serializable()
class Swish(K.Layer):
    """x sigmoid(factor x), with a factor per unit that adapts."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, x):
        return x * keras.ops.sigmoid(self.factor * x)


@pytest.fixture
def no_own_rules():
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


def test_a_rule_of_ones_own_is_one_function(float64, no_own_rules):
    calls = []

    @rule_for(Swish)
    def swish(call, x):
        (factor,) = call.weights
        calls.append(factor.shape[0])
        return x * tf.sigmoid(over_positions(factor, x) * x)

    model = sequential(K.Dense(4), Swish(), K.Dense(1))
    learner, batch = make_learner(model), make_batch(model)
    assert {1, 2} <= set(calls)  # tried with theta shared and per task when it was built
    theta = [variable.numpy() for variable in model.trainable_variables]
    expected = plain_losses(model, batch, theta)
    np.testing.assert_allclose(learner.meta_loss(batch)[0], expected, rtol=1e-10)


def test_a_wrong_rule_is_caught(no_own_rules):
    @rule_for(Swish)
    def wrong(call, x):
        return x * tf.sigmoid(tf.stop_gradient(over_positions(call.weights[0], x)) * x)

    with pytest.raises(ValueError, match="Swish"):
        make_learner(sequential(K.Dense(4), Swish(), K.Dense(1)))


def test_a_layer_without_a_rule_is_right_all_the_same(float64):
    model = sequential(K.Dense(4), Swish(), K.Dense(1))
    learner, batch = make_learner(model), make_batch(model)
    theta = [variable.numpy() for variable in model.trainable_variables]
    expected = plain_losses(model, batch, theta)
    np.testing.assert_allclose(learner.meta_loss(batch)[0], expected, rtol=1e-10)


def test_sites_of_wrong_names_or_number():
    model = sequential(K.Dense(4, "relu", name="a"), K.Dense(3, "relu", name="b"), K.Dense(1))
    with pytest.raises(ValueError, match="no layer c, d to modulate; choose from a, b, "):
        TaskNetwork(model, FiLM(), sites=["a", "c", "d"])
    assert TaskNetwork(model, FiLM(), sites=["b"]).site_units == [3]
    network = TaskNetwork(model, FiLM())
    x, tau = tf.ones([1, 2, 3]), [tf.ones([1, 8])]
    with pytest.raises(ValueError, match="1 modulation parameters for 2 sites"):
        network(x, tau)
    with pytest.raises(ValueError, match="no modulation"):
        TaskNetwork(model)(x, tau)
    with pytest.raises(ValueError, match="no hidden block to modulate"):
        TaskNetwork(sequential(K.Dense(1)), FiLM())


def test_inputs_of_another_shape():
    network = TaskNetwork(sequential(K.Dense(1)))
    with pytest.raises(ValueError, match=r"takes examples of shape \(3,\), not \(2,\)"):
        network.build((None, None, 2))


def test_a_conv_bias_before_batch_norm_is_idle():
    with pytest.warns(UserWarning, match="conv: its bias has no effect"):
        TaskNetwork(
            sequential(
                K.Conv2D(2, 3, name="conv"), K.BatchNormalization(), K.Flatten(), shape=(4, 4, 1)
            )
        )


def test_a_layer_without_a_rule_that_activates_before_its_modulation_says_so():
    def network(modulation, **activation):
        grouped = K.Conv2D(4, 3, groups=2, name="grouped", **activation)
        return TaskNetwork(
            sequential(grouped, K.ReLU(), K.Flatten(), K.Dense(1), shape=(4, 4, 2)), modulation
        )

    with pytest.warns(UserWarning, match=r"grouped \(Conv2D\): is modulated after its activation"):
        network(FiLM(), activation="relu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(FiLM())
        network(None, activation="relu")


def test_checked_once_and_without_a_trace(monkeypatch):
    """Models that are alike are compared once; no global state or random number is touched."""
    import random

    def make():
        names = iter("abc")
        return keras.Sequential(
            [keras.Input([3], name="i"), *(K.Dense(3, name=next(names)) for _ in "ab")], name="m"
        )

    state = random.getstate()
    compared = []
    monkeypatch.setattr(check, "_problem", lambda *args: compared.append(args))
    for _ in range(2):
        model = make()
        random.setstate(state)
        TaskNetwork(model).build((None, None, 3))
        assert random.getstate() == state
    assert len(compared) == 1 and keras.config.floatx() == "float32"
