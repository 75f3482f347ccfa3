"""Adapting to tasks, and what is given for it."""

import numpy as np
import pytest
import tensorflow as tf

import mmaml_tf as mm
from tests.learners import dense, make_batch


def test_adapting_to_one_task_is_as_among_many():
    learner = mm.MuMoMAML(dense(), inner_steps=2)
    batch = make_batch()
    many = learner.adapt(*batch.support)
    expected = learner.after_each_step(batch.support, batch.query.x)
    np.testing.assert_allclose(many.predict(batch.query.x), expected.predictions[-1], rtol=1e-6)
    np.testing.assert_allclose(many.predict(batch.query.x, step=0), expected.predictions[0])
    np.testing.assert_allclose(many.embedding, expected.embedding)
    one = learner.adapt(batch.support.x[1], batch.support.y[1])
    predicted = one.predict(batch.query.x[1])
    np.testing.assert_allclose(predicted, expected.predictions[-1][1], rtol=1e-4, atol=1e-6)
    assert one.embedding.shape == many.embedding.shape[1:]


def test_what_is_no_support_or_query_set_is_named():
    learner, batch = mm.MAML(dense()), make_batch()
    x, y = (part.numpy() for part in batch.support)
    for arguments, words in (
        (
            (x[..., None], y),
            r"support_x must be \[tasks, examples, 1\], but its shape is \[4, 3, 1, 1\]",
        ),
        ((np.zeros([4, 3, 2]), y), r"support_x must be \[tasks, examples, 1\]"),
        ((x[0], y[0, :, 0]), r"support_y must be \[examples, 1\], but its shape is \[3\]"),
        ((x, y[:2]), r"support_y is of \[2, 3\] tasks and examples, support_x of \[4, 3\]"),
        ((x[:, :0], y[:, :0]), r"support_x must be .* \[4, 0, 1\]"),
    ):
        with pytest.raises(ValueError, match=words):
            learner.adapt(*arguments)
    for wrong, words in (
        (x.astype(np.uint8), "support_x holds bytes: divide by 255"),
        (x * np.nan, "support_x must be finite"),
        (x.astype(np.float64) * 1e300, "support_x must be finite, .* in float32"),
        (x.astype(str), "support_x must be numbers"),
        (x[:0], r"support_x must be .* \[0, 3, 1\]"),
    ):
        with pytest.raises(ValueError, match=words):
            learner.adapt(wrong, y)
    with pytest.raises(ValueError, match="num_steps=-1: must be a whole number, 0 or more"):
        learner.adapt(x, y, num_steps=-1)
    adapted = learner.adapt(x, y)
    with pytest.raises(ValueError, match="query_x holds bytes"):
        adapted.predict(x.astype(np.uint8))
    with pytest.raises(ValueError, match="query_x is of 2 tasks, the support set of 4"):
        adapted.predict(batch.query.x[:2])
    with pytest.raises(ValueError, match=r"query_x must be \[tasks, examples, 1\]"):
        adapted.predict(np.zeros([4, 5]))


def test_labels_outside_the_ways_are_refused():
    learner = mm.MAML(dense(units=3), loss="cross_entropy")
    x = np.zeros([3, 1])
    assert learner.adapt(x, [0, 1, 2]).predict(x).shape == (3, 3)
    for labels, words in (
        ([0, 1, 3], "labels 0 to 3; they must be 0 to 2"),
        ([-1, 0, 1], "labels -1 to 1; they must be 0 to 2"),
        ([0.9, 1.9, 2.0], "support_y must be whole numbers"),
        ([0, 1, 2**32], "support_y must be whole numbers that int32 holds"),
    ):
        with pytest.raises(ValueError, match=words):
            learner.adapt(x, labels)


def test_types_of_numbers_do_not_matter():
    learner, batch = mm.MAML(dense(), inner_steps=2), make_batch()
    learner.compile(optimizer="sgd")
    expected = learner.adapt(*batch.support).predict(batch.query.x)
    doubled = tf.nest.map_structure(lambda part: tf.cast(part, tf.float64), batch)
    found = learner.adapt(*doubled.support).predict(doubled.query.x)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    scores = [
        learner.evaluate(tf.data.Dataset.from_tensors(b), verbose=0) for b in (batch, doubled)
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-6)
    whole = batch._replace(query=batch.query._replace(y=tf.ones([4, 5, 1], tf.int32)))
    learner.fit(tf.data.Dataset.from_tensors(whole), verbose=0)
    uneven = batch._replace(query=batch.query._replace(y=tf.ones([4, 3, 1])))
    answers = batch._replace(
        support=batch.support._replace(y=tf.ones([4, 3, 1], tf.uint8)),
        query=batch.query._replace(y=tf.ones([4, 5, 1], tf.uint8)),
    )
    learner.fit(tf.data.Dataset.from_tensors(answers), verbose=0)
    assert learner.adapt(*answers.support).predict(batch.query.x).shape == (4, 5, 1)
    labels = mm.MAML(dense(units=3), loss="cross_entropy")
    labels.compile(optimizer="sgd")
    examples = mm.tasks.Examples(batch.support.x, batch.support.y[..., 0])
    with pytest.raises(ValueError, match=r"support.y must be whole numbers, not float32"):
        labels.fit(tf.data.Dataset.from_tensors(batch._replace(support=examples)), verbose=0)
    with pytest.raises(ValueError, match=r"query: x is of \[4, 5\] tasks and examples, y of"):
        learner.fit(tf.data.Dataset.from_tensors(uneven), verbose=0)
    with pytest.raises(ValueError, match=r"must come as mm.tasks.TaskBatch.*not as tuple"):
        learner.fit(tf.data.Dataset.from_tensors((*batch.support, *batch.query)), verbose=0)


def test_tasks_that_are_computed_one_by_one_adapt_in_parts(monkeypatch):
    learner, batch = mm.MuMoMAML(dense(), task_batching="map"), make_batch(num_tasks=5)
    expected = learner.adapt(*batch.support).predict(batch.query.x)
    monkeypatch.setattr("mmaml_tf.learners.adapted.MAPPED_TASKS", 2)
    found = learner.adapt(*batch.support).predict(batch.query.x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_freezing_too_late_is_named():
    model = dense()
    learner = mm.MAML(model)
    model.layers[0].trainable = False
    with pytest.raises(ValueError, match=f"{model.layers[0].name}: frozen too late"):
        learner.adapt(*make_batch().support)
