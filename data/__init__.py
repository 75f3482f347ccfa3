"""Task distributions p(T) of the domains."""
