"""The Omniglot domain: few-shot classification of handwritten characters."""
