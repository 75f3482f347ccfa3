"""Omniglot's files, cache, splits and episodes, on a small data set of the same form."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data import omniglot_files
from data.episodes import ROTATIONS, distinct, split
from data.image_files import LabelledFiles
from data.omniglot import OmniglotTasks, episodes
from data.omniglot_characters import DRAWINGS, SIZE, Characters, load
from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.tasks import Draw, TaskStream
from tests.omniglot_fixture import character_names, write_archives

WAYS, SHOTS, QUERIES, TASKS = 3, 2, 4, 40
REAL_DATA = os.environ.get("MMAML_OMNIGLOT")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_archives(tmp_path_factory.mktemp("omniglot"))


@pytest.fixture
def cache_dir(tmp_path):
    return tmp_path / "cache"


def numbered_characters(count=7):
    """Characters whose pixels say which drawing they are: in the first row of the image."""
    images = np.zeros((count, DRAWINGS, SIZE, SIZE), np.uint8)
    images[:, :, 0, 0] = 255  # which corner it is in tells the rotation
    images[:, :, 1, 1] = images[:, :, 1, -2] = images[:, :, -2, 1] = images[:, :, -2, -2] = (
        10 + np.arange(count)[:, None]
    )
    images[:, :, 2, 2] = images[:, :, 2, -3] = images[:, :, -3, 2] = images[:, :, -3, -3] = (
        10 + np.arange(DRAWINGS)
    )
    return Characters(images, np.array([f"Alphabet{i % 2}/{i}" for i in range(count)]))


def identities(images):
    """(character, rotation, drawing) of `numbered_characters`: each [tasks, N]."""
    images = np.rint(255 * np.asarray(images)[..., 0]).astype(int)
    corners = np.stack([images[..., i, j] for i, j in ((0, 0), (-1, 0), (-1, -1), (0, -1))], -1)
    assert np.all(np.sum(corners == 255, -1) == 1)
    return images[..., 1, 1] - 10, np.argmax(corners, -1), images[..., 2, 2] - 10


def of_class(examples, task, label):
    """A task's images with that label."""
    return examples.x[task].numpy()[examples.y[task] == label]


# Files and cache.


def test_characters_of_both_archives_sorted_by_name(data_dir, cache_dir):
    characters = load(data_dir, cache_dir)
    assert list(characters.names) == character_names()
    assert characters.images.shape == (12, DRAWINGS, SIZE, SIZE)
    assert characters.images.dtype == np.uint8
    assert set(characters.alphabets) == {"Runes", "Signs", "Marks", "Notes"}


def test_drawings_are_shrunk_by_averaging_areas(data_dir, cache_dir):
    characters = load(data_dir, cache_dir)
    with zipfile.ZipFile(data_dir / "images_background.zip") as file:
        png = file.read("images_background/Runes/character02/00_07.png")
    ink = 1 - tf.io.decode_png(png)[..., 0].numpy() / 255
    # 105 / 28 = 3.75: pixel i averages [3.75 i, 3.75 (i + 1)).
    edges = 3.75 * np.arange(29)
    overlap = np.minimum(edges[1:, None], np.arange(1, 106)) - np.maximum(
        edges[:-1, None], np.arange(105)
    )
    weights = np.maximum(overlap, 0) / 3.75
    expected = 255 * weights @ ink @ weights.T
    index = list(characters.names).index("Runes/character02")
    np.testing.assert_allclose(characters.images[index, 6], expected, atol=0.51)
    assert expected.max() > 200 and expected.min() == 0


def test_extracted_folders_hold_the_same(data_dir, cache_dir, tmp_path):
    folders = write_archives(tmp_path / "folders", extracted=True)
    assert not list(folders.glob("*.zip"))
    np.testing.assert_array_equal(load(folders, cache_dir).images, load(data_dir, cache_dir).images)


def test_second_load_reads_the_cache(data_dir, cache_dir, monkeypatch, capsys):
    first = load(data_dir, cache_dir)
    assert "decoding" in capsys.readouterr().out
    monkeypatch.setattr(LabelledFiles, "read", None)
    second = load(data_dir, cache_dir)
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.names, second.names)
    assert not list(cache_dir.glob("*.partial"))


