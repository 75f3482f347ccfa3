"""The README's result tables, made from the evaluation.csv files in results/.

    python -m tools.tables

writes them into the README; a test holds the README to them. The papers' figures are Table 1 of
each ([MuMoMAML], [MAML]).
"""

import re
from pathlib import Path

from mmaml_tf.reporting import markdown
from mmaml_tf.reporting.evaluation import read_evaluation
from mmaml_tf.training.run_folder import RunFolder

RESULTS = Path(__file__).resolve().parents[1] / "results"
README = RESULTS.parent / "README.md"
PRETRAINED = RESULTS.parent / "pretrained"
NOT_RUN = "–"

# What a row says, the paper's figures by domain (before / after the gradient steps), the run.
REGRESSION: tuple[tuple[str, dict[int, str], str], ...] = (
    ("MAML", {2: "15.9255 / 1.0852", 3: "12.5994 / 1.1633"}, "maml-seed0"),
    ("MAML, `--inner_clip_norm=350`", {}, "maml-limit-seed0"),
    ("Multi-MAML", {2: "16.2894 / 0.4330", 3: "12.3742 / 0.7791"}, "multi_maml-seed0"),
    ("MuMoMAML, softmax", {2: "3.9140 / 0.4795", 3: "0.6889 / 0.4884"}, "mumomaml-softmax-seed0"),
    ("MuMoMAML, sigmoid", {2: "1.4992 / 0.3414", 3: "2.4047 / 0.4414"}, "mumomaml-sigmoid-seed0"),
    ("MuMoMAML, FiLM", {2: "1.7094 / 0.3125", 3: "1.9234 / 0.4048"}, "mumomaml-film-seed0"),
    ("MuMoMAML, FiLM, `--lr_schedule=cosine`", {}, "mumomaml-film-cosine-seed0"),
    ("MuMoMAML, FiLM, tuned", {}, "mumomaml-film-tuned-seed0"),
)
RETURNS = (
    ("MuMoMAML, FiLM", "mumomaml-film-seed0"),
    ("MAML", "maml-seed0"),
    ("pretrained on all tasks", "pretrained-seed0"),
    ("random weights", "random-seed0"),
    ("oracle", "oracle-seed0"),
)
# The setting, the gradient steps at evaluation, and the MAML paper's accuracy in per cent, after
# 60,000 iterations.
OMNIGLOT = (
    ("5way-1shot", 3, "98.7 ± 0.4"),
    ("5way-5shot", 3, "99.9 ± 0.1"),
    ("20way-1shot", 5, "95.8 ± 0.3"),
    ("20way-5shot", 5, "98.9 ± 0.2"),
)


def cells(run: str, decimals: int, scale: float = 1.0) -> list[str]:
    """`mean ± ci95` over all modes after 0, 1, ... steps of an evaluated run; empty if it isn't."""
    file = RESULTS / run / "evaluation.csv"
    if not file.exists():
        return []
    rows = read_evaluation(file).query("mode == 'all'")
    return [
        f"{scale * mean:.{decimals}f} ± {scale * ci:.{decimals}f}"
        for mean, ci in zip(rows["mean"], rows["ci95"], strict=True)
    ]


def iterations(run: str) -> int:
    """How many a packed run has been trained for."""
    return int(RunFolder(PRETRAINED / run).metrics.table()["iteration"].iloc[-1])


def linked(text: str, run: str) -> str:
    """A cell that leads to its run's folder."""
    return f"[{text}]({RESULTS.name}/{run})"


def regression() -> str:
    """The paper's Table 1: before / after the inner steps. It has no row of five modes."""
    head = ["before / after 5 steps"]
    rows = [[label] for label, _, _ in REGRESSION]
    for modes in (2, 3, 5):
        in_paper = any(modes in paper for _, paper, _ in REGRESSION)
        head += [f"{modes} modes, paper"] * in_paper + [f"{modes} modes, ours"]
        for row, (_, paper, run) in zip(rows, REGRESSION, strict=True):
            folder = f"regression_{modes}mode/{run}"
            ours = cells(folder, 3)
            row += [paper.get(modes, "")] * in_paper
            row.append(linked(f"{ours[0]} / {ours[-1]}", folder) if ours else NOT_RUN)
    return markdown.table(head, rows)


def returns(domain: str) -> str:
    """Mean returns in a reinforcement-learning domain, after every update."""
    head = ["method", "after modulation", "1 update", "2 updates", "3 updates"]
    rows = []
    for label, run in RETURNS:
        folder = f"{domain}/{run}"
        if ours := cells(folder, 1):
            rows.append([label, *(linked(number, folder) for number in ours)])
    return markdown.table(head, rows)


def omniglot() -> str:
    """Accuracies in the four settings of the MAML paper, and the iterations behind them."""
    rows = [["MAML, its paper (60,000)", *(paper for _, _, paper in OMNIGLOT)]]
    for label, run in (("MAML", "maml"), ("MuMoMAML, FiLM", "mumomaml-film")):
        row = [label]
        for setting, num_steps, _ in OMNIGLOT:
            folder = f"omniglot/{run}-{setting}-seed0"
            ours = cells(folder, 2, 100.0)
            if ours:
                row.append(f"{linked(ours[num_steps], folder)} ({iterations(folder):,})")
            else:
                row.append(NOT_RUN)
        rows.append(row)
    head = [name.replace("way-", "-way ").replace("shot", "-shot") for name, _, _ in OMNIGLOT]
    return markdown.table(["accuracy in % (iterations)", *head], rows)


def navigation() -> str:
    """2D navigation (Figure 3a)."""
    return returns("navigation_2d")


def cheetah_location() -> str:
    """Half-cheetah target location (Figure 3b)."""
    return returns("cheetah_location")


def cheetah_speed() -> str:
    """Half-cheetah target speed (Figure 3c)."""
    return returns("cheetah_speed")


TABLES = (regression, navigation, cheetah_location, cheetah_speed, omniglot)


def updated(text: str) -> str:
    """A text with the tables as they are now between its `<!-- name -->`, `<!-- end -->`."""
    for made in TABLES:
        marked = rf"(<!-- {made.__name__} -->\n).*?(\n<!-- end -->)"
        text, found = re.subn(marked, rf"\g<1>{made()}\g<2>", text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"the text has {found} places for the table {made.__name__}, not 1")
    return text


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
