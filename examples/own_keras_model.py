"""MAML on an ordinary Keras model: any architecture, all tasks at once, second order.

python examples/own_keras_model.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import tensorflow as tf

from data.regression import MIXTURES
from mmaml_tf.adaptation import InnerLoop
from mmaml_tf.meta_learners import MAML, mean_squared_error
from mmaml_tf.networks.task_network import TaskNetwork
from mmaml_tf.tasks import TaskStream


def model() -> keras.Model:
    """A small residual network with layer normalisation."""
    inputs = keras.Input([1])
    h = keras.layers.Dense(40, activation="tanh")(inputs)
    h = h + keras.layers.Dense(40, activation="tanh")(keras.layers.LayerNormalization()(h))
    return keras.Model(inputs, keras.layers.Dense(1)(h))


def main(iterations: int = 1500) -> list[float]:
    """Meta-trains on sinusoids; returns the mean query loss of every 100 iterations."""
    keras.utils.set_random_seed(0)
    learner = MAML(
        TaskNetwork(model()), InnerLoop(num_steps=1, learning_rate=0.05), mean_squared_error
    )
    learner.build_for(x_dim=1, y_dim=1)
    learner.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False)
    tasks = tf.data.Dataset.range(iterations).map(
        lambda i: MIXTURES["sinusoid"].sample(TaskStream.TRAINING, 0, i, 8, 10, 10)
    )
    every = min(100, iterations)
    return learner.fit(
        tasks, epochs=iterations // every, steps_per_epoch=every, shuffle=False
    ).history["loss"]


if __name__ == "__main__":
    main()
