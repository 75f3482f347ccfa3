"""Custom Keras layers with fast weights and a leading task axis, and the modulations."""
