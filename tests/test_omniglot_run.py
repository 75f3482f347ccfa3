"""Omniglot runs through the command, resumption, and the exported classifier."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import registry
from flags.omniglot_config import DEFAULT_DATA_DIR, OmniglotConfig, paper_settings
from mmaml_tf.classification.domain import ClassificationDomain, comparison_figures
from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.learners.losses import accuracy
from mmaml_tf.reporting.evaluation import step_scores
from mmaml_tf.tasks import Draw, Examples, TaskStream
from mmaml_tf.training import fit
from mmaml_tf.training.best_checkpoint import BestCheckpoint
from mmaml_tf.training.run_folder import RunFolder
from tests.fresh_process import served_alone
from tests.omniglot_fixture import write_archives
from tests.omniglot_runs import tiny_domain, tiny_flags, train
from tests.runs import SCRIPT, command


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_archives(tmp_path_factory.mktemp("omniglot"))


pytestmark = pytest.mark.usefixtures("in_empty_folder")


def base(data_dir, method="mumomaml"):
    return ["--domain=omniglot", f"--data_dir={data_dir}", *tiny_flags(method)]


@pytest.mark.parametrize(
    "method, arguments, label",
    [
        ("mumomaml", [], "mumomaml-film-3way-2shot"),
        ("maml", ["--first_order"], "maml-3way-2shot"),
        pytest.param(
            "mumomaml",
            ["--modulation=softmax", "--task_batching=batched"],
            "mumomaml-softmax-3way-2shot",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_command_trains_evaluates_draws_and_exports(data_dir, method, arguments, label):
    assert command(*base(data_dir, method), *arguments, "--output_dir=run", "--num_shots=2") == 0
    check_run(RunFolder("run"), label)


def check_run(folder, label):
    assert folder.config(OmniglotConfig).label == label
    metrics = pd.read_csv(folder.metrics.path)
    assert list(metrics["iteration"]) == [1, 2]
    assert metrics["validation_accuracy"].between(0, 1).all()
    table = pd.read_csv(folder.evaluation_file)
    assert list(table) == ["step", "mode", "metric", "mean", "ci95", "num_tasks"]
    assert list(table["step"]) == list(range(11))
    assert set(table["metric"]) == {"accuracy"} and set(table["num_tasks"]) == {7}
    assert table["mean"].between(0, 1).all()
    names = {path.stem for path in folder.figures.glob("*.png")}
    assert {"episodes", "training", "validation", "adaptation"} <= names
    config = json.loads(folder.config_file.read_text())
    assert config["num_queries"] == config["eval_queries"] == 2
    signature = tf.saved_model.load(str(folder.saved_model)).signatures["serving_default"]
    assert len(signature.structured_input_signature[1]) == 3


def test_runs_are_evaluated_again_and_compared(data_dir, tmp_path):
    plain = ["--network=mlp", "--num_shots=2"]  # the fastest to build
    for method in ("maml", "mumomaml"):
        assert command(*base(data_dir, method), *plain, f"--output_dir={method}") == 0
    evaluate = ["--mode=evaluate", "--output_dir=mumomaml", "--eval_tasks=14"]
    assert command(*evaluate, "--bn_statistics=support") == 0
    evaluated = pd.read_csv(RunFolder("mumomaml").evaluation_file)
    assert set(evaluated["num_tasks"]) == {14}
    assert command("--mode=report", "--runs=maml,mumomaml", "--output_dir=report") == 0
    text = (tmp_path / "report" / "table.md").read_text()
    assert "| mumomaml-film-mlp-3way-2shot bn_statistics=support |" in text
    assert "| maml-mlp-3way-2shot bn_statistics=transductive |" in text
    assert "accuracy after 3 steps" in text
    names = {"training", "validation", "adaptation"}
    assert {path.stem for path in (tmp_path / "report").glob("*.png")} == names
    assert command(*base(data_dir), "--network=mlp", "--output_dir=one_shot") == 0
    assert command("--mode=report", "--runs=maml,one_shot", "--output_dir=both") == 0
    drawn = {path.stem for path in (tmp_path / "both").glob("*.png")}
    assert drawn == {f"{name}_3way-{shots}shot" for name in names for shots in (1, 2)}


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--num_shots=12", "--num_queries=9"], ["--num_queries=9", "--num_shots=12", "20"]),
        (["--num_shots=20"], ["--num_queries=20", "20"]),
        (["--num_ways=5"], ["--num_ways=5", "validation split has 3"]),
        (["--num_ways=1"], ["--num_ways=1", "2 or more"]),
        (["--train_characters=10"], ["--num_ways=3", "validation split has 2"]),
        (["--method=multi_maml"], ["--method=multi_maml"]),
        (["--filters=4,many"], ["--filters=4,many"]),
        (["--noise_stddev=1"], ["--noise_stddev=1", "not a setting of --domain=omniglot"]),
        (["--network=resnet"], ["--network=resnet", "conv, max_pool, mlp"]),
        (["--modulation=gating"], ["--modulation=gating", "film"]),
    ],
)
def test_bad_input_is_one_line(data_dir, in_empty_folder, capsys, arguments, words):
    assert command(*base(data_dir), *arguments, "--output_dir=run") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1, message
    assert all(word in message for word in words), message
    assert not (in_empty_folder / "run").exists()


def test_without_data_and_network_it_says_what_to_put_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("data.omniglot_files.ORIGIN", (tmp_path / "no" / "such").as_uri())
    assert command(*base(tmp_path / "empty"), "--output_dir=run") == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "images_background.zip" in message, message


def test_settings_of_the_paper():
    five, twenty = paper_settings("maml"), paper_settings("maml", num_ways=20)
    chosen = ("meta_batch_size", "inner_steps", "inner_lr", "eval_steps")
    assert [five[name] for name in chosen] == [32, 1, 0.4, 3]
    assert [twenty[name] for name in chosen] == [16, 5, 0.1, 5]
    assert paper_settings("maml", network="mlp")["filters"] == (256, 128, 64, 64)
    for settings in (five, twenty, paper_settings("mumomaml", 20, 5)):
        OmniglotConfig(**settings)
    with pytest.raises(ConfigError, match="--bn_statistics"):
        OmniglotConfig(**(five | dict(bn_statistics="running")))


def test_settings_reach_the_learner(data_dir):
    settings = dict(network="mlp", bn_statistics="support", task_batching="map")
    learner = tiny_domain(data_dir, "maml", **settings).build_learner()
    assert learner.network.support_statistics and learner.map_tasks


def test_validation_and_evaluation_are_after_the_steps_on_their_own_splits(data_dir, monkeypatch):
    """Each in two batches, with its own shots."""
    monkeypatch.setattr(ClassificationDomain, "EVALUATION_BATCH", 2)
    settings = dict(network="mlp", filters=(8,), eval_tasks=4, eval_shots=3, eval_queries=9)
    domain = tiny_domain(data_dir, "maml", **settings)
    config, learner = domain.config, domain.build_learner()

    def scores(stream, seed, shots):
        draws = [Draw(stream, seed, index, 2) for index in range(2)]
        batches = [domain.tasks.sample(draw, shots, 9) for draw in draws]
        return np.concatenate([step_scores(learner, accuracy, b, 10)[0] for b in batches])

    validated = scores(TaskStream.VALIDATION, config.split_seed, config.num_shots).mean(0)
    steps = [0, config.inner_steps, config.eval_steps]
    assert len(np.unique(validated[steps])) == 3, "choose settings that tell the steps apart"
    score = float(domain.validation(learner).score())
    np.testing.assert_allclose(score, validated[config.eval_steps], rtol=1e-5)
    evaluated = scores(TaskStream.EVALUATION, config.eval_seed, 3)
    np.testing.assert_allclose(domain.evaluate(learner).scores, evaluated, rtol=1e-5)


def test_figures_show_errors():
    metrics = pd.DataFrame({"iteration": [1, 2], "loss": [0.5, 0.4]})
    metrics["validation_accuracy"] = [0.75, 0.9]
    table = pd.DataFrame({"step": [0, 1], "mode": "all", "mean": [0.6, 0.95], "ci95": 0.01})
    drawn = comparison_figures({"maml": [metrics]}, {"maml": table})
    for name, expected in (("validation", [0.25, 0.1]), ("adaptation", [0.4, 0.05])):
        np.testing.assert_allclose(drawn[name].axes[0].lines[0].get_ydata(orig=False), expected)


def test_what_validation_depends_on_does_not_change_in_a_run():
    config = OmniglotConfig(**paper_settings("maml"))
    for settings in (dict(eval_queries=2), dict(bn_statistics="support")):
        other = OmniglotConfig(**(paper_settings("maml") | settings))
        assert len(config.differences(other)) == 1
        assert config.differences(other, allowed=config.EVALUATION) == []


def test_all_seeds_train_on_the_same_characters(data_dir):
    config = tiny_domain(data_dir).config
    seeds = [dataclasses.replace(config, seed=seed) for seed in (0, 1)]
    seeds.append(dataclasses.replace(config, split_seed=config.split_seed + 1))
    build = registry.domains()["omniglot"].domain
    one, same, other = (set(build(c).tasks.splits[TaskStream.TRAINING].names) for c in seeds)
    assert one == same != other


def test_data_that_is_not_where_the_run_had_it_is_looked_for_in_the_default_folder(tmp_path):
    for folder, found in ((tmp_path, str(tmp_path)), (tmp_path / "gone", DEFAULT_DATA_DIR)):
        config = OmniglotConfig(**(paper_settings("maml") | dict(data_dir=str(folder))))
        run = RunFolder(tmp_path / found.replace("/", "-"))
        run.path.mkdir()
        run.keep(config)
        assert run.config(OmniglotConfig).data_dir == found


def test_resumed_equals_uninterrupted(data_dir):
    expected, whole = train(data_dir, "whole", iterations=4)
    train(data_dir, "parts", iterations=2)
    resumed, parts = train(data_dir, "parts", iterations=4)
    for mine, theirs in zip(resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    columns = ["iteration", "loss", "support_loss", "validation_accuracy"]
    pd.testing.assert_frame_equal(*(pd.read_csv(f.metrics.path)[columns] for f in (whole, parts)))
    score_files = [f.best_checkpoint / "score.json" for f in (whole, parts)]
    assert score_files[0].read_text() == score_files[1].read_text()


def test_training_ends_with_the_weights_of_the_best_recent_validations(data_dir, monkeypatch):
    monkeypatch.setattr("mmaml_tf.classification.domain.PICKED_BY", 2)
    learner, folder = train(data_dir, "run", iterations=6, meta_lr=0.3, validation_tasks=30)
    metrics = pd.read_csv(folder.metrics.path)
    recent = metrics["validation_accuracy"].rolling(2, min_periods=1).mean()
    np.testing.assert_allclose(metrics["recent_validation_accuracy"], recent)
    best = metrics.loc[recent.idxmax()]
    assert int(best["iteration"]) < 6, "choose other settings: the last one was the best"
    fresh = tiny_domain(data_dir, iterations=6, meta_lr=0.3, validation_tasks=30)
    again = fresh.build_learner()
    assert fit.restore(again, folder) == best["iteration"]
    for one, other in zip(learner.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(
        fresh.validation(again).score(), best["validation_accuracy"], rtol=1e-5
    )


def test_best_checkpoint_keeps_the_highest_score(tmp_path):
    learner = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    learner.compile("sgd")
    learner.optimizer.build(learner.trainable_variables)
    best = BestCheckpoint(tmp_path, learner)
    assert best.score() is None and best.restore() is None
    for iteration, score in ((1, 0.5), (2, 0.7), (3, 0.6), (4, 0.7)):
        learner.set_weights([np.full((1, 1), iteration), np.zeros(1)])
        learner.optimizer.iterations.assign(iteration)
        best.offer(score)
    # A run killed and resumed from before its best checkpoint may offer again.
    learner.optimizer.iterations.assign(1)
    best.offer(0.65)
    assert best.score() == 0.7
    assert best.restore() == 2 and learner.get_weights()[0] == 2
    learner.optimizer.iterations.assign(1)
    best.offer(0.8)
    assert best.restore() == 1 and best.score() == 0.8
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"ckpt-1", "score"}
    learner.optimizer.iterations.assign(5)
    for text in ('{"iteration": 1, "score": Infinity}', "{", '{"iteration": -1, "score": 0.8}'):
        best.score_file.write_text(text)
        with pytest.raises(RunError, match="score.json.* It is the score of the best checkpoint"):
            best.offer(0.9)
        assert best.restore() == 1 and best.score_file.read_text() == text


def test_a_best_checkpoint_without_its_score_is_not_replaced(tmp_path):
    """Files of a run that were put back from copies of different moments."""
    learner = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    learner.compile("sgd")
    learner.optimizer.build(learner.trainable_variables)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "ckpt-7.index").write_bytes(b"")  # how far the run is
    best = BestCheckpoint(tmp_path / "run" / "best", learner)
    for iteration in (3, 5):
        learner.optimizer.iterations.assign(iteration)
        best.offer(float(iteration))
    kept = best.score_file.read_text()
    best.score_file.write_text('{"iteration": 900, "score": 1000000.0}')
    with pytest.raises(RunError, match="score.json is of iteration 900, not 5"):
        best.offer(9.0)
    best.score_file.unlink()
    with pytest.raises(RunError, match="score.json is gone"):
        best.offer(9.0)
    assert best.restore() == 5
    best.score_file.write_text(kept)
    # A process that was killed while it saved iteration 8 left half of it.
    (best.score_file.parent / "ckpt-8.data-00000-of-00001").write_bytes(b"half")
    (best.score_file.parent / "ckpt-8.index").write_bytes(b"")
    learner.set_weights([np.full((1, 1), 8), np.zeros(1)])
    learner.optimizer.iterations.assign(8)
    best.offer(9.0)
    assert best.restore() == 8 and learner.get_weights()[0] == 8


def test_a_best_score_that_is_unreadable_stops_the_run_before_it_trains(data_dir):
    _, folder = train(data_dir, "run", iterations=2)
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    score_file = folder.best_checkpoint / "score.json"
    score_file.write_text("{")
    with pytest.raises(RunError, match="score.json is no JSON"):
        train(data_dir, "run", iterations=4)
    score_file.write_bytes(before[score_file])
    changed = {p.name for p, content in before.items() if p.read_bytes() != content}
    assert changed <= {"config.json"}
    train(data_dir, "run", iterations=4)


def test_exported_classifiers_in_a_fresh_process(data_dir, tmp_path):
    methods = dict.fromkeys(("mumomaml", "maml_plus_plus", "protonet"), {})
    methods |= dict(maml=dict(task_batching="batched", bn_statistics="support"))
    learners, steps = {}, {}
    for method, settings in methods.items():
        domain = tiny_domain(data_dir, method, **settings)
        learners[method], steps[method] = domain.build_learner(), domain.config.eval_steps
        domain.export(learners[method], tmp_path / method)
    rng = np.random.default_rng(0)
    # Trained with 1 image per class; here 3, in any order, and another number of queries.
    inputs = {
        "support_x": rng.random((4, 9, 28, 28, 1), np.float32),
        "support_y": rng.permuted(np.tile(np.arange(9, dtype=np.int32) % 3, (4, 1)), axis=1),
        "query_x": rng.random((4, 5, 28, 28, 1), np.float32),
    }
    support = Examples(tf.constant(inputs["support_x"]), tf.constant(inputs["support_y"]))
    for method, served in served_alone(tmp_path, dict.fromkeys(methods, inputs)).items():
        query_x = tf.constant(inputs["query_x"])
        expected = learners[method].after_each_step(support, query_x, steps[method])
        for name, index in (("predictions", -1), ("modulated_predictions", 0)):
            probabilities = tf.nn.softmax(expected.predictions[index])
            np.testing.assert_allclose(served[name], probabilities, rtol=1e-3, atol=1e-4)
            assert served[name].shape == (4, 5, 3)
        adapted = np.abs(served["predictions"] - served["modulated_predictions"]).max() > 1e-2
        assert adapted == (method != "protonet")
        assert ("task_embedding" in served) == (method == "mumomaml")


def test_exported_classifier_names_the_wrong_argument(data_dir, tmp_path):
    domain = tiny_domain(data_dir)
    domain.export(domain.build_learner(), tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    good = dict(
        support_x=tf.random.uniform((2, 3, 28, 28, 1)),
        support_y=tf.constant([[0, 1, 2]] * 2),
        query_x=tf.random.uniform((2, 4, 28, 28, 1)),
    )
    assert serve(**good)["predictions"].shape == (2, 4, 3)
    for name, value in (
        ("support_y", tf.constant([[0, 1, 3]] * 2)),
        ("support_y", tf.constant([[0, -1, 2]] * 2)),
        ("support_y", tf.constant([0, 1, 2])),
        ("support_x", tf.zeros((2, 3, 28, 28))),
        ("query_x", tf.zeros((2, 4, 32, 28, 1))),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must"):
            serve(**(good | {name: value}))
    for name in ("support_y", "query_x"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must be .* with tasks"):
            serve(**(good | {name: good[name][:1]}))
    for name in ("support_x", "query_x"):  # a ReLU would hide the NaN until the gradient step
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{name} must be finite"):
            serve(**(good | {name: good[name] * np.nan}))


@pytest.mark.slow
def test_learns_the_fixture_in_a_process_of_its_own(data_dir, tmp_path):
    """Rectangles of different sizes are easy: after a short training most queries are right."""
    flags = base(data_dir) + ["--output_dir=run", "--iterations=150"]
    flags += ["--log_every=50", "--checkpoint_every=50", "--filters=16,16", "--eval_tasks=100"]
    done = subprocess.run([sys.executable, str(SCRIPT), *flags], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(RunFolder("run").evaluation_file).set_index("step")
    # Of three classes: chance is 0.33, and without gradient steps labels mean nothing. Rotated
    # rectangles of one shape look alike, so not all queries can be told apart.
    assert table["mean"][0] < 0.42
    assert table["mean"][3] > 0.55
