"""Image sets: found, decoded, split, and drawn as balanced tasks."""

import json
import re
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

import registry
from data.image_files import LabelledFiles
from data.image_sets import load
from data.image_tasks import ImageSetTasks
from flags.image_sets_config import ImageSetsConfig, paper_settings
from mmaml_tf import networks
from mmaml_tf.classification import domain
from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.tasks import Draw, TaskStream
from tests.runs import command

SIZE = 8


def write_set(folder, classes=10, per_class=6, color=True, seed=0):
    """A folder of class/image; every image is of one number of its own, classes far apart."""
    rng = np.random.default_rng(seed)
    for index in range(classes):
        path = folder / f"class{index:02}"
        path.mkdir(parents=True)
        for number in range(per_class + index % 2):
            size = (12, 9) if number % 2 else (9, 9)
            shape = (*size, 3) if color else size
            level = 20 * index + number
            image = np.clip(level + rng.integers(0, 2, shape), 0, 255).astype(np.uint8)
            Image.fromarray(image).save(path / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_set(root / "photos")
    write_set(root / "signs", color=False, seed=1)
    return root


pytestmark = pytest.mark.usefixtures("in_empty_folder")


def test_a_folder_and_its_zip_are_the_same_set(sets, tmp_path):
    folder = load(sets / "photos", SIZE)
    archive = tmp_path / "packed" / "photos.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        for path in (sets / "photos").rglob("*.png"):
            file.write(path, f"around/{path.relative_to(sets / 'photos')}")
    for again in (load(archive, SIZE), load(archive.parent, SIZE)):
        assert again.names == folder.names == tuple(f"class{i:02}" for i in range(10))
        np.testing.assert_array_equal(again.images, folder.images)
        np.testing.assert_array_equal(again.starts, folder.starts)
    assert folder.images.shape == (65, SIZE, SIZE, 3)
    assert load(sets / "signs", SIZE).images.shape[-1] == 1
    assert [len(part) for part in folder.splits.values()] == [6, 2, 2]
    assert len(np.unique(np.concatenate(list(folder.splits.values())))) == 10
    other = load(sets / "photos", SIZE, split_seed=1).splits
    assert set(other[TaskStream.TRAINING]) != set(folder.splits[TaskStream.TRAINING])


def test_a_damaged_cache_is_made_again(sets, tmp_path, capsys):
    expected = load(sets / "photos", SIZE).images
    (cache,) = (tmp_path / "cache" / "mmaml_tf").iterdir()
    assert "decoding" in capsys.readouterr().out
    load(sets / "photos", SIZE)
    assert capsys.readouterr().out == ""
    cache.write_bytes(cache.read_bytes()[:500])
    np.testing.assert_array_equal(load(sets / "photos", SIZE).images, expected)
    assert "decoding" in capsys.readouterr().out


def test_splits_are_as_the_file_says(tmp_path):
    write_set(tmp_path / "set", classes=4)
    file = tmp_path / "set" / "splits.json"
    names = [f"class{i:02}" for i in range(4)]
    file.write_text(json.dumps({"train": names[2:], "val": names[:1], "test": names[1:2]}))
    splits = load(tmp_path / "set", SIZE).splits
    assert [list(part) for part in splits.values()] == [[2, 3], [0], [1]]
    for content, words in (
        ({"train": ["lions"], "val": [], "test": []}, "names lions, which is no class"),
        ({"train": names[:1], "val": names[:1], "test": []}, "names a class twice"),
        ({"train": names}, "must hold lists of classes"),
    ):
        file.write_text(json.dumps(content))
        with pytest.raises(RunError, match=words):
            load(tmp_path / "set", SIZE)


@pytest.mark.parametrize("case", ["broken", "empty", "absent", "zip"])
def test_what_is_no_set_is_named(tmp_path, case):
    path = tmp_path / "set"
    words = {"broken": "0.png is no readable image", "empty": "holds no class/image"}
    if case == "broken":
        write_set(path)
        (path / "class03" / "0.png").write_bytes(b"no image")
    elif case == "empty":
        path.mkdir()
    elif case == "zip":
        path = tmp_path / "set.zip"
        path.write_bytes(b"no zip")
    words |= {"absent": "is not there", "zip": "is not a whole zip archive"}
    with pytest.raises(RunError, match=words[case]):
        load(path, SIZE)


def test_a_flipped_byte_in_a_zip_is_named(tmp_path):
    path = tmp_path / "set.zip"
    write_set(tmp_path / "set")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for image in sorted((tmp_path / "set").rglob("*.png")):
            file.write(image, image.relative_to(tmp_path / "set"))
        start = file.infolist()[0].header_offset + 30 + len(file.infolist()[0].filename)
    content = bytearray(path.read_bytes())
    content[start] = 0x07  # a block of a type that deflate does not have
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"class00/0.png can't be read \(Error -3"):
        load(path, SIZE)


