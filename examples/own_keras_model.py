"""MuMoMAML on an ordinary Keras model: residual, normalised, modulated at every hidden block.

python examples/own_keras_model.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np

import mmaml_tf as mm


def model() -> keras.Model:
    """A small residual network with layer normalisation."""
    inputs = keras.Input([1])
    h = keras.layers.Dense(40, activation="tanh")(inputs)
    h = h + keras.layers.Dense(40, activation="tanh")(keras.layers.LayerNormalization()(h))
    return keras.Model(inputs, keras.layers.Dense(1)(h))


def wave_or_line(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """20 points of a random sine wave or line: the first 10 are learned from."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-5, 5, [20, 1])
    a, b = rng.uniform(-3, 3, 2)
    return x, a * np.sin(x - b) if rng.random() < 0.5 else a * x + b


def main(iterations: int = 1500) -> list[float]:
    """Meta-trains; returns the mean query loss of every 100 iterations."""
    keras.utils.set_random_seed(0)
    learner = mm.MuMoMAML(model(), modulation="film", encoder="pairs", inner_lr=0.05)
    learner.compile(optimizer="adam")
    tasks = mm.tasks.from_function(wave_or_line, num_tasks=8, num_shots=10)
    every = min(100, iterations)
    history = learner.fit(tasks, epochs=iterations // every, steps_per_epoch=every)
    return history.history["loss"]


if __name__ == "__main__":
    main()
