"""The library: what `import mmaml_tf as mm` gives, with the package alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf.learners.losses import per_task, targets_of
from tests.learners import dense, make_batch

ROOT = Path(__file__).resolve().parents[1]
QUICK_START = """
import keras
import numpy as np
import mmaml_tf as mm

def sample(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-5, 5, [10, 1])
    return x, rng.uniform(-3, 3) * x + rng.uniform(-3, 3)

keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input([1]),
    keras.layers.Dense(100, activation="relu"),
    keras.layers.Dense(100, activation="relu"),
    keras.layers.Dense(1),
])
learner = mm.MuMoMAML(
    model, modulation="film", encoder="pairs", inner_steps=5, inner_lr=0.01, loss="mse"
)
learner.compile(optimizer="adam")
history = learner.fit(
    mm.tasks.from_function(sample, num_tasks=50, num_shots=5), steps_per_epoch=200, epochs=2
)
assert history.history["loss"][-1] < 0.8 * history.history["loss"][0]

support_x = np.array([[-4.0], [-2.0], [0.0], [2.0], [4.0]])
adapted = learner.adapt(support_x, 1.5 * support_x + 0.5)
assert adapted.predict([[3.0], [1.0]]).shape == (2, 1)
many = learner.adapt(np.stack([support_x] * 3), np.stack([support_x] * 3))
assert many.predict(np.ones([3, 4, 1])).shape == (3, 4, 1)
learner.export("saved_model")
assert "maml" in mm.methods.of("regression") and "images" in mm.encoders.of("classification")

