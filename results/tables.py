"""The README's result tables, made from the evaluation.csv files here.

    python -m results.tables

Prints them; a test holds the README to them.
"""

from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).resolve().parent

REGRESSION = (
    # What the row says, the paper's figures, the folder.
    ("MuMoMAML, FiLM, the paper's setting", "1.7094 / 0.3125", "mumomaml-film_seed0"),
    ("the same with `--lr_schedule=cosine`", "", "mumomaml-film-cosine_seed0"),
)
NAVIGATION = (
    ("MuMoMAML, FiLM", "mumomaml-film_seed0"),
    ("MAML", "maml_seed0"),
    ("pretrained on all tasks", "pretrained_seed0"),
    ("random weights", "random_seed0"),
    ("oracle", "oracle_seed0"),
)


def cells(folder: str, decimals: int) -> list[str]:
    """`mean ± ci95` over all modes after 0, 1, ... steps of the run in a folder."""
    rows = pd.read_csv(RESULTS / folder / "evaluation.csv").query("mode == 'all'")
    return [
        f"{mean:.{decimals}f} ± {ci:.{decimals}f}"
        for mean, ci in zip(rows["mean"], rows["ci95"], strict=True)
    ]


def row(*columns: str) -> str:
    """A row of a Markdown table."""
    return "|" + "|".join(f" {column} " if column else " " for column in columns) + "|"


def regression() -> str:
    """Two modes at paper scale, before and after the inner steps."""
    lines = [
        row("method", "paper, before / after 5 steps", "ours, before / after 5 steps"),
        "|---" * 3 + "|",
    ]
    for label, paper, run in REGRESSION:
        before, *_, after = cells(f"regression_2mode/{run}", 4)
        lines.append(row(label, paper, f"{before} / {after}"))
    return "\n".join(lines)


def navigation() -> str:
    """2D navigation, after every update."""
    updates = ("after modulation", "1 update", "2 updates", "3 updates")
    lines = [row("method", *updates), "|---" * 5 + "|"]
    for label, run in NAVIGATION:
        lines.append(row(label, *cells(f"navigation_2d/{run}", 1)))
    return "\n".join(lines)


TABLES = (regression, navigation)

if __name__ == "__main__":
    print("\n\n".join(table() for table in TABLES))
