"""Adapts an exported regression learner to five points, with TensorFlow alone.

python examples/serve.py runs/regression_2mode/mumomaml-film/seed0/saved_model
"""

import sys

import tensorflow as tf


def main(path: str) -> None:
    """Loads the SavedModel and prints its predictions before and after adaptation."""
    adapt = tf.saved_model.load(path).signatures["serving_default"]
    support_x = tf.constant([[[-4.0], [-2.0], [0.0], [2.0], [4.0]]])  # [tasks, K, 1]
    support_y = 1.5 * support_x + 0.5  # a line, which the learner does not know
    query_x = tf.constant([[[-3.0], [1.0], [3.0]]])
    outputs = adapt(support_x=support_x, support_y=support_y, query_x=query_x)
    print("truth              ", (1.5 * query_x + 0.5).numpy().ravel())
    print("modulated          ", outputs["modulated_predictions"].numpy().ravel())
    print("adapted            ", outputs["predictions"].numpy().ravel())


if __name__ == "__main__":
    main(sys.argv[1])
