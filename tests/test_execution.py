"""What the device asks for; and meta-steps compiled by XLA, on the CPU and on a GPU, as on paper.

CUDA_VISIBLE_DEVICES=0 python -m pytest -m gpu

runs, where there is one, all that needs a GPU.
"""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import mmaml_tf as mm
from mmaml_tf import methods
from mmaml_tf.devices import execution
from mmaml_tf.layers.modulation import MODULATIONS
from mmaml_tf.learners.baselines import Random
from mmaml_tf.networks.models import conv_net, mlp
from tests import engine_models, omniglot_fixture, rl_problem, trpo_checks
from tests.runs import command, tiny_domain, tiny_flags

GPUS = tf.config.list_physical_devices("GPU")
NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(not GPUS, reason="TensorFlow sees no GPU")]
on_gpu = pytest.param("GPU", marks=NEEDS_GPU)
# Rounding in float64 through a few inner steps; a term that a device drops is far larger.
SAME = dict(rtol=1e-7, atol=1e-9)
REGRESSION = [
    (method, modulation)
    for method in methods.of("regression")
    for modulation in (MODULATIONS if method in ("mumomaml", "modulation") else [None])
]
ON_GPU = [pytest.param(*case, "GPU", marks=NEEDS_GPU) for case in REGRESSION]
# Compiling takes seconds a method, so that the CPU compiles one of each kind.
ONE_OF_EACH = [("maml", None), ("mumomaml", "film"), ("maml_plus_plus", None), ("in_context", None)]
ON_CPU = [pytest.param(*case, "CPU", marks=pytest.mark.slow) for case in ONE_OF_EACH]


def compiled_on(device, function):
    """What a function without arguments gives on a device, compiled."""
    with tf.device(device):
        return tf.function(function, jit_compile=True)()


def check_meta_gradients(learner, batch, device):
    with tf.device("CPU"):
        losses, _, expected = learner.meta_gradients(batch)
    found_losses, _, found = compiled_on(device, lambda: learner.meta_gradients(batch))
    np.testing.assert_allclose(found_losses, losses, **SAME)
    flat = [tf.nest.flatten(gradients) for gradients in (found, expected)]
    # Of a bias that attention cancels the gradient is rounding: what counts is the largest one.
    scale = max(np.abs(own).max() for own in flat[1])
    for gradient, own in zip(*flat, strict=True):
        np.testing.assert_allclose(gradient / scale, own / scale, **SAME)


def convolutional(learner_class, **settings):
    outputs = None if learner_class.takes_embedding else omniglot_fixture.WAYS
    size = omniglot_fixture.SIZE
    model = conv_net((size, size, 1), outputs, omniglot_fixture.FILTERS)
    return learner_class(model, loss="cross_entropy", **settings)


def test_on_a_cpu_tasks_are_mapped_where_each_has_kernels_of_its_own():
    assert convolutional(mm.MAML).map_tasks
    assert not convolutional(mm.MAML, task_batching="batched").map_tasks
    assert not convolutional(mm.ANIL).map_tasks
    metric = convolutional(mm.ProtoNet, num_ways=omniglot_fixture.WAYS)
    assert not metric.map_tasks and not metric.map_predictions
    # Trained on all at once, then fine-tuned on each.
    random = convolutional(Random)
    assert not random.map_tasks and random.map_predictions
    learner = mm.MAML(mlp(1, (4,), 1))
    assert not learner.map_tasks and mm.MAML(mlp(1, (4,), 1), task_batching="map").map_tasks
    learner.compile()
    assert not learner.jit_compile


def test_on_a_gpu_tasks_are_batched_and_steps_compiled(monkeypatch):
    monkeypatch.setattr(execution, "has_gpu", lambda: True)
    learner = convolutional(mm.MAML)
    learner.compile()
    assert not learner.map_tasks and learner.jit_compile
    learner.compile(jit_compile=False)
    assert not learner.jit_compile and convolutional(mm.MAML, task_batching="map").map_tasks


