"""Makes what is in results/, again, from the weights in pretrained/.

    python -m tools.regenerate [--measure] [domain ...]

For every domain (or those named) results/<domain>/ gets table.md, evaluation.csv of all runs and
the figures that compare them; runs that differ in the seed alone are also compared as one. A run
without a folder of its own there, results/<domain>/<run>, is first evaluated on its tasks, and with
--measure all that have weights are: a minute or two each. Writes the model card of the domain's
SavedModel, and at the end the tables of README.md and results/README.md. Omniglot's archives are
looked for in omniglot_archives/, and other images in image_sets/, as by their runs.
"""

import argparse
import re
import sys
from collections.abc import Iterable

from mmaml_tf.config import ConfigError
from mmaml_tf.errors import RunError
from mmaml_tf.reporting import actions
from mmaml_tf.reporting.domain import ReportedRun
from mmaml_tf.reporting.report import report
from mmaml_tf.training.run_folder import RunFolder
from registry import held_run
from tools import model_card, places, tables


def regenerate(domain: str, measure: bool) -> None:
    """Rewrites results/<domain>/.

    Raises:
      RunError: if a packed run can't be read.
    """
    runs = []
    for path in sorted(places.kept(domain).path.glob("*/config.json")):
        packed = RunFolder(path.parent)
        output = places.results(domain, packed.path.name)
        config, registration = held_run(packed)
        built = registration.build(config)
        # Of a run that was recorded without its weights, the evaluation is what is kept.
        has_weights = packed.kept_iteration() is not None
        if not output.evaluation_file.exists() or (measure and has_weights):
            actions.evaluate(built, packed, output)
        label = re.sub(r"-seed\d+$", "", packed.path.name)
        runs.append(ReportedRun(built, packed, output, label))
        output.evaluated_config(config)  # or it is another run's
    report(runs, places.results(domain).path)
    model_card.write_packed(domain)


def regenerate_all(domains: Iterable[str], measure: bool = False) -> None:
    """Rewrites theirs, and the tables of the texts.

    Raises:
      RunError: if a run can't be read.
    """
    for domain in domains:
        regenerate(domain, measure)
    tables.write()


def main() -> None:
    """Parses the command line, regenerates."""
    packed = sorted({path.parts[-3] for path in places.kept("").path.glob("*/*/config.json")})
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("domain", nargs="*", help=f"of {', '.join(packed)}; default: all")
    parser.add_argument("--measure", action="store_true", help="evaluate the weights first")
    chosen = parser.parse_args()
    unknown = set(chosen.domain) - set(packed)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: choose from {', '.join(packed)}")
    try:
        regenerate_all(chosen.domain or packed, chosen.measure)
    except (RunError, ConfigError, OSError) as error:
        sys.exit(f"regenerate: {error}")


if __name__ == "__main__":
    main()