import sys
assert not {"gymnasium", "tensorflow_probability", "flags", "data"} & set(sys.modules)
print(mm.__file__)
"""


@pytest.mark.slow
def test_the_package_alone_is_enough(tmp_path):
    """Installed by pip into a folder of its own, and used from elsewhere."""
    source, site, elsewhere = (tmp_path / name for name in ("source", "site", "elsewhere"))
    elsewhere.mkdir()
    shutil.copytree(ROOT / "mmaml_tf", source / "mmaml_tf")  # pip builds in the source's folder
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", f"--target={site}"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", QUICK_START],
        cwd=elsewhere,
        env={"PYTHONPATH": str(site), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout
    assert (elsewhere / "saved_model" / "saved_model.pb").exists()


class Sum(keras.layers.Layer):
    def call(self, x, y):
        return x + y


def test_public_names_are_there_and_documented():
    for name in mm.__all__:
        assert getattr(mm, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'MAMLL'"):
        mm.MAMLL  # noqa: B018


def test_settings_and_errors_need_no_tensorflow():
    probe = "import sys, mmaml_tf.errors, mmaml_tf.config; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=True)


class Broken(keras.layers.Layer):
    def call(self, x, y):
        raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(encoder="gru2"), "encoder='gru2': choose from .*pairs"),
        (dict(modulation="gate"), "modulation='gate': choose from film"),
        (dict(sites=["no_such_layer"]), "no_such_layer"),
        (dict(fast_weights="sparse"), "fast_weights='sparse': choose from auto"),
        (dict(task_batching="loop"), "task_batching='loop': choose from auto"),
        (dict(encoder=keras.layers.Concatenate()), "can't encode such tasks"),
        (dict(encoder=Broken()), r"broken: can't encode such tasks \(no such thing\)"),
        (dict(loss="mes"), "'mes' is no loss or metric: choose from mse"),
        (dict(inner_steps=-1), "inner_steps=-1: must be a whole number, 0 or more"),
        (dict(inner_steps=1.5), "inner_steps=1.5: must be a whole number"),
        (dict(inner_lr="0.1"), "inner_lr='0.1': must be a number"),
        (dict(inner_clip_norm=-1.0), "inner_clip_norm=-1.0: must be a number, 0 or more"),
        (dict(encoder=Sum()), r"must return task embeddings \[tasks, v_dim\]"),
    ],
)
def test_what_there_is_not_is_named(options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        mm.MuMoMAML(dense(), **options)


class Means(keras.layers.Layer):
    def call(self, x, y):
        return tf.reduce_mean(tf.concat([x, y], -1), 1)


def test_any_keras_layer_is_an_encoder():
    learner = mm.MuMoMAML(dense(), encoder=Means())
    learner.compile(optimizer="adam")
    batch = make_batch()
    losses = learner.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=3, verbose=0)
    assert np.isfinite(losses.history["loss"]).all()
    assert learner.adapt(*batch.support).embedding.shape == (4, 2)
    scores = learner.evaluate(tf.data.Dataset.from_tensors(batch), verbose=0, return_dict=True)
    assert scores["loss"] == pytest.approx(
        float(tf.reduce_mean(learner.meta_loss(batch)[0])), rel=1e-5
    )


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            lambda: keras.layers.Dropout(np.float32(0.5)),
            r"\(Dropout\) would do nothing in training",
        ),
        (keras.layers.BatchNormalization, "would do nothing in training"),
        (lambda: keras.layers.GRU(2, recurrent_dropout=0.5), "would do nothing in training"),
        (lambda: keras.layers.Dense(2, kernel_regularizer="l2"), "has a regularizer"),
    ],
)
def test_an_encoders_layers_that_would_do_nothing_are_refused(layer, words):
    class Idle(Means):
        def __init__(self):
            super().__init__()
            self.inner = layer()

        def build(self, x_shape, y_shape):
            self.inner.build((None, 3, 1))  # later than it is made

    with pytest.raises(ValueError, match=words):
        mm.MuMoMAML(dense(), encoder=Idle())


class Attends(Means):
    def __init__(self):
        super().__init__()
        self.attention, self.nothing = (
            keras.layers.MultiHeadAttention(2, 4),
            keras.layers.Dropout(0),
        )

    def call(self, x, y):
        points = super().call(x, y)[:, None]
        return self.nothing(self.attention(points, points))[:, 0]


def test_dropout_of_nothing_is_none():
    assert mm.MuMoMAML(dense(), encoder=Attends()).adapt(*make_batch().support).embedding.shape


def test_losses_of_any_rank_are_one_number_per_task():
    targets, outputs = tf.ones([2, 3, 4, 5]), tf.zeros([2, 3, 4, 5])
    np.testing.assert_allclose(mm.losses.mean_squared_error(targets, outputs), [1, 1])
    labels = tf.zeros([2, 3, 4], tf.int32)
    np.testing.assert_allclose(mm.losses.cross_entropy(labels, outputs), [np.log(5)] * 2)
    np.testing.assert_allclose(mm.losses.accuracy(labels, outputs), [1, 1])


def test_an_evaluation_refuses_what_training_does():
    learner, batch = mm.MAML(dense()), make_batch(num_tasks=1)
    learner.compile(optimizer="adam")
    flat = batch._replace(query=batch.query._replace(y=batch.query.y[..., 0]))
    with pytest.raises(ValueError, match=r"query.y must be \[tasks, examples, 1\]"):
        learner.evaluate(tf.data.Dataset.from_tensors(flat), verbose=0)


def test_a_metric_is_reported_beside_the_loss():
    x, y = tf.zeros([2, 3, 1]), tf.tile(tf.constant([[0, 1, 1]]), [2, 1])
    batch = mm.TaskBatch(mm.Examples(x, y), mm.Examples(x, y), tf.zeros(2, tf.int32))
    tasks = tf.data.Dataset.from_tensors(batch)
    accuracies = (
        "accuracy",
        "sparse_categorical_accuracy",
        keras.metrics.SparseCategoricalAccuracy(),
        keras.metrics.SparseTopKCategoricalAccuracy(k=1),
    )
    for metric in accuracies:
        learner = mm.MAML(dense(units=2), loss="cross_entropy", metric=metric, inner_lr=5.0)
        learner.compile(optimizer="adam")
        # Of equal inputs all get the more frequent label.
        assert learner.evaluate(tasks, return_dict=True, verbose=0)["metric"] == pytest.approx(
            2 / 3
        )
    history = learner.fit(tasks, validation_data=tasks, verbose=0).history
    assert set(history) == {"loss", "support_loss", "val_loss", "val_support_loss", "val_metric"}
    with pytest.raises(ValueError, match="give metric=... to MAML"):
        learner.compile(metrics=["accuracy"])
    with pytest.raises(TypeError, match="adapt"):
        learner.predict(x)
    with pytest.raises(ValueError, match="step=2: it adapted by 1 steps, so 0 to 1"):
        learner.adapt(x, y).predict(x, step=2)


def test_losses_by_keras_name_object_and_function():
    targets = tf.constant([[[1.0], [2.0]], [[0.0], [0.0]]])
    outputs = tf.constant([[[2.0], [4.0]], [[0.0], [3.0]]])
    for loss in (
        "mse",
        "mean_squared_error",
        keras.losses.MeanSquaredError(),
        mm.losses.mean_squared_error,
    ):
        np.testing.assert_allclose(per_task(loss)(targets, outputs), [2.5, 4.5])
    np.testing.assert_allclose(per_task("mae")(targets, outputs), [1.5, 1.5])
    one_each = per_task(lambda y, z: tf.reduce_sum(y - z, [1, 2]))
    np.testing.assert_allclose(one_each(targets, outputs), [-3.0, -3.0])
    with pytest.raises(ValueError, match="returns one number for all tasks"):
        per_task(lambda y, z: tf.reduce_mean(y - z))(targets, outputs)
    with pytest.raises(ValueError, match="no_such_loss"):
        per_task("no_such_loss")


@pytest.mark.parametrize(
    "loss", [keras.losses.sparse_categorical_crossentropy, "sparse_categorical_crossentropy"]
)
def test_losses_that_take_labels(loss):
    assert targets_of(loss, dense(units=3)).num_classes == 3


def test_cross_entropy_of_probabilities_is_warned_of():
    with pytest.warns(UserWarning, match="ends in a softmax, but its loss takes logits"):
        mm.MAML(keras.Sequential([dense(), keras.layers.Softmax()]), loss="cross_entropy")


SCALED = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(loss="mse"), "give loss=... to MAML, not here"),
        (dict(metrics=["mae"]), "give metric=... to MAML, not here"),
        (dict(optimizer=SCALED), "LossScaleOptimizer is for float16"),
    ],
)
def test_what_compile_does_not_take(options, words):
    with pytest.raises(ValueError, match=words):
        mm.MAML(dense()).compile(**options)


def test_a_learner_is_not_saved_whole(tmp_path):
    with pytest.raises(NotImplementedError, match="save_weights and load_weights"):
        mm.MAML(dense()).save(tmp_path / "learner.keras")


def test_no_callbacks_are_none():
    learner = mm.MAML(dense())
    learner.compile(optimizer="adam")
    learner.fit(tf.data.Dataset.from_tensors(make_batch()), callbacks=None, verbose=0)


@pytest.mark.parametrize(
    ("first", "words"), [("import mmaml_tf, keras", ""), ("import keras, mmaml_tf", "runs on jax")]
)
def test_keras_runs_on_tensorflow(first, words):
    """Whatever the user's setting is, if Keras is not there before."""
    code = f"{first}; assert keras.config.backend() == 'tensorflow'"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == (not words) and words in done.stderr, done.stderr


def test_a_loss_that_is_not_finite_ends_the_training():
    learner = mm.MuMoMAML(dense(), inner_lr=1e6, inner_steps=5, inner_clip_norm=None)
    learner.compile(optimizer="adam")
    endless = tf.data.Dataset.from_tensors(make_batch()).repeat()
    with pytest.raises(ValueError, match="not finite at iteration 1: a lower inner_lr"):
        learner.fit(endless, steps_per_epoch=10**6, verbose=0)


@pytest.mark.parametrize("name", ["support", "query"])
def test_tasks_of_other_shapes_than_the_models_are_named(name):
    learner, batch = mm.MAML(dense()), make_batch()
    learner.compile(optimizer="adam")
    for part, value in (("x", tf.zeros([4, 3, 2])), ("y", tf.zeros([4, 3]))):
        examples = getattr(batch, name)._replace(**{part: value})
        tasks = tf.data.Dataset.from_tensors(batch._replace(**{name: examples}))
        with pytest.raises(ValueError, match=rf"{name}.{part} must be \[tasks, examples, 1\]"):
            learner.fit(tasks, verbose=0)
