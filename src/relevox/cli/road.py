"""What commands have in common: whose settings, who works where, the road in one order, the scores on the screen."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

from relevox.errors import SettingsError

GB_PER_SCAN_WORKER = 3.0
"""Memory that one process may need that preprocesses or simulates raw scans."""


def resolve(study: Path | None, preset_name: str | None, file: Path | None, ignore_derivatives: bool = False):
    """Settings of a command: a file on a preset, else the study's own, else the default."""
    from relevox import config
    from relevox.store import layout

    base = config.preset(preset_name or "default")
    own = None if study is None else layout.path(study, "settings")
    if file is not None:
        resolved = config.from_toml(read_text(file), base, file.name)
    elif preset_name is None and own is not None and own.exists():
        resolved = config.from_toml(read_text(own), base, own.name)
    else:
        resolved = base
    return without_derivatives(resolved) if ignore_derivatives else resolved


def without_derivatives(settings):
    """Return the settings, with masks and labels of the data set ignored."""
    section = settings.preprocessing.model_copy(update={"use_derivatives": False})
    return settings.model_copy(update={"preprocessing": section})


def read_text(file: Path) -> str:
    """Read a settings file."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", code="settings-unreadable", file=file.name) from None


@contextmanager
def held(study: Path, settings):
    """Hold the study folder and leave the resolved settings and the description in it."""
    from relevox import __version__, config
    from relevox.store import layout, provenance, tables
    from relevox.store.atomic import write_text

    with provenance.lock(study):
        write_text(layout.path(study, "settings"), config.to_toml(settings))
        tables.write_json(
            layout.path(study, "description"),
            {
                "Name": "relevox study",
                "BIDSVersion": "1.10.0",
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "relevox", "Version": __version__}],
            },
        )
        yield


def again(study: Path, stage, workers: int, cluster: str | None = None) -> None:
    """Do one stage of a study that is there, by its own settings."""
    from relevox.store import layout

    layout.existing(study, "settings")
    settings = resolve(study, None, None)
    with held(study, settings), at(cluster, workers):
        stage(study, settings, local(workers))


@contextmanager
def at(cluster: str | None, workers: int):
    """Let the stages in the body work on a cluster, if one was named."""
    if cluster is None:
        yield
        return
    from relevox.engines import cluster as engine

    with engine.cluster(cluster, local(workers)):
        yield


def check_scores(bids: Path, settings, skip_bad: bool) -> None:
    """Find bad scores now, not after hours of preprocessing."""
    from relevox.store import bids as bids_store
    from relevox.store import clinical

    scans = bids_store.index(bids, settings.preprocessing.space, incomplete=skip_bad)
    clinical.read(bids, scans, settings.cohort)


def participant_level(bids, study, settings, workers, participants=None, skip_bad=False) -> None:
    """Preprocess every scan."""
    from relevox.stages import preprocess as stage

    stage.run(bids, study, settings, by_memory(workers), participants=participants, skip_bad=skip_bad)


def group_level(bids, study, settings, workers, before_report=None, tensorboard=False) -> None:
    """Do the stages from the cohort to the report, in their order."""
    from relevox.stages import analyse, cohort, evaluate, explain, explain_checks, train
    from relevox.stages import report as report_stage

    workers = local(workers)
    cohort.run(bids, study, settings)
    train.run(study, settings, workers, events=tensorboard)
    for stage in (evaluate, explain, explain_checks, analyse):
        stage.run(study, settings, workers)
    if before_report is not None:
        before_report()
    report_stage.run(study, settings, workers)


def local(workers: int) -> int:
    """Return how many processes: as asked, or one a core."""
    from relevox.engines.workers import cores

    return workers or cores()


def by_memory(workers: int) -> int:
    """Return how many processes for whole heads at 1 mm: as asked, or one a core, but no more than memory holds."""
    import os

    if workers:
        return workers
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 8.0
    return max(1, min(local(0), int(total_gb // GB_PER_SCAN_WORKER)))


def say_where(study: Path) -> None:
    """Print the scores side by side, and where the report is."""
    from relevox.store import layout

    say_scores(study)
    print(f"\nreport: {layout.path(study, 'report')}")


def say_scores(study: Path) -> None:
    """Print what the models reach, side by side."""
    from relevox.store import layout, tables

    rows = [row for row in tables.read(layout.existing(study, "scores")) if row["level"] == "scan"]
    scores = {(row["model"], row["measure"]): row for row in rows}

    def cell(row: dict[str, str]) -> str:
        return "{:.2f} ({:.2f} to {:.2f})".format(
            *(tables.number(row, name) for name in ("value", "ci_low", "ci_high"))
        )

    print(f"{'':<22}{'accuracy':<24}AUC")
    for model in dict.fromkeys(row["model"] for row in rows):
        title = {"cnn": "network", "age_sex": "age and sex"}.get(model, model)
        print(f"{title:<22}{cell(scores[model, 'accuracy']):<24}{cell(scores[model, 'auc'])}")
    bayes = layout.path(study, "bayes")
    if bayes.exists():
        best = tables.read_json(bayes)
        print(f"{'best possible (Bayes)':<22}{best['bayes_accuracy']:<24.2f}{best['bayes_auc']:.2f}")