@pytest.mark.parametrize("damage", ["truncated", "empty", "other content"])
def test_damaged_cache_is_made_again(data_dir, cache_dir, damage):
    first = load(data_dir, cache_dir)
    (cache,) = cache_dir.iterdir()
    if damage == "other content":
        np.savez(cache, images=np.zeros(3), names=np.array(["a", "b"]))
    else:
        content = cache.read_bytes()
        cache.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    np.testing.assert_array_equal(load(data_dir, cache_dir).images, first.images)
    np.testing.assert_array_equal(load(data_dir, cache_dir).images, first.images)


def test_changed_archive_is_not_answered_from_an_old_cache(data_dir, cache_dir, tmp_path):
    blank = tf.io.encode_png(np.full((105, 105, 1), 255, np.uint8)).numpy()
    changed = write_archives(tmp_path / "changed", Runes=blank)
    before, after = load(data_dir, cache_dir), load(changed, cache_dir)
    index = list(after.names).index("Runes/character01")
    assert before.images[index, 0].any() and not after.images[index, 0].any()


def test_cache_folder_that_cannot_be_written_is_gone_without(data_dir, tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert len(load(data_dir, tmp_path / "file")) == 12


def test_missing_archive_offline_says_what_to_put_where(tmp_path, monkeypatch):
    def offline(**kwargs):
        raise Exception("URL fetch failure on ...: None -- [Errno -3] no name resolution\nmore")

    monkeypatch.setattr(omniglot_files.keras.utils, "get_file", offline)
    with pytest.raises(RunError) as error:
        load(tmp_path / "nowhere")
    message = str(error.value)
    for part in ("images_background.zip", "images_evaluation.zip", "--data_dir", "no name res"):
        assert part in message
    assert "\n" not in message


def test_missing_archive_is_downloaded_and_held_to_its_checksum(data_dir, tmp_path, monkeypatch):
    # "file:" downloads through the very same function.
    monkeypatch.setattr(omniglot_files, "ORIGIN", data_dir.as_uri())
    target = tmp_path / "target"
    with pytest.raises(RunError, match="can't be downloaded"):
        load(target, tmp_path / "cache")
    assert not list(target.iterdir())  # neither the file nor a part of it
    content = {name: (data_dir / f"{name}.zip").read_bytes() for name in omniglot_files.ARCHIVES}
    import hashlib

    checksums = {name: hashlib.md5(data).hexdigest() for name, data in content.items()}
    monkeypatch.setattr(omniglot_files, "ARCHIVES", checksums)
    assert len(load(target, tmp_path / "cache")) == 12
    assert sorted(path.name for path in target.iterdir()) == sorted(f"{n}.zip" for n in content)


@pytest.mark.parametrize(
    "damage, message",
    [
        ("no zip", "is not a whole zip archive"),
        ("cut off", "is not a whole zip archive"),
        ("flipped", "images_background/.* can't be read .*put a good copy there"),
        ("no drawings", "holds no class/image .*put a good copy there"),
    ],
)
def test_broken_zip_is_one_clear_line(tmp_path, cache_dir, damage, message):
    folder = write_archives(tmp_path / "broken")
    path = folder / "images_background.zip"
    content = bytearray(path.read_bytes())
    if damage == "no zip":
        content = b"<html>not found</html>"
    elif damage == "cut off":
        content = content[:-100]
    elif damage == "flipped":
        content[200] ^= 0xFF
    if damage == "no drawings":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("readme.txt", "empty")
    else:
        path.write_bytes(bytes(content))
    with pytest.raises(RunError, match=message) as error:
        load(folder, cache_dir)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    "png, message",
    [
        (b"not an image", "00_01.png is not a readable PNG"),
        (tf.io.encode_png(np.zeros((50, 60, 1), np.uint8)).numpy(), "has 50 x 60 pixels"),
    ],
)
def test_broken_image_is_one_clear_line(tmp_path, cache_dir, png, message):
    folder = write_archives(tmp_path / "broken", Runes=png)
    with pytest.raises(RunError, match=message) as error:
        load(folder, cache_dir)
    assert "\n" not in str(error.value)
    assert not cache_dir.exists()


def test_missing_drawing_is_an_error(tmp_path, cache_dir):
    with pytest.raises(RunError, match="has 19 drawings, not 20"):
        load(write_archives(tmp_path / "few", drawings=19), cache_dir)


# Splits.


