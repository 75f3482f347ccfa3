"""A user's own data as tasks."""

import numpy as np
import pytest
import tensorflow as tf

from mmaml_tf import tasks


def line(seed):
    rng = np.random.default_rng(seed)
    slope, x = rng.uniform(-3, 3), rng.uniform(-5, 5, [7, 1])
    return x, slope * x


def first(dataset, count=1):
    return list(dataset.take(count).as_numpy_iterator())


def test_a_function_becomes_batches_of_tasks():
    stream = tasks.from_function(line, num_tasks=3, num_shots=2)
    batch, following = first(stream, 2)
    assert batch.support.x.shape == (3, 2, 1) and batch.query.y.shape == (3, 5, 1)
    assert batch.support.x.dtype == np.float32 and batch.mode.tolist() == [0, 0, 0]
    slopes = batch.query.y / batch.query.x
    np.testing.assert_allclose(slopes, np.broadcast_to(slopes[:, :1], slopes.shape), rtol=1e-5)
    np.testing.assert_allclose(batch.support.y, slopes[:, :2] * batch.support.x, rtol=1e-5)
    drawn = np.concatenate([slopes[:, 0], (following.query.y / following.query.x)[:, 0]])
    assert len(np.unique(drawn)) == 6
    (again,) = first(tasks.from_function(line, num_tasks=3, num_shots=2))
    (other,) = first(tasks.from_function(line, num_tasks=3, num_shots=2, seed=1))
    np.testing.assert_array_equal(again.query.x, batch.query.x)
    assert not np.any(other.query.x == batch.query.x)


def test_of_several_functions_each_is_a_mode():
    def constant(seed):
        x = line(seed)[0]
        return x, np.ones_like(x)

    (batch,) = first(tasks.from_function([line, constant], num_tasks=4, num_shots=2))
    (lines,) = first(tasks.from_function(line, num_tasks=2, num_shots=2))
    assert batch.mode.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(batch.query.y[:2], lines.query.y)
    np.testing.assert_array_equal(batch.query.y[2:], np.ones([2, 5, 1]))
    assert not np.any(batch.query.x[:2] == batch.query.x[2:])
    with pytest.raises(ValueError, match="num_tasks=3: must be a multiple of the 2 modes"):
        tasks.from_function([line, constant], num_tasks=3, num_shots=2)
    short = lambda seed: tuple(part[:5] for part in line(seed))  # noqa: E731
    with pytest.raises(ValueError, match="functions return different shapes"):
        tasks.from_function([line, short], num_tasks=4, num_shots=2)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (lambda seed: (np.zeros([2, 1]), np.zeros([2, 1])), r"x \[2, 1\].*more than num_shots=2"),
        (lambda seed: (np.zeros([9, 1]), np.zeros([8, 1])), "same number of points"),
        (lambda seed: (0.5, 0.5), "same number of points"),
    ],
)
def test_a_function_that_gives_no_task_is_refused(sample, words):
    with pytest.raises(ValueError, match=words):
        tasks.from_function(sample, num_tasks=3, num_shots=2)
    with pytest.raises(ValueError, match="num_tasks=0: must be 1 or more"):
        tasks.from_function(line, num_tasks=0, num_shots=2)


# Example 4 c + i is the i-th of class c.
PIXELS = np.arange(24, dtype=np.uint8).reshape(24, 1, 1)
NAMES = np.repeat(["f", "e", "d", "c", "b", "a"], 4)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (np.full([4, 1], 0.5), r"returned float64 \[4, 1\], and for another seed int64 \[4, 1\]"),
        (np.zeros([5, 1], int), r"returned int64 \[5, 1\], and for another seed int64 \[4, 1\]"),
    ],
)
def test_a_function_whose_tasks_differ_is_refused(other, words):
    def sample(seed):
        return np.zeros([4, 1]), (np.zeros([4, 1], int) if seed == 0 else other)

    stream = iter(tasks.from_function(sample, num_tasks=1, num_shots=2, seed=0))
    with pytest.raises(tf.errors.OpError, match=words):
        next(stream)


def test_labelled_arrays_become_episodes():
    stream = tasks.from_arrays(PIXELS, NAMES, ways=3, shots=1, queries=2, num_tasks=50)
    (batch,) = first(stream)
    assert batch.support.x.shape == (50, 3, 1, 1) and batch.query.x.shape == (50, 6, 1, 1)
    assert batch.support.y.tolist() == [[0, 1, 2]] * 50
    assert batch.query.y.tolist() == [[0, 0, 1, 1, 2, 2]] * 50
    support, query = (
        np.round(255 * part.x[:, :, 0, 0]).astype(int) for part in (batch.support, batch.query)
    )
    # The queries of a class are of the class that its support example is of, and others than it.
    np.testing.assert_array_equal(np.repeat(support // 4, 2, 1), query // 4)
    for episode in np.concatenate([support, query], 1):
        assert len(set(episode)) == 9 and len(set(episode // 4)) == 3
    assert set(support.ravel()) == set(range(24))  # all are used


def test_what_makes_no_episodes_is_refused():
    for arguments, words in (
        (dict(ways=7, shots=1), "ways=7: there are only 6 classes"),
        (dict(ways=2, shots=3), "class a has 4 examples: 3 shots and 3 queries need 6"),
        (dict(ways=2, shots=0), "shots=0: must be 1 or more"),
    ):
        with pytest.raises(ValueError, match=words):
            tasks.from_arrays(PIXELS, NAMES, **arguments)
    with pytest.raises(ValueError, match=r"labels \[23\] must be one for each of 24 inputs"):
        tasks.from_arrays(PIXELS, NAMES[1:], ways=2, shots=1)
