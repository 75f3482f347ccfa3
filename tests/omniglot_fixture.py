"""Small classifiers, and an Omniglot-shaped data set made on the fly."""

import zipfile

import keras
import numpy as np
import tensorflow as tf

from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.encoders import ImageEncoder, ModulationNetwork
from mmaml_tf.layers.modulation import MODULATIONS
from mmaml_tf.meta_learners import MAML, MuMoMAML
from mmaml_tf.networks.models import conv_net, image_encoder
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.omniglot.classification import cross_entropy
from mmaml_tf.tasks import Examples, TaskBatch

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


def make_learner(modulation=None, map_tasks=True, model=conv_net, network=None, seed=3, **loop):
    """A learner with weights large enough that its steps change its predictions."""
    keras.utils.set_random_seed(seed)
    inner_loop = InnerLoop(**{"num_steps": 2, "learning_rate": 0.2, **loop})
    layer = MODULATIONS[modulation]() if modulation else None
    scale_shift = layer is None or not layer.scales_and_shifts
    net = TaskNetwork(model((SIZE, SIZE, 1), WAYS, FILTERS, scale_shift), layer, **(network or {}))
    if layer is not None:
        learner = MuMoMAML(
            net,
            inner_loop,
            cross_entropy,
            map_tasks=map_tasks,
            encoder=ImageEncoder(image_encoder((SIZE, SIZE, 1), ENCODER_FILTERS, 4)),
            modulation_network=ModulationNetwork(layer, net.site_units),
        )
    else:
        learner = MAML(net, inner_loop, cross_entropy, map_tasks=map_tasks)
    shape = (None, None, SIZE, SIZE, 1)
    learner.build_parts(shape, shape)
    rng = np.random.default_rng(seed)
    for variable in learner.trainable_variables:  # no zero or one: they would hide mistakes
        variable.assign_add(0.1 * rng.normal(size=variable.shape))
    return learner


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
