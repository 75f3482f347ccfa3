"""The README's result tables, made from the evaluation.csv files in results/.

    python -m tools.tables

writes them into the README; a test holds the README to them. The papers' figures are those of
the methods' own papers, and of [MMAML] for five modes.
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

# What a row says, the papers' figures by domain (before / after the gradient steps), the run. Two
# and three modes are of [MuMoMAML], five, and modulation alone, of its follow-up [MMAML].
REGRESSION: tuple[tuple[str, dict[int, str], str], ...] = (
    ("MAML", {2: "15.9255 / 1.0852", 3: "12.5994 / 1.1633", 5: "– / 1.668"}, "maml-seed0"),
    ("MAML, `--inner_clip_norm=350`", {}, "maml-limit-seed0"),
    (
        "Multi-MAML",
        {2: "16.2894 / 0.4330", 3: "12.3742 / 0.7791", 5: "– / 1.082"},
        "multi_maml-seed0",
    ),
    (
        "MuMoMAML, softmax",
        {2: "3.9140 / 0.4795", 3: "0.6889 / 0.4884", 5: "2.421 / 0.939"},
        "mumomaml-softmax-seed0",
    ),
    ("MuMoMAML, sigmoid", {2: "1.4992 / 0.3414", 3: "2.4047 / 0.4414"}, "mumomaml-sigmoid-seed0"),
    (
        "MuMoMAML, FiLM",
        {2: "1.7094 / 0.3125", 3: "1.9234 / 0.4048", 5: "2.166 / 0.868"},
        "mumomaml-film-seed0",
    ),
    ("MuMoMAML, FiLM, `--lr_schedule=cosine`", {}, "mumomaml-film-cosine-seed0"),
    ("MuMoMAML, FiLM, tuned", {}, "mumomaml-film-tuned-seed0"),
    ("modulation alone", {2: "0.362", 3: "0.548", 5: "0.898"}, "modulation-film-seed0"),
    ("Meta-SGD", {}, "meta_sgd-seed0"),
    ("MAML++", {}, "maml_plus_plus-seed0"),
    ("context vector", {}, "context-seed0"),
    ("ANIL", {}, "anil-seed0"),
    ("Reptile", {}, "reptile-seed0"),
    ("transformer in context", {}, "in_context-seed0"),
    ("pretrained, fine-tuned", {}, "pretrained-seed0"),
    ("random, fine-tuned", {}, "random-seed0"),
    ("oracle", {}, "oracle-seed0"),
)
REGRESSION_PAPERS = {2: "MuMoMAML", 3: "MuMoMAML", 5: "MMAML"}
# [MAML]: Table 2 for K = 5, the others, up to nine steps, read from Figures 3 and 6.
SINUSOID_SHOTS, SINUSOID_STEPS = (5, 10, 20), (1, 5, 10)
SINUSOID = (
    (
        "MAML",
        "maml",
        (("0.67", "0.38", "0.35"), ("0.41", "0.155", ""), ("0.26", "0.08", "")),
    ),
    (
        "pretrained, fine-tuned",
        "pretrained",
        (("2.41", "2.23", "2.19"), ("2.32", "1.91", ""), ("2.13", "1.59", "")),
    ),
)
RETURNS = (
    ("MuMoMAML, FiLM", "mumomaml-film-seed0"),
    ("MAML", "maml-seed0"),
    ("modulation alone", "modulation-film-seed0"),
    ("Meta-SGD", "meta_sgd-seed0"),
    ("context vector", "context-seed0"),
    ("RL²", "rl2-seed0"),
    ("pretrained on all tasks", "pretrained-seed0"),
    ("random weights", "random-seed0"),
    ("oracle", "oracle-seed0"),
)
# [MuMoMAML] Figure 3a, read from the drawing.
MUMOMAML_RETURNS = ("-77.6", "-18.1", "-6.6", "-4.2", "-3.5", "-3.2", "-3.2")
MAML_RETURNS = ("", "-71.8", "-17.7", "-8.6", "-6.5", "-6.5", "-6.0")
PUBLISHED_RETURNS = {
    ("navigation_2d", "mumomaml-film-seed0"): MUMOMAML_RETURNS,
    ("navigation_2d", "maml-seed0"): MAML_RETURNS,
}
# The setting, and the gradient steps at evaluation.
OMNIGLOT = (("5way-1shot", 3), ("5way-5shot", 3), ("20way-1shot", 5), ("20way-5shot", 5))
# What a row says, the run, and its paper's accuracies in per cent.
OMNIGLOT_METHODS = (
    ("MAML", "maml", ("98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2")),
    ("MuMoMAML, FiLM", "mumomaml-film", ("", "", "", "")),
    ("modulation alone", "modulation-film", ("", "", "", "")),
    ("Meta-SGD", "meta_sgd", ("99.53 ± 0.26", "99.93 ± 0.09", "", "")),
    ("MAML++", "maml_plus_plus", ("99.47", "99.93", "97.65", "99.33")),
    ("ANIL", "anil", ("", "", "", "")),
    ("context vector", "context", ("94.9 ± 0.9", "97.7 ± 0.3", "", "")),
    ("Reptile", "reptile", ("97.68", "99.48", "89.43", "97.12")),
    ("prototypical networks", "protonet", ("98.8", "99.7", "96.0", "98.9")),
    ("matching networks", "matching", ("98.1", "98.9", "93.8", "98.5")),
    ("transformer in context", "in_context", ("", "", "", "")),
    ("classifier, fine-tuned", "finetune", ("", "", "", "")),
    ("random, fine-tuned", "random", ("", "", "", "")),
)


def cells(run: str, decimals: int, scale: float = 1.0) -> dict[int, str]:
    """`mean ± ci95` over all modes by step of an evaluated run; empty if it isn't."""
    file = RESULTS / run / "evaluation.csv"
    if not file.exists():
        return {}
    rows = read_evaluation(file).query("mode == 'all'")
    return {
        step: f"{scale * mean:.{decimals}f} ± {scale * ci:.{decimals}f}"
        for step, mean, ci in zip(rows["step"], rows["mean"], rows["ci95"], strict=True)
    }


