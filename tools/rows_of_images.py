"""The rows of the tables of image classification: see `tools.rows`."""

from typing import Any

from tools.row import Flags, Place, Row, Table

ARCHIVES = "--data_dir=omniglot_archives"
# 15,000 iterations of the easiest kind of task were enough; of the others one takes long, so that
# more is logged, and validated.
SHORT = {"5way-1shot": ("--iterations=15000",)}
LONG = SHORT | {
    "5way-5shot": ("--log_every=250",),
    "20way-1shot": ("--log_every=250",),
    "20way-5shot": ("--log_every=125",),
}


def _omniglot(ways: int, shots: int, *flags: str) -> Place:
    named = (f"--num_ways={ways}", f"--num_shots={shots}", *flags, ARCHIVES)
    return Place("omniglot", f"{ways}way-{shots}shot", named, steps=3 if ways == 5 else 5)


def _accuracies(*percent: str) -> dict[str, str]:
    """The papers' figures, in the order of the columns."""
    settings = ("5way-1shot", "5way-5shot", "20way-1shot", "20way-5shot")
    return dict(zip(settings, percent, strict=False))


OMNIGLOT = Table(
    (
        _omniglot(5, 1, "--eval_tasks=10000"),
        _omniglot(5, 5, "--eval_tasks=10000"),
        _omniglot(20, 1),
        _omniglot(20, 5),
    ),
    (
        Row(
            "MAML",
            "maml",
            flags_at=LONG,
            papers=_accuracies("98.7 ± 0.4", "99.9 ± 0.1", "95.8 ± 0.3", "98.9 ± 0.2"),
        ),
        Row(
            "MAML, first order",
            "maml",
            variant="first_order",
            flags=("--first_order",),
            flags_at=SHORT,
            papers=_accuracies("98.3 ± 0.5", "99.2 ± 0.2", "89.4 ± 0.5", "97.9 ± 0.1"),
        ),
        Row(
            "MAML, no convolutions",
            "maml",
            network="mlp",
            flags_at=SHORT | {"5way-5shot": ("--iterations=15000",)},
            papers=_accuracies("89.7 ± 1.1", "97.5 ± 0.6"),
        ),
        # Trained before `--head_initializer=zeros` became the default on images.
        Row(
            "MuMoMAML, FiLM",
            "mumomaml",
            "film",
            flags=("--head_initializer=glorot_uniform",),
            flags_at=LONG,
        ),
        Row("modulation alone", "modulation", "film", flags_at=SHORT),
        Row(
            "Meta-SGD",
            "meta_sgd",
            flags_at=SHORT,
            steps=1,
            papers=_accuracies("99.53 ± 0.26", "99.93 ± 0.09", "95.93", "98.97"),
        ),
        Row(
            "MAML++",
            "maml_plus_plus",
            flags_at=SHORT,
            steps=5,
            papers=_accuracies("99.47", "99.93", "97.65", "99.33"),
        ),
        Row("ANIL", "anil", flags_at=SHORT, papers=_accuracies("", "", "96.2 ± 0.5", "98.0 ± 0.3")),
        Row(
            "context vector",
            "context",
            flags_at=SHORT,
            papers=_accuracies("94.9 ± 0.9", "97.7 ± 0.3"),
        ),
        # Its iterations are of five tasks, where others' are of 32.
        Row("Reptile", "reptile", steps=50, papers=_accuracies("97.68", "99.48", "89.43", "97.12")),
        Row(
            "prototypical networks",
            "protonet",
            flags_at=SHORT,
            papers=_accuracies("98.8", "99.7", "96.0", "98.9"),
        ),
        Row(
            "matching networks",
            "matching",
            flags_at=SHORT,
            papers=_accuracies("98.1", "98.9", "93.8", "98.5"),
        ),
        Row(
            "matching networks, plain cosines",
            "matching",
            variant="plain",
            flags=("--cosine_scale=0",),
            flags_at=SHORT,
            places=("5way-1shot",),
        ),
        Row("transformer in context", "in_context", flags_at=SHORT),
        Row("classifier, fine-tuned", "finetune", flags_at=SHORT, steps=15),
        Row("random, fine-tuned", "random", steps=15),
    ),
)


