"""Time to read image sets, to draw a meta-batch of them, and of a meta-step, second order, Adam.

    python benchmarks/image_sets.py --image_sets=miniimagenet.zip [--method=maml] [--num_shots=1]

The first run decodes the images; any further one loads the cache that it wrote. Draws and steps
take turns, on one core (`taskset -c 0`) or all, and are medians.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tensorflow as tf

import registry
from flags.image_sets_config import ImageSetsConfig, paper_settings


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """That a call takes."""
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began


def main() -> None:
    """Measures and prints one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image_sets", required=True, help="folders or zips, with commas between")
    parser.add_argument("--image_size", type=int, default=84)
    parser.add_argument("--method", default="maml")
    parser.add_argument("--num_ways", type=int, default=5)
    parser.add_argument("--num_shots", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    paths = tuple(options.image_sets.split(","))
    settings = paper_settings(options.method, paths, options.num_ways, options.num_shots)
    config = ImageSetsConfig(**(settings | dict(image_size=options.image_size)))
    began = time.perf_counter()
    domain = registry.find("image_sets").build(config)
    print(f"reading: {time.perf_counter() - began:.1f} s", flush=True)
    learner = domain.build_learner()
    draw, compiled = tf.function(domain.training_tasks), tf.function(learner.train_step)
    batch = draw(tf.constant(0))

    def step() -> float:
        return float(compiled(batch)["loss"])  # waits for it

    print(f"first meta-step: {seconds(step):.1f} s", flush=True)
    draws, steps = [], []
    for number in range(1, options.rounds + 1):
        draws.append(seconds(draw, tf.constant(number)))
        steps.append(seconds(step))
    drawn, stepped = statistics.median(draws), statistics.median(steps)
    print(f"drawing a meta-batch of {config.meta_batch_size} tasks: {1e3 * drawn:.2f} ms")
    print(f"meta-step: {1e3 * stepped:.0f} ms; drawing takes {100 * drawn / stepped:.1f}% of that")


if __name__ == "__main__":
    main()
