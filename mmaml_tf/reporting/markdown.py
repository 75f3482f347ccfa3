"""Markdown tables.

Four lines: pandas would need the package tabulate for them, and both pad every cell.
"""

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with a column per name in `head`; empty cells are allowed."""
    lines = ["|" + "|".join(f" {name} " for name in head) + "|", "|---" * len(head) + "|"]
    lines += ["|" + "|".join(f" {cell} " if cell else " " for cell in row) + "|" for row in rows]
    return "\n".join(lines)
