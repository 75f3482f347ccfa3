"""Task distributions p(T) of the three domains."""
