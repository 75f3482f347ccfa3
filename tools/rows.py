"""The rows of the tables of results: what each is called, the papers' figures, how it is trained.

`tools.tables` writes the tables by these, `tools.reproduce` trains them. A row's runs are in
results/<domain>/<label>-seed<N>, with a label that follows from what the row says.
"""

from tools import rows_of_images, rows_of_returns
from tools.row import Place, Row, Table

COSINE = ("--lr_schedule=cosine",)
TUNED = (
    "--encoder=pairs",
    "--encoder_units=128",
    "--num_queries=25",
    "--inner_lr=0.01",
    *COSINE,
)

# Two and three modes are of [MuMoMAML], five, and modulation alone, of its follow-up [MMAML].
# Before / after the gradient steps.
REGRESSION = Table(
    (
        Place("regression_2mode", papers="MuMoMAML"),
        Place("regression_3mode", papers="MuMoMAML"),
        Place("regression_5mode", papers="MMAML"),
    ),
    (
        Row(
            "MAML",
            "maml",
            papers={
                "regression_2mode": "15.9255 / 1.0852",
                "regression_3mode": "12.5994 / 1.1633",
                "regression_5mode": "– / 1.668",
            },
        ),
        Row(
            "MAML, `--inner_clip_norm=350`",
            "maml",
            variant="limit",
            flags=("--inner_clip_norm=350",),
            places=("regression_5mode",),
        ),
        Row(
            "Multi-MAML",
            "multi_maml",
            papers={
                "regression_2mode": "16.2894 / 0.4330",
                "regression_3mode": "12.3742 / 0.7791",
                "regression_5mode": "– / 1.082",
            },
        ),
        Row(
            "MuMoMAML, softmax",
            "mumomaml",
            "softmax",
            papers={
                "regression_2mode": "3.9140 / 0.4795",
                "regression_3mode": "0.6889 / 0.4884",
                "regression_5mode": "2.421 / 0.939",
            },
        ),
        Row(
            "MuMoMAML, sigmoid",
            "mumomaml",
            "sigmoid",
            papers={
                "regression_2mode": "1.4992 / 0.3414",
                "regression_3mode": "2.4047 / 0.4414",
            },
        ),
        Row(
            "MuMoMAML, FiLM",
            "mumomaml",
            "film",
            papers={
                "regression_2mode": "1.7094 / 0.3125",
                "regression_3mode": "1.9234 / 0.4048",
                "regression_5mode": "2.166 / 0.868",
            },
        ),
        Row(
            "MuMoMAML, FiLM, `--lr_schedule=cosine`",
            "mumomaml",
            "film",
            variant="cosine",
            flags=COSINE,
        ),
        Row("MuMoMAML, FiLM, tuned", "mumomaml", "film", variant="tuned", flags=TUNED),
        Row(
            "modulation alone",
            "modulation",
            "film",
            papers={
                "regression_2mode": "0.362",
                "regression_3mode": "0.548",
                "regression_5mode": "0.898",
            },
        ),
        Row("Meta-SGD", "meta_sgd"),
        Row("MAML++", "maml_plus_plus"),
        Row("context vector", "context"),
        Row("ANIL", "anil"),
        Row("Reptile", "reptile"),
        Row("transformer in context", "in_context"),
        Row("pretrained, fine-tuned", "pretrained"),
        Row("random, fine-tuned", "random"),
        Row("oracle", "oracle"),
    ),
)

# [MAML]: for K = 5 tables of its appendix; the others, up to nine steps, read from Figures 3 and 6.
MORE_SHOTS = {
    "k5": ("--eval_shots=5", "--eval_queries=5"),
    "k20": ("--eval_shots=20", "--eval_queries=20"),
}


def _average(name: str, variant: str, papers: tuple[str, str, str], *flags: str) -> Row:
    """Of networks of a task each, with a fine-tuning rate for K = 5."""
    heads = (f"K = 5, {steps} step{'s' * (steps > 1)}" for steps in (1, 5, 10))
    return Row(
        name,
        "parameter_average",
        variant=variant,
        flags=flags,
        papers=dict(zip(heads, papers, strict=True)),
        evaluations=MORE_SHOTS,
    )


SINUSOID = Table(
    (Place("sinusoid"),),
    (
        Row(
            "MAML",
            "maml",
            papers={
                "K = 5, 1 step": "0.67",
                "K = 5, 5 steps": "0.38",
                "K = 5, 10 steps": "0.35",
                "K = 10, 1 step": "0.41",
                "K = 10, 5 steps": "0.155",
                "K = 20, 1 step": "0.26",
                "K = 20, 5 steps": "0.08",
            },
            # As many tasks as in the paper: on more a few diverge.
            evaluations=MORE_SHOTS | {"k5": (*MORE_SHOTS["k5"], "--eval_tasks=600")},
        ),
        Row(
            "pretrained, fine-tuned",
            "pretrained",
            papers={
                "K = 5, 1 step": "2.41",
                "K = 5, 5 steps": "2.23",
                "K = 5, 10 steps": "2.19",
                "K = 10, 1 step": "2.32",
                "K = 10, 5 steps": "1.91",
                "K = 20, 1 step": "2.13",
                "K = 20, 5 steps": "1.59",
            },
            evaluations=MORE_SHOTS,
        ),
        _average("parameter average", "", ("4.19", "3.85", "3.69"), "--inner_lr=0.02"),
        _average(
            "parameter average, weight decay",
            "decay",
            ("7.18", "5.69", "5.60"),
            "--weight_decay=0.003",
            "--inner_lr=0.003",
        ),
        _average(
            "parameter average, decay to the mean",
            "mean",
            ("2.91", "2.72", "2.71"),
            "--weight_decay=0.01",
            "--decay_to=mean",
            "--inner_lr=0.003",
        ),
        Row("MuMoMAML, FiLM", "mumomaml", "film", evaluations=MORE_SHOTS),
        Row("modulation alone", "modulation", "film", evaluations=MORE_SHOTS),
        Row("Meta-SGD", "meta_sgd", evaluations=MORE_SHOTS),
        Row("MAML++", "maml_plus_plus", evaluations=MORE_SHOTS),
        Row("context vector", "context", evaluations=MORE_SHOTS),
        Row("ANIL", "anil", evaluations=MORE_SHOTS),
        Row("Reptile", "reptile", evaluations=MORE_SHOTS),
        Row("transformer in context", "in_context", evaluations=MORE_SHOTS),
        Row("random, fine-tuned", "random", evaluations=MORE_SHOTS),
        Row("oracle", "oracle", is_shown=False),
    ),
)

# By the name of the place that holds it, in README.md or results/README.md.
TABLES = {
    "sinusoid": SINUSOID,
    "regression": REGRESSION,
    **rows_of_returns.TABLES,
    **rows_of_images.TABLES,
}

# The run whose SavedModel is pretrained/<domain>/saved_model.
SERVED = {
    "regression_2mode": "mumomaml-film-tuned-seed0",
    "regression_3mode": "mumomaml-film-tuned-seed0",
    "regression_5mode": "mumomaml-film-seed0",
    "omniglot": "mumomaml-film-5way-1shot-seed0",
    "navigation_2d": "mumomaml-film-seed0",
    "cheetah_location": "mumomaml-film-seed0",
    "cheetah_speed": "mumomaml-film-seed0",
}