def test_splits_are_disjoint_and_complete():
    characters = numbered_characters(30)
    parts = OmniglotTasks(characters, 4, num_train=15, num_validation=5, num_ways=2).splits
    names = [set(part.names) for part in parts.values()]
    assert [len(n) for n in names] == [15, 5, 10]
    assert set.union(*names) == set(characters.names)


def test_split_depends_on_its_seed_alone():
    classes = [list(split(30, seed, (15, 20))[TaskStream.TRAINING]) for seed in (0, 0, 1)]
    assert classes[0] == classes[1] != classes[2]
    # Fixed for good: a change would mix up the test characters of published weights.
    assert classes[0][:5] == [2, 11, 26, 21, 10]


def test_too_few_characters_for_the_ways():
    characters = numbered_characters(12)
    with pytest.raises(ConfigError, match="--num_ways=4: the evaluation split has 2 of the 12"):
        OmniglotTasks(characters, 0, num_train=6, num_validation=4, num_ways=4)
    with pytest.raises(ConfigError, match="the validation split has 2 of"):
        OmniglotTasks(characters, 0, num_train=10, num_validation=4, num_ways=4)


# Episodes.


@pytest.fixture(scope="module")
def batch():
    seed = tf.constant([5, 6])
    return episodes(numbered_characters()).sample(seed, TASKS, WAYS, SHOTS, QUERIES)


def test_shapes_labels_and_range(batch):
    for examples, per_class in ((batch.support, SHOTS), (batch.query, QUERIES)):
        assert examples.x.shape == (TASKS, WAYS * per_class, SIZE, SIZE, 1)
        assert examples.x.dtype == tf.float32 and examples.y.dtype == tf.int32
        assert np.max(examples.x) == 1.0 and np.min(examples.x) == 0.0  # ink is one
        np.testing.assert_array_equal(examples.y, [np.repeat(np.arange(WAYS), per_class)] * TASKS)
    np.testing.assert_array_equal(batch.mode, np.zeros(TASKS))


def test_classes_are_different_characters_each_in_one_rotation(batch):
    for task in range(TASKS):
        classes = []
        for label in range(WAYS):
            seen = set()
            for examples in (batch.support, batch.query):
                character, rotation, _ = identities(of_class(examples, task, label))
                seen |= set(zip(character, rotation, strict=True))
            assert len(seen) == 1  # support and query show the same class, turned the same way
            classes += seen
        assert len({character for character, _ in classes}) == WAYS


def test_no_drawing_is_in_both_sets_or_twice(batch):
    for task in range(TASKS):
        for label in range(WAYS):
            drawings = [
                d
                for examples in (batch.support, batch.query)
                for d in identities(of_class(examples, task, label))[2]
            ]
            assert len(set(drawings)) == SHOTS + QUERIES


def test_all_drawings_can_be_used():
    batch = episodes(numbered_characters()).sample(tf.constant([0, 0]), 2, WAYS, 1, DRAWINGS - 1)
    for task in range(2):
        drawings = [identities(of_class(e, task, 0))[2] for e in (batch.support, batch.query)]
        assert sorted(np.concatenate(drawings)) == list(range(DRAWINGS))


def test_characters_rotations_drawings_and_labels_are_uniform():
    batch = episodes(numbered_characters()).sample(tf.constant([1, 2]), 2_000, WAYS, 1, 1)
    character, rotation, drawing = identities(batch.support.x)
    for values, count in ((character, 7), (rotation, ROTATIONS), (drawing, DRAWINGS)):
        shares = np.bincount(values.ravel(), minlength=count) / values.size
        # Five standard errors of a share of 6,000 draws.
        np.testing.assert_allclose(shares, 1 / count, atol=5 * np.sqrt(1 / count / 6_000))
    shares = np.bincount(character[:, 0], minlength=7) / 2_000  # a label says nothing
    np.testing.assert_allclose(shares, 1 / 7, atol=5 * np.sqrt(1 / 7 / 2_000))


def test_xla_draws_the_same_tasks():
    tasks = OmniglotTasks(numbered_characters(400), 0, 300, 50, WAYS)

    def sample(iteration):
        return tasks.sample(Draw(TaskStream.TRAINING, 3, iteration, 200), SHOTS, QUERIES)

    iteration = tf.constant(7, tf.int64)
    plain, compiled = sample(iteration), tf.function(sample, jit_compile=True)(iteration)
    for one, other in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)  # XLA's division rounds otherwise


