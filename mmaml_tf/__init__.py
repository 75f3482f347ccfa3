"""Multimodal model-agnostic meta-learning in TensorFlow and Keras."""

import os

# The custom train steps are written with tf.GradientTape, so a user's global Keras setting for
# another backend must not reach them. It has to be set before Keras is first imported.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
