"""The command line: one sub-command per stage. Parse, load settings, call ``run``.

Heavy imports stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps

import typer

from relevox.cli import models, simulation, study, tools
from relevox.errors import RelevoxError

app = typer.Typer(
    name="relevox",
    help="From a BIDS folder of T1w + FLAIR scans and a clinical score to a trained, validated and explained "
    "3D CNN, with one report. For research only: nothing here is a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS = {
    "demo": study.demo,
    "run": study.run,
    "check": study.check,
    "preprocess": study.preprocess,
    "train": study.train,
    "evaluate": study.evaluate,
    "explain": study.explain,
    "analyse": study.analyse,
    "report": study.report,
    "validate": study.validate,
    "predict": models.predict,
    "export": models.export,
    "simulate": simulation.simulate,
    "benchmark": simulation.benchmark,
    "import": tools.import_dicom,
    "doctor": tools.doctor,
    "tables": tools.published_tables,
    "train-brain-network": tools.train_brain_network,
    "train-lesion-network": tools.train_lesion_network,
}


def _interruptible(function: Callable) -> Callable:
    """Say how to go on after Ctrl-C: typer ends without a word."""

    @wraps(function)
    def command(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            print("relevox: interrupted; run the same command again to go on where it stopped", file=sys.stderr)
            sys.exit(130)

    return command


for name, function in COMMANDS.items():
    # the first line stands in the list as a whole, where typer would cut it
    app.command(name, short_help=function.__doc__.splitlines()[0])(_interruptible(function))


def main() -> None:
    """Run the command line; every problem of the user's ends in a message and an exit code, not a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("relevox").setLevel(logging.INFO)
    try:
        app()
    except RelevoxError as error:
        print(f"relevox: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.exit(141)
