"""Errors that the command reports as one line, with no traceback."""


def last_line(message: object) -> str:
    """What the command ends with, on its standard error."""
    return f"run_experiment: {message}"


class RunError(Exception):
    """Something the user has to decide or mend; the message says what and how."""


class NonFiniteLossError(RunError):
    """Training met a loss or weight that is not a finite number; ADVICE is what may help."""

    ADVICE = (
        "A lower --meta_lr or --inner_lr, or a limit on inner gradients (--inner_clip_norm), may "
        "help"
    )


class InterruptedRunError(RunError):
    """Ctrl-C or a polite kill: everything is saved, and the same command goes on."""
