"""A cohort's study: the whole of it, or one stage again."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from relevox.cli.options import (
    Bids,
    Cluster,
    IgnoreDerivatives,
    Participants,
    Preset,
    Seed,
    SettingsFile,
    SkipBad,
    Study,
    TensorBoard,
    Workers,
)
from relevox.cli.road import (
    again,
    at,
    by_memory,
    check_scores,
    group_level,
    held,
    local,
    participant_level,
    read_text,
    resolve,
    say_scores,
    say_where,
    without_derivatives,
)
from relevox.errors import SettingsError


def demo(out: Study, workers: Workers = 0, seed: Seed = 0) -> None:
    """Simulate the demo cohort, run the whole study on it, and say where the report is."""
    from relevox.config import phantom_preset, preset
    from relevox.stages import benchmark, simulate

    bids, study = out / "bids", out / "study"
    settings = preset("demo").model_copy(update={"seed": seed})
    with held(study, settings):
        simulate.run(bids, phantom_preset("demo"), seed, by_memory(workers))
        participant_level(bids, study, settings, workers)
        group_level(
            bids,
            study,
            settings,
            workers,
            # the methods of the study alone: the others would cost the demo minutes
            before_report=lambda: benchmark.run(bids, study, settings, local(workers), extra_scans=0),
        )
    say_where(study)


def run(
    bids: Bids,
    out: Study,
    level: Annotated[str, typer.Argument(metavar="[participant|group]", help="No level = both.")] = "both",
    preset: Preset = None,
    settings: SettingsFile = None,
    participant_label: Participants = None,
    skip_bad: SkipBad = False,
    ignore_derivatives: IgnoreDerivatives = False,
    workers: Workers = 0,
    cluster: Cluster = None,
    tensorboard: TensorBoard = False,
) -> None:
    """Do the whole study on one's own data (the form of a BIDS App)."""
    if level not in ("participant", "group", "both"):
        raise SettingsError(f"expected participant or group, but got {level!r}", code="level-unknown")
    resolved = resolve(out, preset, settings, ignore_derivatives)
    with held(out, resolved), at(cluster, workers):
        if level != "group":
            if level == "both":
                check_scores(bids, resolved, skip_bad)
            participant_level(bids, out, resolved, workers, participant_label, skip_bad)
        if level != "participant":
            group_level(bids, out, resolved, workers, tensorboard=tensorboard)
            say_where(out)


def check(bids: Bids, preset: Preset = None, settings: SettingsFile = None) -> None:
    """List every problem of a data set before anything is computed."""
    from relevox.stages import check as stage

    stage.run(bids, resolve(None, preset, settings))
    print("no problem was found")


def preprocess(
    bids: Bids,
    out: Study,
    preset: Preset = None,
    settings: SettingsFile = None,
    participant_label: Participants = None,
    skip_bad: SkipBad = False,
    ignore_derivatives: IgnoreDerivatives = False,
    workers: Workers = 0,
    cluster: Cluster = None,
) -> None:
    """Bring scans to template space, with masks, Jacobian, regions, volumes and quality measures."""
    from relevox.errors import CohortError
    from relevox.stages import cohort

    resolved = resolve(out, preset, settings, ignore_derivatives)
    with held(out, resolved), at(cluster, workers):
        participant_level(bids, out, resolved, workers, participant_label, skip_bad)
        try:
            cohort.run(bids, out, resolved)
        except CohortError as error:  # scans alone can be preprocessed; training will need scores
            logging.getLogger("relevox").warning("no cohort.tsv was written: %s", error)


def train(
    out: Study,
    workers: Workers = 0,
    cluster: Cluster = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes (GPUs) that train each fold together.")] = 1,
    tensorboard: TensorBoard = False,
) -> None:
    """Train the network and the baselines on the study's folds."""
    from relevox.engines import torchrun
    from relevox.stages import train as stage

    if processes > 1:
        sys.exit(torchrun.start(processes, ["train", str(out), *(["--tensorboard"] if tensorboard else [])]))
    with torchrun.joined() as group:
        if group.leads:
            again(out, partial(stage.run, group=group, events=tensorboard), 1 if group.size > 1 else workers, cluster)
        else:  # the leading process holds the study folder and speaks
            logging.getLogger("relevox").setLevel(logging.WARNING)
            stage.run(out, resolve(out, None, None), group=group)


def evaluate(out: Study, workers: Workers = 0) -> None:
    """Predict every scan out of fold and score all models."""
    from relevox.stages import evaluate as stage

    again(out, stage.run, workers)


def explain(out: Study, workers: Workers = 0, cluster: Cluster = None) -> None:
    """Make the attention maps of every test scan, and check whether they can be believed."""
    from relevox.stages import explain as stage
    from relevox.stages import explain_checks

    again(out, stage.run, workers, cluster)
    again(out, explain_checks.run, workers, cluster)


def analyse(out: Study, workers: Workers = 0) -> None:
    """Average and regress the maps over groups and regions."""
    from relevox.stages import analyse as stage

    again(out, stage.run, workers)


def report(out: Study, workers: Workers = 0) -> None:
    """Write the report."""
    from relevox.stages import report as stage

    again(out, stage.run, workers)
    say_where(out)


def validate(
    out: Study,
    external: Annotated[Path, typer.Argument(metavar="EXTERNAL_BIDS", help="Another cohort; never written to.")],
    score: Annotated[str | None, typer.Option(help="Its score, PDDS say; default: the study's.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Its threshold; default: the study's.")] = None,
    name: Annotated[str, typer.Option(help="Name of the cohort in the study folder.")] = "external",
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="A TOML file with [cohort] alone: window, direction ..."),
    ] = None,
    own_ids: Annotated[
        bool, typer.Option("--own-ids", help="Both data sets number their patients on their own: 001 is not 001.")
    ] = False,
    participant_label: Participants = None,
    skip_bad: SkipBad = False,
    ignore_derivatives: IgnoreDerivatives = False,
    workers: Workers = 0,
) -> None:
    """Let the models vote on an external cohort."""
    from relevox import config
    from relevox.stages import cohort, validate
    from relevox.stages import report as report_stage
    from relevox.store import layout

    layout.existing(out, "settings")
    of_study = resolve(out, None, None)
    given = of_study if settings is None else config.from_toml(read_text(settings), of_study, settings.name)
    of_cohort = validate.settings_for(of_study, given, score, threshold)
    own = validate.folder(out, name)
    with held(out, of_study):
        with held(own, of_cohort):
            made = without_derivatives(of_cohort) if ignore_derivatives else of_cohort
            participant_level(external, own, made, workers, participant_label, skip_bad)
            cohort.run(external, own, of_cohort)
            validate.run(out, name, of_study, local(workers), ids_are_related=not own_ids)
        if layout.path(out, "report").exists():
            report_stage.run(out, of_study, local(workers))
    say_scores(own)
