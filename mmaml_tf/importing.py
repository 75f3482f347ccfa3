"""Importing TensorFlow in less time."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Imports TensorFlow without garbage collections, which take a third of the time or more.

    What is made meanwhile stays, so that later collections need not look through it either; where
    TensorFlow is there already, nothing changes.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
