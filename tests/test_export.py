"""The SavedModel in a fresh process that knows TensorFlow alone."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf import methods
from mmaml_tf.tasks import Examples
from tests.fresh_process import served_alone
from tests.runs import tiny_domain


def task_inputs(num_tasks, num_shots, num_queries):
    rng = np.random.default_rng(0)
    return {
        "support_x": rng.normal(size=(num_tasks, num_shots, 1)).astype(np.float32),
        "support_y": rng.normal(size=(num_tasks, num_shots, 1)).astype(np.float32),
        "query_x": rng.normal(size=(num_tasks, num_queries, 1)).astype(np.float32),
    }


# All but the baselines: other weights of MAML's program.
METHODS = sorted(set(methods.of("regression")) - {"pretrained", "random", "oracle"})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The learner of every method, its inputs, and what its SavedModel answers alone."""
    folder = tmp_path_factory.mktemp("exports")
    learners, inputs = {}, {}
    for method in METHODS:
        domain = tiny_domain(method, inner_lr=0.1, inner_clip_norm=None)
        learner = domain.build_learner()
        for variable in learner.trainable_variables:  # at their tiny initial size nothing adapts
            variable.assign_add(tf.random.stateless_normal(variable.shape, [1, 2], stddev=0.5))
        domain.export(learner, folder / method)
        learners[method] = learner
        inputs[method] = task_inputs(num_tasks=3, num_shots=7, num_queries=11)  # trained with K = 5
    inputs["multi_maml"]["mode"] = np.array([1, 0, 1], np.int32)
    served = served_alone(folder, inputs)
    return {method: (learners[method], inputs[method], served[method]) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_fresh_process_equals_this_one(method, exported):
    learner, inputs, served = exported[method]
    support = Examples(tf.constant(inputs["support_x"]), tf.constant(inputs["support_y"]))
    query_x = tf.constant(inputs["query_x"])
    expected = learner.after_each_step(support, query_x, mode=inputs.get("mode"))
    # float32, factored here and materialised there.
    close = dict(rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(served["predictions"], expected.predictions[-1], **close)
    np.testing.assert_allclose(served["modulated_predictions"], expected.predictions[0], **close)
    adapted = np.abs(served["predictions"] - served["modulated_predictions"]).max() > 1e-2
    assert adapted == (len(expected.predictions) > 1)
    assert ("task_embedding" in served) == (expected.embedding is not None)
    if expected.embedding is not None:
        np.testing.assert_allclose(served["task_embedding"], expected.embedding, **close)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    domain = tiny_domain()
    domain.export(domain.build_learner(), path)
    return str(path)


@pytest.fixture(scope="module")
def signature(model_path):
    model = tf.saved_model.load(model_path)
    return lambda model=model, **inputs: model.signatures["serving_default"](
        **{name: tf.constant(value) for name, value in inputs.items()}
    )


@pytest.mark.parametrize("name", ["support_x", "support_y", "query_x"])
@pytest.mark.parametrize(
    "wrong",
    [
        lambda value: value[..., 0],
        lambda value: value[..., None],
        lambda value: np.concatenate([value, value], -1),
    ],
    ids=["rank 2", "rank 4", "width"],
)
def test_wrong_shapes_name_the_argument(signature, name, wrong):
    inputs = task_inputs(2, 5, 4)
    signature(**inputs)
    inputs[name] = wrong(inputs[name])
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must be"):
        signature(**inputs)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("query_x", lambda value: value[:1], "with tasks as in support_x.*2 4 1.*1 4 1"),
        ("support_y", lambda value: value[:1], "with tasks and K as in support_x.*2 5 1.*1 5 1"),
        ("support_y", lambda value: value[:, :1], "with tasks and K as in support_x.*2 5 1.*2 1 1"),
        ("support_x", lambda value: value[:0], "such as.*1 5 1.*but its shape is.*0 5 1"),
        ("support_x", lambda value: value[:, :0], "such as.*2 1 1.*but its shape is.*2 0 1"),
        ("query_x", lambda value: value[:, :0], "such as.*2 1 1.*but its shape is.*2 0 1"),
        ("support_x", lambda value: value[0, 0, 0], "such as.*but its shape is"),
    ],
)
def test_sizes_that_do_not_match_and_empty_sets_name_the_argument(signature, name, given, words):
    inputs = task_inputs(2, 5, 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must be .*{words}"):
        signature(**(inputs | {name: given(inputs[name])}))


@pytest.mark.parametrize("name", ["support_x", "support_y", "query_x"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_name_the_argument(signature, name, number):
    inputs = task_inputs(2, 5, 4)
    inputs[name][1, 2] = number
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must be finite.*(NaN|Inf)"):
        signature(**inputs)


def test_it_takes_the_evaluations_steps(tmp_path):
    domain = tiny_domain("maml", inner_steps=1, inner_lr=0.1, eval_steps=3)
    learner = domain.build_learner()
    for variable in learner.trainable_variables:
        variable.assign_add(tf.random.stateless_normal(variable.shape, [1, 2], stddev=0.5))
    domain.export(learner, tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    inputs = {name: tf.constant(value) for name, value in task_inputs(2, 5, 4).items()}
    support = Examples(inputs["support_x"], inputs["support_y"])
    expected = learner.after_each_step(support, inputs["query_x"], 3).predictions
    close = dict(rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(serve(**inputs)["predictions"], expected[-1], **close)
    assert np.abs(expected[3] - expected[1]).max() > 1e-2


def test_modes_that_do_not_exist_are_refused(tmp_path):
    domain = tiny_domain("multi_maml")
    domain.export(domain.build_learner(), tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    inputs = task_inputs(2, 5, 4)
    serve(**inputs, mode=tf.constant([0, 1]))
    for mode, words in (
        ([1, 2], r"0 to 1 \(the modes\), but there is\] \[2\]"),
        ([-1, 0], r"0 to 1 \(the modes\), but there is\] \[-1\]"),
        ([0], "with tasks as in support_x"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"mode must be .*{words}"):
            serve(**inputs, mode=tf.constant(mode))


def saved_model_cli(*arguments, cwd=None):
    """What TensorFlow's command-line tool prints."""
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_saved_model_cli_runs_it(signature, model_path, tmp_path):
    inputs = task_inputs(2, 5, 4)
    np.savez(tmp_path / "in.npz", **inputs)
    given = ";".join(f"{name}=in.npz[{name}]" for name in inputs)
    which = ("--dir", model_path, "--tag_set", "serve", "--signature_def", "serving_default")
    done = saved_model_cli("run", *which, "--inputs", given, "--outdir", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, expected in signature(**inputs).items():
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=1e-5)


@pytest.mark.slow
def test_saved_model_cli_shows_the_shapes(model_path):
    shown = saved_model_cli("show", "--dir", model_path, "--all").stdout
    for name in ("support_x", "support_y", "query_x"):
        words = rf"inputs\['{name}'\] tensor_info:\s+dtype: DT_FLOAT\s+shape: \(-1, -1, 1\)"
        assert re.search(words, shown), shown


def test_shapes_are_declared_and_checked_inside_other_graphs_too(model_path):
    model = tf.saved_model.load(model_path)
    serve, inputs = model.signatures["serving_default"], task_inputs(2, 5, 4)
    for spec in serve.structured_input_signature[1].values():
        assert spec.shape.as_list() == [None, None, 1]

    @tf.function
    def known(query_x):
        return serve(**(inputs | {"query_x": query_x}))

    with pytest.raises(TypeError, match=r"\(2, 4, 1, 1\).*'query_x'.*\(None, None, 1\)"):
        known(inputs["query_x"][..., None])  # TensorFlow says so itself
    unknown = known.get_concrete_function(tf.TensorSpec(None))
    for call, wrong in (
        (known, inputs["query_x"][:1]),
        (unknown, inputs["query_x"][:1]),
        (unknown, inputs["query_x"][..., None]),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="query_x must be"):
            call(tf.constant(wrong))


def test_missing_input_names_the_argument(signature):
    inputs = task_inputs(2, 5, 4)
    del inputs["support_y"]
    with pytest.raises(TypeError, match="support_y"):
        signature(**inputs)
