"""Notices that another worker is gone while this one is busy with its own share."""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

from mmaml_tf.errors import last_line

# Seconds between two looks, and until a machine that does not answer counts as gone.
EVERY, PATIENCE = 5.0, 5.0


class Watch(threading.Thread):
    """Looks at the ports of other workers until one is closed; ends this process then.

    TensorFlow raises an error only where workers meet, which may be minutes away.

    Args:
      addresses: host:port of the others.
      explain: an address that does not answer -> what the last line says.
      every: seconds between two looks.
    """

    def __init__(
        self, addresses: Sequence[str], explain: Callable[[str], str], every: float = EVERY
    ):
        super().__init__(daemon=True)
        self.addresses = addresses
        self.explain = explain
        self.every = every
        self._ends = threading.Event()

    def run(self) -> None:
        """Looks."""
        while not self._ends.wait(self.every):
            # Twice, for what was lost on the way.
            gone = next((a for a in self.gone() if not answers(a)), None)
            if gone is not None and not self._ends.is_set():
                sys.stdout.flush()
                print(last_line(self.explain(gone)), file=sys.stderr, flush=True)
                os._exit(1)

    def gone(self) -> list[str]:
        """Those that do not answer."""
        return [address for address in self.addresses if not answers(address)]

    def gone_soon(self) -> list[str]:
        """Likewise, once there are any: one that was killed may answer for a moment yet."""
        until = time.monotonic() + PATIENCE
        while not (found := self.gone()) and time.monotonic() < until:
            time.sleep(0.1)
        return found

    def end(self) -> None:
        """Looks no more."""
        self._ends.set()

    @property
    def has_ended(self) -> bool:
        """Whether it was told to."""
        return self._ends.is_set()


def answers(address: str) -> bool:
    """Whether a process listens there."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
        return True
    return False
