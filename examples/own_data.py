"""Meta-learning on one's own curves: heat that decays, and springs that swing, seen at five points.

python examples/own_data.py

One function draws a task from a seed; `mm.tasks.from_function` makes batches of such tasks.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np

import mmaml_tf as mm


def decay_or_swing(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times [20, 1] in 0..1 and values [20, 1] of one task; the first 5 are learned from."""
    rng = np.random.default_rng(seed)
    time = rng.uniform(0, 1, [20, 1])
    size, rate = rng.uniform(0.5, 2.0), rng.uniform(1, 5)
    if rng.random() < 0.5:
        return time, size * np.exp(-rate * time)
    return time, size * np.exp(-time) * np.cos(3 * rate * time)


def model() -> keras.Model:
    """A small residual network with layer normalisation."""
    time = keras.Input([1])
    h = keras.layers.Dense(64, activation="relu")(time)
    h = h + keras.layers.Dense(64, activation="relu")(keras.layers.LayerNormalization()(h))
    return keras.Model(time, keras.layers.Dense(1)(h))


def main(iterations: int = 2000) -> list[float]:
    """Meta-trains; returns the mean squared error on new tasks before and after adaptation."""
    keras.utils.set_random_seed(0)
    learner = mm.MuMoMAML(model(), encoder="pairs", inner_steps=3, inner_lr=0.02)
    learner.compile(optimizer="adam")
    tasks = mm.tasks.from_function(decay_or_swing, num_tasks=16, num_shots=5)
    every = min(200, iterations)
    learner.fit(tasks, epochs=iterations // every, steps_per_epoch=every, verbose=2)

    fresh = mm.tasks.from_function(decay_or_swing, num_tasks=500, num_shots=5, seed=1)
    support, query, _ = next(iter(fresh))
    adapted = learner.adapt(support.x, support.y)
    predictions = [adapted.predict(query.x, step) for step in (0, None)]
    errors = [float(np.mean((values - query.y) ** 2)) for values in predictions]
    print("error on new tasks: {:.4f} before, {:.4f} after the steps".format(*errors))
    return errors


if __name__ == "__main__":
    main()
