"""What a user's own models, methods, losses and tasks may rely on, and what they are told."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf import methods
from mmaml_tf.config import ConfigError
from mmaml_tf.layers import modulation
from mmaml_tf.regression.config import RegressionConfig
from tests.learners import make_batch
from tests.runs import tiny_domain

L = keras.layers


def mlp(*layers, inputs=1):
    return keras.Sequential([keras.Input([inputs]), *layers, L.Dense(1)])


def stream(seed=0):
    return tf.data.Dataset.from_tensors(make_batch(seed)).repeat(3)


def test_what_does_not_train_is_the_same_in_every_mode():
    normal = L.Normalization()
    normal.adapt(np.array([[1.0], [5.0]]))
    model = mlp(normal, L.Dense(8, "relu", name="pretrained"), L.Dense(4, "relu"))
    model.get_layer("pretrained").trainable = False
    first, second = mm.MultiMAML(model, num_modes=2).network.models
    for own, other in zip(first.weights, second.weights, strict=True):
        if own.trainable and own.shape.rank == 2:
            assert np.abs(own.numpy() - other.numpy()).max() > 0.01
        elif not own.trainable:
            np.testing.assert_array_equal(own, other)
    assert second.layers[0].mean.numpy() == 3.0


def test_a_context_keeps_pretrained_weights():
    pretrained = L.Dense(8, "relu", name="pretrained")
    model = mlp(L.Dense(4, "relu"), pretrained)
    pretrained.trainable = False
    learner = mm.Context(model, context_size=2)
    kernels = [weight.numpy() for weight in learner.network.model.non_trainable_weights]
    assert any(np.array_equal(kernel, pretrained.kernel) for kernel in kernels)
    normal = L.Normalization()
    normal.adapt(np.array([[1.0], [5.0]]))
    with pytest.raises(ValueError, match="does not train, and for these inputs it is to be"):
        mm.Context(mlp(normal, L.Dense(4, "relu")), context_size=2)


def test_saved_weights_hold_the_optimizer(tmp_path):
    """What is loaded into a new learner goes on as if it had not been away."""

    def compiled():
        keras.utils.set_random_seed(0)
        learner = mm.MAML(mlp(L.Dense(8, "relu")))
        learner.compile(keras.optimizers.Adam(0.01))
        return learner

    whole, first, second = compiled(), compiled(), compiled()
    whole.fit(stream(), verbose=0)
    whole.fit(stream(1), verbose=0)
    first.fit(stream(), verbose=0)
    first.save_weights(tmp_path / "own.weights.h5")
    second.load_weights(tmp_path / "own.weights.h5")
    assert int(second.iteration) == 3
    second.fit(stream(1), verbose=0)
    for one, other in zip(whole.trainable_variables, second.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_fit_that_failed_can_be_put_right():
    learner = mm.MAML(mlp(L.Dense(8, "relu"), inputs=2))
    learner.compile()
    with pytest.raises(ValueError, match=r"support.x must be \[tasks, examples, 2\]"):
        learner.fit(stream(), verbose=0)
    x, y = tf.ones([4, 3, 2]), tf.ones([4, 3, 1])
    right = mm.TaskBatch(mm.Examples(x, y), mm.Examples(x, y))
    learner.fit(tf.data.Dataset.from_tensors(right), verbose=0)


@pytest.mark.parametrize("batching", ["batched", "map"])
def test_tasks_of_one_mode_need_not_say_it(batching):
    learner = mm.MAML(mlp(L.Dense(8, "relu")), task_batching=batching)
    learner.compile()
    history = learner.fit(stream().map(lambda batch: mm.TaskBatch(*batch[:2])), verbose=0).history
    assert np.isfinite(history["loss"]).all()
    told = mm.MultiMAML(mlp(L.Dense(8, "relu")), num_modes=2)
    told.compile()
    with pytest.raises(ValueError, match="MultiMAML needs the mode of every task"):
        told.evaluate(stream().map(lambda batch: mm.TaskBatch(*batch[:2])), verbose=0)


def test_a_stream_without_an_end_needs_a_number():
    learner = mm.MAML(mlp(L.Dense(8, "relu")))
    learner.compile()
    with pytest.raises(ValueError, match="no end: steps_per_epoch="):
        learner.fit(stream().repeat(), verbose=0)
    with pytest.raises(ValueError, match=r"no end: steps \(of fit: validation_steps\)="):
        learner.evaluate(stream().repeat(), verbose=0)
    learner.evaluate(stream().repeat(), steps=1, verbose=0)


def test_one_query_has_no_statistics():
    def adapted(**settings):
        model = mlp(L.Dense(4, use_bias=False), L.BatchNormalization(), L.ReLU())
        return mm.MAML(model, **settings).adapt([[1.0], [2.0]], [[1.0], [2.0]])

    with pytest.warns(UserWarning, match="batch norm takes its statistics from the queries"):
        adapted().predict([[3.0]])
    by_support = adapted(bn_statistics="support")
    together = by_support.predict([[3.0], [4.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = by_support.predict([[4.0]])
    np.testing.assert_allclose(alone, together[1:], rtol=1e-6)


def test_a_name_is_taken_once():
    for _ in range(2):  # as a notebook's cell does

        @methods.register("mine", "regression")
        class Mine(mm.MAML):
            pass

    with pytest.raises(ValueError, match="'mine' is .*Mine: register yours under another name"):
        methods.register("mine", "regression")(mm.ANIL)
    methods.METHODS.remove("mine")
    assert methods.of("regression")["anil"].learner is mm.ANIL
    with pytest.raises(ValueError, match="'anil' is mmaml_tf.learners.anil.ANIL: "):
        methods.register("anil", "regression")(Mine)
    with pytest.raises(ValueError, match="'film' is mmaml_tf.layers.modulation.FiLM"):
        modulation.register("film")(type("Own", (mm.AffineModulation,), {}))
    with pytest.raises(ValueError, match="'conv' is mmaml_tf.networks.models.conv_net: "):
        mm.networks.of("classification")
        mm.networks.register("conv", "classification")(lambda *shapes: None)


def test_a_methods_own_variables_train_or_say_so():
    class Scaled(mm.MAML):
        def __init__(self, model, **settings):
            super().__init__(model, **settings)
            self.scale = self.add_weight(name="scale", shape=())

    learner = Scaled(mlp(L.Dense(8, "relu")))
    with pytest.raises(ValueError, match="scale would never train: return it from"):
        learner.compile()
    learner.scale.trainable = False
    learner.compile()


def test_a_method_without_its_parts_is_told_which():
    class Half(mm.MetaLearner):
        def predictors(self, support, tau, num_steps, mode=None):
            return []

    with pytest.raises(TypeError, match="^Half does not define meta_loss$"):
        Half(mlp(L.Dense(8, "relu")))


def test_own_losses_of_labels():
    def focal(labels, logits):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return losses * (1 - tf.exp(-losses)) ** 2

    focal.takes_labels = True
    model = keras.Sequential([keras.Input([1]), L.Dense(8, "relu"), L.Dense(3)])
    learner = mm.MAML(model, loss=focal, metric="accuracy")
    assert learner.targets.num_classes == 3
    learner.adapt([[0.0], [1.0], [2.0]], [0, 1, 2]).predict([[1.0]])
    shares = ("sparse_categorical_crossentropy", keras.losses.SparseCategoricalCrossentropy())
    for loss in shares:
        with pytest.warns(UserWarning, match="its loss takes probabilities"):
            mm.MAML(model, loss=loss)


def test_a_setting_that_is_none_is_named():
    config = tiny_domain("maml").config
    with pytest.raises(ConfigError, match="inner_step=3: not a setting.*; inner_steps"):
        RegressionConfig.of_settings(vars(config) | dict(inner_step=3))
    for modes in (("a", "a"), ("a", "all")):
        with pytest.raises(ConfigError, match="each needs a name of its own"):
            RegressionConfig.of_settings(vars(config) | dict(modes=modes))


@pytest.mark.parametrize(
    "given", [dict(encoder=mm.MAML), dict(encoder=abs), dict(modulation=mm.AffineModulation)]
)
def test_an_encoder_is_a_layer_and_not_its_class(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"^{name}=.*: must be a registered name, or a "):
        mm.MuMoMAML(mlp(L.Dense(8, "relu")), **given)


@pytest.mark.parametrize("method", [mm.MetaSGD, mm.MAMLPlusPlus])
def test_learned_rates_start_above_zero(method):
    with pytest.raises(ValueError, match="inner_lr=0: rates that are learned start there"):
        method(mlp(L.Dense(8, "relu")), inner_lr=0)


def test_networks_to_average_are_trained_whole():
    model = mlp(L.Dense(8, "relu", name="hidden"))
    with pytest.raises(ValueError, match="adapts: every network is trained whole"):
        mm.ParameterAverage(model, adapts=["hidden"])


def test_bytes_of_a_function_are_no_inputs():
    def sample(seed):
        return np.full([6, 1], 255, np.uint8), np.ones([6, 1], np.float32)

    learner = mm.MAML(mlp(L.Dense(8, "relu")))
    learner.compile()
    with pytest.raises(ValueError, match="support.x holds bytes: divide by 255"):
        learner.fit(mm.tasks.from_function(sample, 4, 3), steps_per_epoch=1, verbose=0)
