"""Errors that the command reports as one line, with no traceback."""

import re

MAX_QUOTED = 60


def last_line(message: object) -> str:
    """What the command ends with, on its standard error."""
    return f"run_experiment: {message}"


def reason(error: Exception) -> str:
    """The first line of an error that says something; Keras puts one before that does not."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception encountered")]
    return said[0] if said else repr(error)


def quoted(value: object) -> str:
    """A value as an error shows it: not all of a long one."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "..."


class RunError(Exception):
    """Something the user has to decide or mend; the message says what and how."""


class NonFiniteLossError(RunError):
    """Training met a loss or weight that is not a finite number; ADVICE is what may help."""

    ADVICE = "A lower learning rate, or a limit on inner gradients, may help (--help has the flags)"


class InterruptedRunError(RunError):
    """Ctrl-C or a polite kill: everything is saved, and the same command goes on."""