def test_16_bit_greys_are_shades(tmp_path):
    shades = np.array([[0, 257], [30_000, 65_535]], np.uint16)
    (tmp_path / "set" / "one").mkdir(parents=True)
    Image.fromarray(shades).save(tmp_path / "set" / "one" / "0.png")
    decoded = load(tmp_path / "set", 2).images[0, ..., 0]
    np.testing.assert_array_equal(decoded, [[0, 1], [117, 255]])


def test_what_is_not_square_is_cropped(tmp_path):
    wide = np.zeros((SIZE, 3 * SIZE), np.uint8)
    wide[:, SIZE : 2 * SIZE] = 200
    (tmp_path / "set" / "one").mkdir(parents=True)
    Image.fromarray(wide).save(tmp_path / "set" / "one" / "0.png")
    assert set(load(tmp_path / "set", SIZE).images.ravel()) == {200}


def zipped(path, *names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"")


def test_nothing_is_left_out_of_a_folder_of_zips(tmp_path):
    zipped(tmp_path / "one.zip", "cats/0.png", "__MACOSX/cats/._0.png", "splits.json")
    zipped(tmp_path / "two.zip", "dogs/0.png", "splits.json")
    assert LabelledFiles(tmp_path).classes == {"cats": ["cats/0.png"], "dogs": ["dogs/0.png"]}
    zipped(tmp_path / "two.zip", "dogs/0.png", "cats/0.png")
    with pytest.raises(RunError, match="two.zip holds cats/0.png, as another zip beside it does"):
        LabelledFiles(tmp_path)
    (tmp_path / "two.zip").unlink()
    write_set(tmp_path / "birds", classes=1, per_class=1)
    with pytest.raises(RunError, match="holds both one.zip and birds/class00/0.png"):
        LabelledFiles(tmp_path)


def test_a_validation_counts_as_many_tasks_of_each_set(sets, monkeypatch):
    """Of the last batch, too, which has more than are left."""
    mode_is_score = lambda batch: (tf.cast(batch.mode, tf.float32)[:, None], None)  # noqa: E731
    monkeypatch.setattr(domain.ClassificationDomain, "EVALUATION_BATCH", 4)
    monkeypatch.setattr(domain.evaluation, "scorer", lambda *_: mode_is_score)
    settings = paper_settings("protonet", ("photos", "signs"), num_ways=2)
    settings |= dict(
        network="conv", image_size=SIZE, num_queries=1, eval_queries=1, validation_tasks=6
    )
    own = domain.ClassificationDomain(ImageSetsConfig(**settings), tasks(sets))
    assert float(own.validation(own.build_learner()).score()) == 0.5


def test_a_network_of_ones_own(sets):
    @networks.register("flat", "classification", filters=(5,))
    def flat(image_shape, num_classes, filters, scale_shift):
        layers = [keras.Input(image_shape), keras.layers.Flatten()]
        return keras.Sequential([*layers, *map(keras.layers.Dense, (*filters, num_classes))])

    try:
        settings = paper_settings("maml", ("photos", "signs"), num_ways=2, network="flat")
        config = ImageSetsConfig(**settings | dict(image_size=SIZE, num_queries=1))
        assert config.filters == (5,) and config.label == "maml-flat-photos+signs-2way-1shot"
        learner = domain.ClassificationDomain(config, tasks(sets)).build_learner()
        assert [layer.units for layer in learner.network.model.layers[1:]] == [5, 2]
    finally:
        networks.NETWORKS.remove("flat")
    with pytest.raises(ConfigError, match="--network=flat: choose from conv, max_pool, mlp"):
        ImageSetsConfig(**settings)


def tasks(sets, rotated=()):
    both = [load(sets / name, SIZE) for name in ("photos", "signs")]
    return ImageSetTasks(both, num_ways=2, num_images=5, rotated=rotated)


