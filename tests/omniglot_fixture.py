"""Small classifiers, and an Omniglot-shaped data set made on the fly."""

import zipfile

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.encoders.images import ImageEncoder
from mmaml_tf.layers.modulation import modulation_named
from mmaml_tf.learners.maml import MAML
from mmaml_tf.learners.mumomaml import MuMoMAML
from mmaml_tf.networks.models import conv_net
from mmaml_tf.tasks import Examples, TaskBatch
from tests.learners import generic

FILTERS = (10, 4)  # more than the 9 pixels that a first filter sees: it is computed differently
ENCODER_FILTERS = (11, 3)
SIZE, WAYS = 6, 3
NUM_TASKS = 5  # more than the parts that the encoder's pass is cut into, and no multiple
# Two alphabets each: with 3 characters kept for training and 3 for validation, 6 are for the test.
ALPHABETS = {"images_background": ("Runes", "Signs"), "images_evaluation": ("Marks", "Notes")}
CHARACTERS = 3


def make_batch(seed=0, num_tasks=NUM_TASKS, num_shots=1, num_queries=2):
    """Tasks with random images, labels class after class."""
    rng = np.random.default_rng(seed)

    def examples(per_class):
        shape = (num_tasks, WAYS * per_class, SIZE, SIZE, 1)
        labels = tf.tile(tf.repeat(tf.range(WAYS), per_class)[None], [num_tasks, 1])
        return Examples(tf.constant(rng.normal(size=shape), keras.config.floatx()), labels)

    return TaskBatch(examples(num_shots), examples(num_queries), tf.zeros(num_tasks, tf.int32))


def make_learner(modulation=None, batching="map", model=conv_net, seed=3, **settings):
    """A learner with weights large enough that its steps change its predictions."""
    keras.utils.set_random_seed(seed)
    scale_shift = modulation is None or not modulation_named(modulation).scales_and_shifts
    base = model((SIZE, SIZE, 1), WAYS, FILTERS, scale_shift)
    settings = {"inner_steps": 2, "inner_lr": 0.2, "loss": "cross_entropy", **settings}
    settings |= dict(fast_weights="materialised", task_batching=batching)
    if modulation is not None:
        encoder = ImageEncoder(ENCODER_FILTERS, 4)
        learner = MuMoMAML(base, modulation=modulation, encoder=encoder, **settings)
    else:
        learner = MAML(base, **settings)
    return generic(learner, seed=seed)


def character_names():
    """Those of `write_archives`, sorted."""
    return sorted(
        f"{alphabet}/character{number:02}"
        for alphabets in ALPHABETS.values()
        for alphabet in alphabets
        for number in range(1, CHARACTERS + 1)
    )


def write_archives(folder, extracted=False, drawings=20, **replaced):
    """Writes the two archives: a character is a rectangle of its own, drawn by 20 people.

    Args:
      folder: where to.
      extracted: write folders instead of zip files.
      drawings: per character.
      **replaced: PNG content instead of drawing 01 of character01 of an alphabet.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for archive, alphabets in ALPHABETS.items():
        files = {}
        for alphabet in alphabets:
            for number in range(1, CHARACTERS + 1):
                height, width = rng.integers(15, 60, 2)
                for person in range(1, drawings + 1):
                    top, left = rng.integers(2, 40, 2)
                    image = np.full((105, 105, 1), 255, np.uint8)
                    image[top : top + height, left : left + width] = 0
                    png = tf.io.encode_png(image).numpy()
                    if number == person == 1:
                        png = replaced.get(alphabet, png)
                    files[f"{archive}/{alphabet}/character{number:02}/00_{person:02}.png"] = png
        if extracted:
            for name, png in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(png)
        else:
            with zipfile.ZipFile(folder / f"{archive}.zip", "w") as file:
                for name, png in files.items():
                    file.writestr(name, png)
    return folder
