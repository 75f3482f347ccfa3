"""A training run: the loop over `fit`, its folder, files, checkpoints and callbacks."""
