"""Trains an exported step with JAX, on a GPU where it has one. Goes on where it was stopped.

    python -m portable.train step

Needs this folder, JAX, NumPy, and what `portable.export` wrote.
"""

import argparse
import datetime
import importlib.metadata
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from portable.step_folder import StepFolder

# Arguments -> the numbers that the program returns, and the arguments of its next call.
Program = Callable[[Sequence[Any]], tuple[list[float], list[Any]]]


def train(
    folder: StepFolder,
    load: Callable[[bytes], Program],
    origin: dict[str, Any],
    seconds: float = math.inf,
) -> int:
    """Trains to the run's last iteration, or until the time is up; saves after every interval.

    Args:
      folder: written by `portable.export`.
      load: compiles StableHLO.
      origin: what is to be kept about this start.
      seconds: once they are over, compilation included, no further logging interval is begun.

    Returns:
      The iteration reached.

    Raises:
      FloatingPointError: at a loss that is not finite; the state before it is kept.
    """
    began = time.monotonic()
    described = folder.read(folder.description)
    inputs, every, over = described["inputs"], described["log_every"], described["over"]
    state, constants = folder.read_arrays(folder.state), folder.read_arrays(folder.constants)
    iteration = int(state[described["iterations_variable"]])
    progress: dict[str, list] = {"rows": [], "starts": []}
    if folder.progress.exists():
        progress = folder.read(folder.progress)
        # It is written before the state.
        progress["rows"] = [r for r in progress["rows"] if r["iteration"] <= iteration]
    rows = progress["rows"]
    progress["starts"].append(origin)
    scores = described["scores"] + [row["score"] for row in rows if "score" in row]
    best = max([row["recent"] for row in rows if "recent" in row], default=-math.inf)
    best = max(best, described["best"] or -math.inf)
    program = load(folder.program.read_bytes())
    arguments: Sequence[Any] = [
        constants[place] if index is None else state[index] for place, index in enumerate(inputs)
    ]
    while iteration + every <= described["iterations"] and time.monotonic() - began < seconds:
        called = time.monotonic()
        (loss, support_loss, *score), arguments = program(arguments)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is not finite after iteration {iteration}")
        iteration += every
        row = {"iteration": iteration, "loss": loss, "support_loss": support_loss}
        if score:
            scores += score
            row |= {"score": score[0], "recent": float(np.mean(scores[-over:]))}
        row["iterations_per_second"] = round(every / (time.monotonic() - called), 4)
        rows.append(row)
        origin |= {"iterations": iteration, "seconds": round(time.monotonic() - began, 1)}
        for index, argument in zip(inputs, arguments, strict=True):
            if index is not None:
                state[index] = np.asarray(argument)
        if row.get("recent", -math.inf) > best:
            best = row["recent"]
            folder.write_arrays(folder.best, state)
        folder.write(folder.progress, progress)
        folder.write_arrays(folder.state, state)
        left = (described["iterations"] - iteration) / row["iterations_per_second"]
        numbers = "  ".join(f"{name} {value:.5g}" for name, value in row.items())
        print(f"{numbers}  ETA {datetime.timedelta(seconds=round(left))}", flush=True)
    return iteration


def main() -> int:
    """Parses the command line, trains."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="written by portable.export")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="stop after so many, compilation too"
    )
    arguments = parser.parse_args()
    folder = StepFolder(arguments.folder)
    if not folder.description.exists():
        print(f"train: {folder.path} holds no exported step (portable.export)", file=sys.stderr)
        return 1
    from portable import jax_program

    origin = {
        "command": shlex.join(["python", "-m", "portable.train", *sys.argv[1:]]),
        "commit": folder.read(folder.description)["commit"],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": None,
        "device": jax_program.device_name(),
        "devices": [jax_program.device_name()],
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "numpy")},
    }
    try:
        iteration = train(folder, jax_program.load, origin, arguments.seconds)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last line", file=sys.stderr)
        return 130
    except FloatingPointError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    print(f"at iteration {iteration} of {folder.read(folder.description)['iterations']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
