"""What runs with a leading task axis: fast weights, the rules of Keras layers, and modulations."""
