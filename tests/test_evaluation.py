"""Evaluation: means and intervals by hand, fresh tasks, the same for every method."""

import numpy as np
import pandas as pd
import pytest

from mmaml_tf.reporting import figures
from mmaml_tf.reporting.evaluation import TaskResults, summarise
from mmaml_tf.tasks import Draw, TaskStream
from tests.runs import tiny_domain


def test_summary_by_hand():
    losses = np.array([[1.0, 0.5], [3.0, 0.7], [10.0, 2.0], [20.0, 4.0]])
    results = TaskResults(losses, np.array([0, 0, 1, 1]), None)
    table = summarise(results, ("a", "b"), "mse").set_index(["step", "mode"])
    assert table["mean"][(0, "all")] == 8.5
    assert table["mean"][(1, "b")] == 3.0
    # s = sqrt(2) for (2, 4), n = 2: 1.96 * sqrt(2) / sqrt(2).
    assert table["ci95"][(1, "b")] == pytest.approx(1.96)
    # Of (0.5, 0.7) a tenth of that. Both modes have half of the tasks.
    assert table["ci95"][(1, "all")] == pytest.approx(np.hypot(1.96, 0.196) / 2)
    assert table["num_tasks"].to_dict() == {
        (step, mode): 4 if mode == "all" else 2 for step in (0, 1) for mode in ("all", "a", "b")
    }


def test_losses_are_those_of_a_direct_computation():
    domain = tiny_domain(eval_tasks=40)
    learner = domain.build_learner()
    results = domain.evaluate(learner)
    assert results.scores.shape == (40, 3)
    assert results.embeddings.shape == (40, 6)
    batch = domain.tasks.sample(Draw(TaskStream.EVALUATION, 1, 0, 40), 5, 5)
    predictions = learner.after_each_step(batch.support, batch.query.x).predictions
    expected = np.mean((predictions - batch.query.y) ** 2, axis=(2, 3)).T
    np.testing.assert_allclose(results.scores, expected, rtol=1e-4)
    np.testing.assert_array_equal(results.modes, batch.mode)


class Recorder:
    """A task distribution that notes what is asked of it."""

    def __init__(self, tasks):
        self.tasks, self.seen = tasks, set()

    def sample(self, *arguments):
        self.seen.add(arguments[0][:2])
        return self.tasks.sample(*arguments)


def test_every_method_meets_the_same_tasks_and_training_never_does():
    targets = {}
    for method in ("maml", "mumomaml"):
        for seed in (0, 1):
            domain = tiny_domain(method, seed=seed)
            learner = domain.build_learner()
            domain.tasks = Recorder(domain.tasks)
            domain.evaluate(learner)
            targets[method, seed] = domain.tasks.seen
    assert set.union(*targets.values()) == {(TaskStream.EVALUATION, 1)}


def test_evaluation_in_several_batches_has_every_mode_equally():
    domain = tiny_domain(name="regression_3mode", meta_batch_size=6, eval_tasks=1209)  # 3 * 13 * 31
    results = domain.evaluate(domain.build_learner())
    np.testing.assert_array_equal(np.bincount(results.modes), [403] * 3)
    assert len(np.unique(results.scores[:, 0])) > 1200  # no batch was met twice


def test_embeddings_that_are_all_the_same_are_drawn():
    drawn = figures.embedding_map(np.ones([4, 3], np.float32), np.array([0, 1, 0, 1]), ("a", "b"))
    assert all(np.isfinite(part.get_offsets()).all() for part in drawn.axes[0].collections)


def test_embeddings_that_are_not_finite_are_left_out():
    embeddings, labels = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    embeddings[3] = np.inf
    drawn = figures.embedding_map(embeddings, labels, ("a", "b"))
    assert [len(part.get_offsets()) for part in drawn.axes[0].collections] == [10, 9]
    figures.embedding_map(embeddings * np.nan, labels, ("a", "b"))


def test_curves_of_trainings_that_diverged_are_drawn(tmp_path):
    lost = pd.DataFrame({"iteration": [10, 20], "loss": [np.nan, np.nan]})
    drawn = figures.training_curves("training", {"a": [lost, lost]}, "loss", "loss", "log")
    figures.save(drawn["training"], tmp_path / "training.png")
    assert figures.training_curves("training", {"a": [lost]}, "return_after", "return") == {}
    keys = dict(step=[0, 1], mode="all", metric="mse", num_tasks=4, num_seeds=2)
    table = pd.DataFrame(keys | dict(mean=np.nan, ci95=np.nan))
    figures.save(figures.adaptation_curves({"a": table}, "mse", "log"), tmp_path / "steps.png")


def test_embeddings_have_the_colour_of_their_mode(monkeypatch):
    class AsTheyAre:
        def __init__(self, **settings):
            self.fit_transform = lambda embeddings: embeddings

    monkeypatch.setattr(figures, "TSNE", AsTheyAre)
    embeddings, labels = np.arange(40.0).reshape(20, 2), np.arange(20) % 3
    drawn = figures.embedding_map(embeddings, labels, ("a", "b", "c"))
    for label, points in enumerate(drawn.axes[0].collections):
        members = np.sort(points.get_offsets(), axis=0)
        np.testing.assert_array_equal(members, embeddings[labels == label])


def test_the_training_curve_is_a_median_around_each_iteration():
    loss = np.random.default_rng(0).normal(size=250)  # a window of five
    table = pd.DataFrame({"iteration": 10 * np.arange(250), "loss": loss})
    drawn = figures.training_curves("training", {"run": [table]}, "loss", "loss", "linear")
    smooth, _ = drawn["training"].axes[0].lines
    np.testing.assert_array_equal(smooth.get_xdata(), table["iteration"])
    expected = [np.median(loss[index - 2 : index + 3]) for index in range(2, 248)]
    np.testing.assert_allclose(smooth.get_ydata()[2:-2], expected)


def test_one_diverged_batch_does_not_flatten_the_training_curve():
    loss = np.linspace(5.0, 1.0, 200)
    loss[100] = 1e12
    table = pd.DataFrame({"iteration": np.arange(200), "loss": loss})
    drawn = figures.training_curves("training", {"run": [table]}, "loss", "loss")
    low, high = drawn["training"].axes[0].get_ylim()
    assert 0.5 < low < 1.0
    assert 5.0 < high < 10.0


def test_evaluation_takes_its_own_shots_and_steps():
    domain = tiny_domain(eval_shots=9, eval_steps=4)
    learner = domain.build_learner()
    results = domain.evaluate(learner)
    assert results.scores.shape == (40, 5)
    batch = domain.tasks.sample(
        Draw(TaskStream.EVALUATION, 1, 0, 40), 9, domain.config.eval_queries
    )
    predicted = learner.after_each_step(batch.support, batch.query.x, 4).predictions
    errors = [learner.task_loss(batch.query.y, part) for part in predicted]
    np.testing.assert_allclose(results.scores, np.stack(errors, 1), rtol=1e-5)
    assert domain.training_tasks(0).support.x.shape[1] == domain.config.num_shots == 5
