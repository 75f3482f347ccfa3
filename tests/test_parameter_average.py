"""The average of networks of a task each: their training by hand, their starts, their mean."""

import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf.devices.workers import Workers
from mmaml_tf.networks.models import mlp
from tests.learners import make_batch
from tests.runs import command, tiny_domain


def average(model=None, **settings):
    model = mlp(1, (7, 6), 1, kernel_initializer="he_normal") if model is None else model
    learner = mm.ParameterAverage(model, **{"network_steps": 3, "network_lr": 0.1, **settings})
    learner.compile(learner.optimizer_class(1.0))
    return learner


def meta_step(learner, batch):
    learner.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    return [variable.numpy() for variable in learner.network.model.trainable_variables]


def by_hand(start, x, y, steps, rate, decay, centre):
    """A line w x + b, by Adam without momentum."""
    theta, v = np.array(start, float), np.zeros(2)
    for step in range(1, steps + 1):
        error = theta[0] * x + theta[1] - y
        gradient = np.array([np.mean(2 * error * x), np.mean(2 * error)])
        gradient += 2 * decay * (theta - centre)
        v = 0.999 * v + 0.001 * gradient**2
        theta -= rate * gradient / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return theta


@pytest.mark.parametrize("decay_to", ["zero", "mean"])
def test_the_mean_of_lines_in_numpy(float64, decay_to):
    """Two iterations of four tasks; with the mean, the first has nothing to be near."""
    learner = average(mlp(1, (), 1, kernel_initializer="ones"), weight_decay=0.3, decay_to=decay_to)
    ends = []
    for iteration in range(2):
        batch = make_batch(seed=iteration)
        centre = np.mean(ends, 0) if ends and decay_to == "mean" else np.zeros(2)
        decay = 0.0 if decay_to == "mean" and not ends else 0.3
        x, y = (np.concatenate(p, 1)[..., 0] for p in zip(batch.support, batch.query, strict=True))
        ends += [by_hand([1, 0], *task, 3, 0.1, decay, centre) for task in zip(x, y, strict=True)]
        kernel, bias = meta_step(learner, batch)
        np.testing.assert_allclose([kernel[0, 0], bias[0]], np.mean(ends, 0), rtol=1e-7)


def test_starts_are_the_models_numbers_in_an_order_of_each_networks_own(float64):
    learner = average()
    model = learner.network.model
    model.layers[0].bias.assign(tf.range(7, dtype=tf.float64))
    learner = average(model)
    drawn = [part for weights in learner.fresh(4) for part in weights.parts]
    for part, start in zip(drawn, learner.network.in_order(learner.network.prior()), strict=True):
        for each in part:
            np.testing.assert_array_equal(np.sort(np.ravel(each)), np.sort(np.ravel(start)))
    kernels = drawn[0].numpy()
    assert len({kernel.tobytes() for kernel in kernels}) == 4
    learner.optimizer.iterations.assign(1)
    assert (learner.fresh(4)[0].parts[0].numpy() != kernels).any()
    # Two workers have those of one, task by task.
    learner.optimizer.iterations.assign(0)
    for index in range(2):
        learner.workers = Workers(index, 2)
        np.testing.assert_array_equal(learner.fresh(2)[0].parts[0], kernels[index::2])


def test_starts_stay_when_theta_has_moved(float64):
    learner = average()
    kept = [start.numpy() for layer in learner.starts for start in layer]
    before = meta_step(learner, make_batch())
    for start, value in zip((s for layer in learner.starts for s in layer), kept, strict=True):
        np.testing.assert_array_equal(start, value)
    assert np.abs(before[0] - kept[0]).max() > 1e-3


def test_a_network_learns_its_task():
    """Of a single task the mean is that network."""
    batch = make_batch(num_tasks=1)
    learner = average(network_steps=400, network_lr=0.01)
    after, before, _ = learner.meta_gradients(batch)
    assert after < 0.05 * before


def test_xla_agrees():
    """From the same starts: XLA draws others."""
    learner, points = average(weight_decay=0.1), make_batch().points()
    start = learner.fresh(4)
    compiled = tf.function(learner.trained, autograph=False, jit_compile=True)
    ends = (tf.nest.flatten(train(start, points)) for train in (learner.trained, compiled))
    for one, other in zip(*ends, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_published_settings():
    """500 networks of every mode, each of 200 points."""
    config = tiny_domain("parameter_average").config
    assert config.meta_lr == 1.0 and config.lr_schedule == "constant"
    assert config.num_shots + config.num_queries == 200
    with pytest.raises(ValueError, match="decay_to='theirs': choose from zero, mean"):
        average(decay_to="theirs")


def test_the_command_stopped_and_continued(in_empty_folder, capsys):
    flags = ["--method=parameter_average", "--domain=sinusoid", "--meta_batch_size=2"]
    flags += ["--network_steps=3", "--eval_tasks=8", "--weight_decay=0.01", "--decay_to=mean"]
    assert command(*flags, "--iterations=4", "--output_dir=whole") == 0
    for iterations in (2, 4):
        assert command(*flags, f"--iterations={iterations}", "--output_dir=parts") == 0
    whole, parts = (
        (in_empty_folder / f / "evaluation.csv").read_bytes() for f in ("whole", "parts")
    )
    assert whole == parts
    capsys.readouterr()
    assert command(*flags[1:], "--method=maml", "--output_dir=other") == 2
    assert "a setting of --method=parameter_average" in capsys.readouterr().err
