"""The engine: a Keras model's graph, recorded once and run for many tasks with fast weights."""
