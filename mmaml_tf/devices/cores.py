"""How many processor cores there are to use."""

import os


def num_cores() -> int:
    """Cores this process may use: fewer than the machine's in a container or under taskset."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