def test_the_command_does_so_says_so_and_keeps_it(tmp_path, monkeypatch, capsys):
    """With a GPU made believe, and one without: the same run, and evaluation, but for rounding."""
    monkeypatch.chdir(tmp_path)
    flags = [*tiny_flags("maml"), "--domain=regression_2mode", "--iterations=4", "--log_every=2"]
    for folder, gpu, expected in (
        ("plain", False, "without XLA"),
        ("compiled", True, "compiled by XLA"),
    ):
        monkeypatch.setattr(execution, "has_gpu", lambda gpu=gpu: gpu)
        assert command(*flags, f"--output_dir={folder}") == 0
        said = f"all tasks at once, {expected}"
        assert said in capsys.readouterr().out
        for name in ("provenance.json", "evaluation.json"):
            kept = json.loads((tmp_path / folder / name).read_text())
            start = kept[0] if isinstance(kept, list) else kept
            assert said in start["execution"]
            assert ("device" in start) == gpu == (start["cores"] is None)
    for name in ("metrics.csv", "evaluation.csv"):
        tables = [pd.read_csv(tmp_path / folder / name) for folder in ("plain", "compiled")]
        plain, compiled = (table.select_dtypes("number") for table in tables)
        timeless = plain.columns.difference(["iterations_per_second"])
        # Of about seven digits, a few steps cost one or two.
        np.testing.assert_allclose(compiled[timeless], plain[timeless], rtol=1e-4)


@pytest.mark.parametrize(("method", "modulation", "device"), [*ON_CPU, *ON_GPU])
def test_regression(float64, method, modulation, device):
    settings = {} if modulation is None else dict(modulation=modulation)
    domain = tiny_domain(method, bias_transformation_size=0, **settings)
    learner = domain.build_learner()
    batch = tf.nest.map_structure(
        lambda part: tf.cast(part, tf.float64) if part.dtype.is_floating else part,
        domain.training_tasks(tf.constant(0)),
    )
    check_meta_gradients(learner, batch, device)


@pytest.mark.parametrize("device", [on_gpu])
@pytest.mark.parametrize("modulation", [None, *MODULATIONS])
def test_convolutions(float64, modulation, device):
    learner = omniglot_fixture.make_learner(modulation, "batched")
    check_meta_gradients(learner, omniglot_fixture.make_batch(), device)


@pytest.mark.parametrize("device", [on_gpu])
@pytest.mark.parametrize("learner_class", [mm.ProtoNet, mm.MatchingNetworks])
def test_metrics(float64, learner_class, device):
    learner = convolutional(learner_class, num_ways=omniglot_fixture.WAYS)
    check_meta_gradients(learner, omniglot_fixture.make_batch(), device)


@pytest.mark.parametrize("device", [on_gpu])
@pytest.mark.parametrize("make", engine_models.MODELS, ids=lambda make: make.__name__)
def test_rules(float64, make, device):
    model = make()
    learner = engine_models.make_learner(model, task_batching="batched")
    check_meta_gradients(learner, engine_models.make_batch(model), device)


@pytest.mark.parametrize("device", [on_gpu])
def test_trpo(float64, device):
    learner = rl_problem.make_learner()
    experience = rl_problem.make_experience(learner)
    meta, outcomes = trpo_checks.updater(), []
    for where in ("CPU", device):
        with tf.device(where):
            outcomes.append(meta.gradient(learner, experience)[:3])
    for own, other in zip(*outcomes, strict=True):
        np.testing.assert_allclose(other, own, **SAME)


@pytest.mark.parametrize("device", [on_gpu])
def test_the_command_on_a_gpu(tmp_path, monkeypatch, capsys, device):
    """Trained with no flag, resumed, exported, and served; a gradient step may add in any order."""
    monkeypatch.chdir(tmp_path)
    flags = [*tiny_flags(), "--domain=regression_2mode", "--log_every=2", "--checkpoint_every=2"]
    assert command(*flags, "--iterations=4", "--output_dir=whole") == 0
    assert "compiled by XLA" in capsys.readouterr().out
    for iterations in (2, 4):
        assert command(*flags, f"--iterations={iterations}", "--output_dir=parts") == 0
    whole, parts = (pd.read_csv(f"{name}/metrics.csv") for name in ("whole", "parts"))
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-4)
    served = tf.saved_model.load("whole/saved_model").signatures["serving_default"]
    points = tf.constant(np.linspace(-1, 1, 5, dtype=np.float32)[None, :, None])
    answers = served(support_x=points, support_y=points, query_x=points)
    assert np.isfinite(answers["predictions"]).all()
