"""MuMoMAML on an ordinary Keras model and labelled arrays: handwritten digits, one shot each.

python examples/own_model.py

A residual conv net with FiLM. A class is a digit in one of four rotations; 7 to 9 are held out.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import keras
import numpy as np
from sklearn.datasets import load_digits

import mmaml_tf as mm

WAYS = 5


def model() -> keras.Model:
    """Images [8, 8, 1] -> logits [WAYS]."""
    image = keras.Input([8, 8, 1])
    h = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(image)
    inner = keras.layers.Conv2D(32, 3, padding="same", use_bias=False)(h)
    inner = keras.layers.ReLU()(keras.layers.BatchNormalization()(inner))
    h = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([h, inner]))
    return keras.Model(image, keras.layers.Dense(WAYS)(h))


def rotated_digits(digits: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Images [examples, 8, 8, 1] in 0..1, and classes [examples]."""
    images, labels = load_digits(return_X_y=True)
    chosen = np.isin(labels, digits)
    images, labels = images[chosen].reshape(-1, 8, 8, 1) / 16.0, labels[chosen]
    turned = [np.rot90(images, quarter, axes=(1, 2)) for quarter in range(4)]
    return np.concatenate(turned), np.concatenate([4 * labels + q for q in range(4)])


def main(iterations: int = 500, eval_tasks: int = 500) -> list[float]:
    """Meta-trains; returns the accuracy on new classes before and after adaptation."""
    keras.utils.set_random_seed(0)
    settings = dict(inner_steps=3, inner_lr=0.1, loss="cross_entropy", task_batching="map")
    learner = mm.MuMoMAML(model(), modulation="film", encoder="images", **settings)
    learner.compile(optimizer="adam")
    episodes = mm.tasks.from_arrays(*rotated_digits(list(range(7))), ways=WAYS, shots=1)
    every = min(100, iterations)
    learner.fit(episodes, epochs=iterations // every, steps_per_epoch=every, verbose=2)

    unseen = mm.tasks.from_arrays(*rotated_digits([7, 8, 9]), WAYS, shots=1, num_tasks=eval_tasks)
    support, query, _ = next(iter(unseen))
    adapted = learner.adapt(support.x, support.y)
    logits = [adapted.predict(query.x, step) for step in (0, None)]
    accuracies = [float(np.mean(z.argmax(-1) == query.y)) for z in logits]
    print(
        f"accuracy on new classes: {accuracies[0]:.3f} before, {accuracies[1]:.3f} after the steps"
    )
    return accuracies


if __name__ == "__main__":
    main()
