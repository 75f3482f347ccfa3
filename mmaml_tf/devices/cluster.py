"""TF_CONFIG, TensorFlow's variable that says which processes work together. Free of TensorFlow."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from mmaml_tf.errors import RunError, quoted

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class _Task(TypedDict):
    """Which of them this process is."""

    type: Literal["chief", "worker"]
    index: NonNegativeInt


class _TfConfig(TypedDict):
    """What the variable holds; launchers may add to it."""

    cluster: dict[str, list[str]]
    task: _Task


@dataclass(frozen=True)
class Cluster:
    """The processes that train one run, and which of them this is.

    Attributes:
      addresses: of all, host:port; the first one's first.
      index: of this one among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def device(self) -> int:
        """Which of its machine's devices is this process's: one for each process there."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts[: self.index].count(hosts[self.index])


def from_environment(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """What TF_CONFIG says; None where it is not set, or names one process alone.

    Raises:
      RunError: if it is malformed, saying where and what it must look like.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        return None
    try:
        config = TypeAdapter(_TfConfig).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise _malformed(" ".join([*map(str, first["loc"]), _described(first)])) from error
    jobs, task = config["cluster"], config["task"]
    if unknown := sorted(set(jobs) - {"chief", "worker"}):
        raise _malformed(f"cluster has {', '.join(unknown)}: every process is a worker")
    if len(jobs.get("chief", ())) > 1:
        raise _malformed("cluster has more than one chief")
    if task["index"] >= len(jobs.get(task["type"], ())):
        raise _malformed(f"task is {task['type']} {task['index']}, whom cluster does not have")
    addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    for address in addresses:
        if not re.fullmatch(r"\S+:\d{1,5}", address) or addresses.count(address) > 1:
            raise _malformed(f"{quoted(address)} must be a host:port of its own")
    if len(addresses) == 1:
        return None
    before = len(jobs.get("chief", ())) if task["type"] == "worker" else 0
    return Cluster(addresses, before + task["index"])


def _malformed(problem: str) -> RunError:
    return RunError(f"{VARIABLE}: {problem}. It must be like {EXAMPLE}")


def _described(error: Mapping) -> str:
    """A problem that pydantic found, in words."""
    if error["type"] == "json_invalid":
        return f"is no JSON: {error['ctx']['error']}"
    if error["type"] == "missing":
        return "is missing"
    return f"is {quoted(error['input'])}, but {error['msg'].removeprefix('Input ')}"