# Validation takes as long as many iterations.
SELDOM = ("--log_every=250", "--checkpoint_every=250")


def _sets(*names: str) -> Place:
    """Sets of images as modes, smaller than they come, so that a core is enough."""
    return Place(
        "image_sets",
        f"{'+'.join(names)}-5way-1shot",
        (
            f"--image_sets={','.join(f'image_sets/{name}' for name in names)}",
            "--image_size=28",
            "--iterations=5000",
            *SELDOM,
        ),
        modes=names,
    )


OF_SETS = (
    Row("MAML", "maml", network="max_pool"),
    Row("Multi-MAML", "multi_maml", network="max_pool"),
    Row("MuMoMAML, FiLM", "mumomaml", "film", network="max_pool"),
)
WITH_MINI_IMAGENET = Table((_sets("omniglot", "miniimagenet"),), OF_SETS)
IMAGES = Table(
    (_sets("omniglot", "caltech101"),),
    (
        *OF_SETS,
        Row(
            "MuMoMAML, FiLM, `--head_initializer=glorot_uniform`",
            "mumomaml",
            "film",
            variant="random_start",
            network="max_pool",
            flags=("--head_initializer=glorot_uniform",),
        ),
    ),
)


def _mini_imagenet(shots: int) -> Place:
    """Of 5 ways, at 84 x 84: what is trained is far from the paper's 60,000 iterations."""
    return Place(
        "image_sets",
        f"miniimagenet-5way-{shots}shot",
        ("--image_sets=image_sets/miniimagenet", f"--num_shots={shots}"),
        steps=10,
    )


def _on_mini_imagenet(
    name: str, method: str, *published: str, flags: Flags = SELDOM, **more: Any
) -> Row:
    """With the papers' accuracies, of 1 and 5 shots."""
    settings = ("miniimagenet-5way-1shot", "miniimagenet-5way-5shot")
    papers = dict(zip(settings, published, strict=False))
    return Row(name, method, network="max_pool", flags=flags, papers=papers, **more)


def _first(iterations: int) -> dict[str, Flags]:
    """As far as it was trained with 1 shot."""
    return {"miniimagenet-5way-1shot": (f"--iterations={iterations}",)}


# A classifier of all classes is the same for any number of shots.
FIVE_SHOTS = {"k5": ("--eval_shots=5",)}
MINI_IMAGENET = Table(
    (_mini_imagenet(1), _mini_imagenet(5)),
    (
        _on_mini_imagenet("MAML", "maml", "48.70 ± 1.84", "63.11 ± 0.92", flags_at=_first(5000)),
        _on_mini_imagenet(
            "MAML, first order",
            "maml",
            "48.07 ± 1.75",
            "63.15 ± 0.91",
            variant="first_order",
            flags=("--first_order", *SELDOM),
        ),
        _on_mini_imagenet("MuMoMAML, FiLM", "mumomaml", modulation="film"),
        _on_mini_imagenet("prototypical networks", "protonet", "49.42 ± 0.78", "68.20 ± 0.66"),
        _on_mini_imagenet("matching networks", "matching", "43.56 ± 0.84", "55.31 ± 0.73"),
        _on_mini_imagenet(
            "classifier, nearest image",
            "nearest_neighbour",
            "41.08 ± 0.70",
            "51.04 ± 0.65",
            flags_at=_first(2500),
            evaluations=FIVE_SHOTS,
        ),
        _on_mini_imagenet(
            "classifier, fine-tuned",
            "finetune",
            "28.86 ± 0.54",
            "49.79 ± 0.79",
            flags_at=_first(1250),
            evaluations=FIVE_SHOTS,
            steps=15,
        ),
        _on_mini_imagenet("random, fine-tuned", "random", flags=(), steps=15),
    ),
)

TABLES = {
    "omniglot": OMNIGLOT,
    "miniimagenet": MINI_IMAGENET,
    "images": IMAGES,
    "images_miniimagenet": WITH_MINI_IMAGENET,
}