def test_tasks_are_balanced_and_disjoint(sets):
    drawn = tasks(sets).sample(Draw(TaskStream.TRAINING, 0, 3, 40), 2, 3)
    np.testing.assert_array_equal(drawn.mode, [0] * 20 + [1] * 20)
    assert drawn.support.x.shape == [40, 4, SIZE, SIZE, 3]
    np.testing.assert_array_equal(drawn.support.y[0], [0, 0, 1, 1])
    train = load(sets / "photos", SIZE).splits[TaskStream.TRAINING]
    for task in range(20):
        images = np.concatenate([drawn.support.x[task], drawn.query.x[task]])
        levels = np.rint(images.mean((1, 2, 3)) * 255).astype(int)
        classes = np.array([level // 20 for level in levels])
        assert set(classes) <= set(train) and len(set(classes)) == 2
        labels = np.concatenate([drawn.support.y[task], drawn.query.y[task]])
        for label in (0, 1):
            members = classes[labels == label]
            assert len(set(members)) == 1
        assert len({image.tobytes() for image in images}) == len(images)
    # A class with more images than another has all of them drawn.
    many = tasks(sets).sample(Draw(TaskStream.TRAINING, 0, 4, 800), 2, 3).support.x[:400]
    levels = {int(level) % 20 for level in np.rint(np.mean(many, (2, 3, 4)) * 255 - 0.4).ravel()}
    assert levels >= {0, 3, 6}


def test_sets_do_not_share_their_draws(sets):
    same = ImageSetTasks([load(sets / "photos", SIZE)] * 2, num_ways=2, num_images=5)
    drawn = same.sample(Draw(TaskStream.TRAINING, 0, 0, 20), 2, 3).support.x.numpy()
    assert not np.array_equal(drawn[:10], drawn[10:])


def test_turned_classes_are_classes_of_their_own(tmp_path):
    folder = tmp_path / "arrows"
    rng = np.random.default_rng(0)
    for name in "abc":
        (folder / name).mkdir(parents=True)
        image = rng.integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
        for number in range(2):
            Image.fromarray(image).save(folder / name / f"{number}.png")
    images = load(folder, SIZE)
    images.splits.update(dict.fromkeys(TaskStream, np.arange(3)))
    drawn = ImageSetTasks([images], 2, 2, ["arrows"]).sample(
        Draw(TaskStream.TRAINING, 0, 0, 50), 1, 1
    )
    np.testing.assert_array_equal(drawn.support.x, drawn.query.x)  # of one class: turned alike
    originals = images.images[::2, ..., 0] / 255
    seen = set()
    for image in np.reshape(drawn.support.x[..., 0], [-1, SIZE, SIZE]):
        matches = [
            (index, turns)
            for index, original in enumerate(originals)
            for turns in range(4)
            if np.allclose(np.rot90(original, turns), image, atol=1e-6)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) == 12


def test_the_domain_turns_the_sets_that_it_is_told_to(sets):
    settings = paper_settings("protonet", ("photos", "signs"), num_ways=2)
    settings |= dict(image_sets=(str(sets / "photos"), str(sets / "signs")), image_size=SIZE)
    settings |= dict(rotated_sets=("signs",), num_queries=1, eval_queries=1)
    domain = registry.domains()["image_sets"].domain(ImageSetsConfig(**settings))
    assert domain.tasks.num_classes == 6 + 6 * 4


def test_labels_of_all_classes_are_told_apart(sets):
    labelled = tasks(sets, rotated=["signs"]).labelled_by_class()
    assert labelled.num_classes == 6 + 6 * 4
    drawn = labelled.sample(Draw(TaskStream.TRAINING, 0, 0, 40), 2, 3)
    labels = drawn.support.y.numpy()
    assert labels[:20].max() < 6 <= labels[20:].min() and labels.max() < 30
    tested = labelled.sample(Draw(TaskStream.EVALUATION, 0, 0, 2), 1, 1).support.y
    np.testing.assert_array_equal(tested, [[0, 1], [0, 1]])


def test_too_few_classes_or_images(sets):
    images = [load(sets / "photos", SIZE)]
    with pytest.raises(ConfigError, match="num_ways=3: the validation split of photos has 2"):
        ImageSetTasks(images, 3, 5)
    with pytest.raises(ConfigError, match=r"photos: class\d\d has 6 images, .* needs 7"):
        ImageSetTasks(images, 2, 7)


def test_draws_are_the_same_in_a_graph(sets):
    drawn = tasks(sets, rotated=["photos"])
    arguments = (Draw(TaskStream.EVALUATION, 1, 2, 4), 1, 2)
    eager, graph = drawn.sample(*arguments), tf.function(drawn.sample)(*arguments)
    for own, other in zip(tf.nest.flatten(eager), tf.nest.flatten(graph), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-6)  # x / 255 is x * (1 / 255) in a graph


def test_the_command_on_two_sets(sets, capsys):
    paths = f"--image_sets={sets / 'photos'},{sets / 'signs'}"
    tiny = "--iterations=2 --log_every=1 --checkpoint_every=1 --meta_batch_size=2 --eval_tasks=4"
    tiny += " --validation_tasks=2 --num_ways=2 --num_queries=2 --eval_queries=2 --image_size=8"
    tiny += " --filters=4,4 --inner_steps=1 --eval_steps=2"
    run = ["--domain=image_sets", "--method=multi_maml", *tiny.split()]
    assert command(*run, paths) == 0
    folder = "runs/image_sets/multi_maml-max_pool-photos+signs-2way-1shot/seed0"
    rows = pd.read_csv(f"{folder}/evaluation.csv")
    assert set(rows["mode"]) == {"all", "photos", "signs"}
    assert (rows[rows["mode"] == "photos"]["num_tasks"] == 2).all()
    served = tf.saved_model.load(f"{folder}/saved_model").signatures["serving_default"]
    assert "mode" in served.structured_input_signature[1]
    capsys.readouterr()
    assert command(*run, f"--image_sets={sets / 'photos'}") == 2
    assert "has one mode here" in capsys.readouterr().err
    assert command(*run, paths, "--meta_batch_size=3") == 2
    message = "--meta_batch_size=3: must be a multiple of the 2 modes (photos, signs)"
    assert message in capsys.readouterr().err
    assert command(*run, paths, "--rotated_sets=cats") == 2
    assert re.search(r"--rotated_sets=cats: choose from photos, signs", capsys.readouterr().err)