def iterations(run: str) -> int:
    """How many a packed run has been trained for."""
    return int(RunFolder(PRETRAINED / run).metrics.table()["iteration"].iloc[-1])


def linked(text: str, run: str) -> str:
    """A cell that leads to its run's folder."""
    return f"[{text}]({RESULTS.name}/{run})"


def regression() -> str:
    """Before / after the inner steps; one number for methods without."""
    head = ["before / after 5 steps"]
    rows = [[label] for label, _, _ in REGRESSION]
    for modes, name in REGRESSION_PAPERS.items():
        head += [f"{modes} modes, {name}'s paper", f"{modes} modes, ours"]
        for row, (_, paper, run) in zip(rows, REGRESSION, strict=True):
            folder = f"regression_{modes}mode/{run}"
            ours = cells(folder, 3)
            shown = " / ".join(dict.fromkeys([ours[0], ours[max(ours)]])) if ours else ""
            row += [paper.get(modes, ""), linked(shown, folder) if ours else NOT_RUN]
    return markdown.table(head, rows)


def sinusoid() -> str:
    """[MAML] Figure 3 and Table 2: one training, other numbers of points and steps."""
    head = ["method"]
    head += [f"K = {k}, {n} step{'s' * (n > 1)}" for k in SINUSOID_SHOTS for n in SINUSOID_STEPS]
    rows = []
    for label, run, papers in SINUSOID:
        row = [label]
        for shots, papers_of in zip(SINUSOID_SHOTS, papers, strict=True):
            folder = f"sinusoid/{run}" + ("" if shots == 10 else f"-k{shots}") + "-seed0"
            ours = cells(folder, 3)
            for steps, paper in zip(SINUSOID_STEPS, papers_of, strict=True):
                shown = linked(ours[steps], folder) if steps in ours else NOT_RUN
                row.append(f"{shown}; paper {paper}" if paper else shown)
        rows.append(row)
    return markdown.table(head, rows)


def returns(domain: str) -> str:
    """Mean returns in a reinforcement-learning domain, after every update."""
    head = ["method", "before modulation", "after modulation", "1 update"]
    head += [f"{updates} updates" for updates in range(2, 6)]
    rows = []
    for label, run in RETURNS:
        folder = f"{domain}/{run}"
        if ours := cells(folder, 1):
            rows.append([linked(label, folder), *(ours.get(step, "") for step in range(-1, 6))])
        if (domain, run) in PUBLISHED_RETURNS:
            rows.append([f"{label}: paper", *PUBLISHED_RETURNS[domain, run]])
    return markdown.table(head, rows)


def omniglot() -> str:
    """Accuracies in the four settings of the MAML paper, and the iterations behind them."""
    rows = []
    for label, run, papers in OMNIGLOT_METHODS:
        row = [label]
        for (setting, num_steps), paper in zip(OMNIGLOT, papers, strict=True):
            folder = f"omniglot/{run}-{setting}-seed0"
            ours = cells(folder, 2, 100.0)
            cell = NOT_RUN
            if ours:
                shown = ours[min(num_steps, max(ours))]
                cell = f"{linked(shown, folder)} ({iterations(folder):,})"
            row.append(f"{cell}; paper {paper}" if paper else cell)
        if {*row[1:]} != {NOT_RUN}:
            rows.append(row)
    head = [name.replace("way-", "-way ").replace("shot", "-shot") for name, _ in OMNIGLOT]
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


TABLES = (sinusoid, regression, navigation, cheetah_location, cheetah_speed, omniglot)


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