def test_draws_are_those_of_uniform_floats():
    # What is recorded was trained and evaluated on tasks drawn by floats.
    seed = tf.constant([3, 4])
    expected = tf.math.top_k(tf.random.stateless_uniform([50, 2_000], seed), 20).indices
    np.testing.assert_array_equal(distinct(seed, [50], 2_000, 20), expected)


def test_rotations_are_quarter_turns():
    characters = numbered_characters()
    characters.images[:] = np.random.default_rng(0).integers(0, 256, characters.images.shape)
    batch = episodes(characters).sample(tf.constant([1, 2]), 50, WAYS, 1, 1)
    known = {
        np.rot90(image, turns).tobytes(): turns
        for image in characters.images.reshape(-1, SIZE, SIZE)
        for turns in range(ROTATIONS)
    }
    seen = [
        known[np.rint(255 * image).astype(np.uint8).tobytes()]
        for image in batch.support.x.numpy().reshape(-1, SIZE, SIZE)
    ]
    assert set(seen) == set(range(ROTATIONS))


def make_tasks(ways=WAYS):
    return OmniglotTasks(numbered_characters(20), 0, 10, 5, ways)


def test_batches_are_a_pure_function_of_stream_seed_and_iteration():
    tasks = make_tasks()

    def draw(stream, seed, iteration, tasks=tasks):
        return tasks.sample(Draw(stream, seed, iteration, 4), 1, 1).support.x.numpy()

    reference = draw(TaskStream.TRAINING, 3, 7)
    compiled = tf.function(lambda i: make_tasks().sample(Draw(TaskStream.TRAINING, 3, i, 4), 1, 1))
    np.testing.assert_array_equal(reference, draw(TaskStream.TRAINING, 3, 7, make_tasks()))
    # Compiled, / 255 may be * (1 / 255).
    np.testing.assert_allclose(reference, compiled(tf.constant(7)).support.x, rtol=1e-6)
    for stream, seed, iteration in (
        (TaskStream.TRAINING, 3, 8),
        (TaskStream.TRAINING, 4, 7),
        (TaskStream.VALIDATION, 3, 7),
    ):
        assert not np.array_equal(reference, draw(stream, seed, iteration))


@pytest.mark.parametrize("stream", list(TaskStream))
def test_tasks_show_their_own_splits_characters_only(stream):
    tasks = make_tasks()
    batch = tasks.sample(Draw(stream, 0, 0, 200), 1, 1)
    shown = {str(c) for e in (batch.support, batch.query) for c in identities(e.x)[0].ravel()}
    assert shown == {name.split("/")[1] for name in tasks.splits[stream].names}


def test_tasks_of_one_alphabet():
    tasks = OmniglotTasks(numbered_characters(40), 0, 15, 5, num_ways=4)
    test = tasks.splits[TaskStream.EVALUATION]
    batch, names = tasks.grouped_tasks(seed=0, num_groups=2, tasks_each=6, num_shots=1)
    assert len(names) == 2 and list(batch.mode) == [0] * 6 + [1] * 6
    shown = identities(batch.support.x)[0]
    for index, name in enumerate(names):
        members = {n.split("/")[1] for n in test.names if n.startswith(f"{name}/")}
        assert {str(c) for c in shown[batch.mode == index].ravel()} <= members
    assert tasks.grouped_tasks(0, 0, 6, 1)[1] == []
    many = OmniglotTasks(numbered_characters(60), 0, 15, 15, num_ways=15)
    assert many.grouped_tasks(0, 2, 6, 1)[0].support.x.shape[:2] == (12, 5)


# The real thing, where it is at hand.


@pytest.mark.skipif(REAL_DATA is None, reason="MMAML_OMNIGLOT does not name a folder with Omniglot")
def test_real_omniglot(cache_dir):
    characters = load(Path(REAL_DATA), cache_dir)
    assert characters.images.shape == (1623, 20, 28, 28)
    assert len(set(characters.alphabets)) == 50
    tasks = OmniglotTasks(characters, 0, 1_100, 100, 5)
    assert [len(tasks.splits[stream]) for stream in TaskStream] == [1_100, 423, 100]
    # Strokes are thin: some ink everywhere, mostly paper.
    ink = characters.images.mean((1, 2, 3)) / 255
    assert 0.005 < ink.min() < ink.max() < 0.3
    batch = tasks.sample(Draw(TaskStream.TRAINING, 0, 0, 32), 1, 1)
    assert np.max(batch.support.x) == 1.0
