"""The command line: one sub-command per stage. Parse, load settings, call ``run``.

Heavy imports stay inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Optional

import typer

from relevox.errors import RelevoxError, SettingsError

app = typer.Typer(
    name="relevox",
    help="From a BIDS folder of T1w + FLAIR scans and a clinical score to a trained, validated and explained "
    "3D CNN, with one report. For research only: nothing here is a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Study = Annotated[Path, typer.Argument(metavar="OUT", help="The study folder.")]
Bids = Annotated[Path, typer.Argument(metavar="BIDS", help="The BIDS data set; it is never written to.")]
Workers = Annotated[int, typer.Option(min=0, help="Local processes; 0 = one per core, as far as memory allows.")]
Cluster = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--cluster", help="Work on a Dask cluster: local, slurm, or the address of a scheduler."),
]
SettingsFile = Annotated[Optional[Path], typer.Option("--settings", help="A study.toml.")]  # noqa: UP045
Preset = Annotated[Optional[str], typer.Option(help="default, paper, demo, bench or tiny.")]  # noqa: UP045
Participants = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--participant-label", help="Only these (with or without sub-); may be repeated."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave scans out that cannot be used, and list them.")]
IgnoreDerivatives = Annotated[
    bool, typer.Option("--ignore-derivatives", help="Compute masks even where the data set has its own.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write OUT/tensorboard, too.")]
Seed = Annotated[int, typer.Option(min=0, help="Everything random starts from it.")]

GB_PER_SCAN_WORKER = 3.0
"""Memory that one preprocessing process may need."""


def _command(name: str | None = None):
    """Register a sub-command; its first line stands in the list as a whole, where typer would cut it."""

    def register(function):
        return app.command(name, short_help=function.__doc__.splitlines()[0])(function)

    return register


def main() -> None:
    """Run the command line; every problem of the user's ends in a message and an exit code, not a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("relevox").setLevel(logging.INFO)
    try:
        app()
    except RelevoxError as error:
        print(f"relevox: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("relevox: interrupted; run the same command again to go on where it stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)


@_command()
def demo(out: Study, workers: Workers = 0, seed: Seed = 0) -> None:
    """Simulate the demo cohort, run the whole study on it, and say where the report is."""
    from relevox.config import phantom_preset, preset
    from relevox.stages import benchmark, simulate

    bids, study = out / "bids", out / "study"
    settings = preset("demo").model_copy(update={"seed": seed})
    with _study(study, settings):
        simulate.run(bids, phantom_preset("demo"), seed, _local(workers))
        _participant_level(bids, study, settings, workers)
        _group_level(
            bids,
            study,
            settings,
            workers,
            # the methods of the study alone: the others would cost the demo minutes
            before_report=lambda: benchmark.run(bids, study, settings, _local(workers), extra_scans=0),
        )
    _say_where(study)


@_command()
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
    resolved = _resolve(out, preset, settings, ignore_derivatives)
    with _study(out, resolved), _at(cluster, workers):
        if level != "group":
            if level == "both":
                _check_scores(bids, resolved, skip_bad)
            _participant_level(bids, out, resolved, workers, participant_label, skip_bad)
        if level != "participant":
            _group_level(bids, out, resolved, workers, tensorboard=tensorboard)
            _say_where(out)


@_command()
def check(bids: Bids, preset: Preset = None, settings: SettingsFile = None) -> None:
    """List every problem of a data set before anything is computed."""
    from relevox.stages import check as stage

    stage.run(bids, _resolve(None, preset, settings))
    print("no problem was found")


@_command()
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

    resolved = _resolve(out, preset, settings, ignore_derivatives)
    with _study(out, resolved), _at(cluster, workers):
        _participant_level(bids, out, resolved, workers, participant_label, skip_bad)
        try:
            cohort.run(bids, out, resolved)
        except CohortError as error:  # scans alone can be preprocessed; training will need scores
            logging.getLogger("relevox").warning("no cohort.tsv was written: %s", error)


@_command()
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
            _again(out, partial(stage.run, group=group, events=tensorboard), 1 if group.size > 1 else workers, cluster)
        else:  # the leading process holds the study folder and speaks
            logging.getLogger("relevox").setLevel(logging.WARNING)
            stage.run(out, _resolve(out, None, None), group=group)


@_command()
def evaluate(out: Study, workers: Workers = 0) -> None:
    """Predict every scan out of fold and score all models."""
    from relevox.stages import evaluate as stage

    _again(out, stage.run, workers)


@_command()
def explain(out: Study, workers: Workers = 0, cluster: Cluster = None) -> None:
    """Make the attention maps of every test scan, and check whether they can be believed."""
    from relevox.stages import explain as stage
    from relevox.stages import explain_checks

    _again(out, stage.run, workers, cluster)
    _again(out, explain_checks.run, workers, cluster)


@_command()
def analyse(out: Study, workers: Workers = 0) -> None:
    """Average and regress the maps over groups and regions."""
    from relevox.stages import analyse as stage

    _again(out, stage.run, workers)


@_command()
def report(out: Study, workers: Workers = 0) -> None:
    """Write the report."""
    from relevox.stages import report as stage

    _again(out, stage.run, workers)
    _say_where(out)


@_command()
def validate(
    out: Study,
    external: Annotated[Path, typer.Argument(metavar="EXTERNAL_BIDS", help="Another cohort; never written to.")],
    score: Annotated[Optional[str], typer.Option(help="Its score, PDDS say; default: the study's.")] = None,  # noqa: UP045
    threshold: Annotated[Optional[float], typer.Option(help="Its threshold; default: the study's.")] = None,  # noqa: UP045
    name: Annotated[str, typer.Option(help="Name of the cohort in the study folder.")] = "external",
    settings: Annotated[
        Optional[Path],  # noqa: UP045
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
    of_study = _resolve(out, None, None)
    given = of_study if settings is None else config.from_toml(_text(settings), of_study, settings.name)
    of_cohort = validate.settings_for(of_study, given, score, threshold)
    own = validate.folder(out, name)
    with _study(out, of_study):
        with _study(own, of_cohort):
            made = _without_derivatives(of_cohort) if ignore_derivatives else of_cohort
            _participant_level(external, own, made, workers, participant_label, skip_bad)
            cohort.run(external, own, of_cohort)
            validate.run(out, name, of_study, _local(workers), ids_are_related=not own_ids)
        if layout.path(out, "report").exists():
            report_stage.run(out, of_study, _local(workers))
    _say_scores(own)


@_command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A study folder with trained models, or a bundle.")],
    t1w: Annotated[Path, typer.Option("--t1w", help="Raw T1-weighted image (NIfTI).")],
    flair: Annotated[Path, typer.Option("--flair", help="Raw T2-FLAIR image (NIfTI).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for probability, map, regions and page.")],
    age: Annotated[Optional[float], typer.Option(help="Years, for models trained with it.")] = None,  # noqa: UP045
    sex: Annotated[Optional[str], typer.Option(help="F or M, for models trained with it.")] = None,  # noqa: UP045
    disease_duration: Annotated[Optional[float], typer.Option(help="Years, the same.")] = None,  # noqa: UP045
    workers: Workers = 0,
) -> None:
    """Predict and explain one new patient."""
    if sex not in (None, "F", "M"):
        raise SettingsError(f"expected F or M, but got {sex!r}", code="sex-unknown", row="--sex")
    given = {"age": age, "sex": None if sex is None else float(sex == "F"), "disease_duration": disease_duration}
    from relevox.engines.workers import cores
    from relevox.stages import predict as stage

    known = {name: value for name, value in given.items() if value is not None}
    page = stage.run(model, t1w, flair, out, threads=workers or cores(), covariates=known)
    print(page)


@_command()
def export(
    out: Study,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="New folder for the models.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX files too; needs relevox[onnx].")] = False,
) -> None:
    """Write the models to be shared: weights and a model card, no patient."""
    from relevox.stages import export as stage

    print(stage.run(out, bundle, with_onnx=onnx))


@_command()
def simulate(
    bids: Annotated[Path, typer.Argument(metavar="BIDS", help="Folder of the new data set.")],
    preset: Annotated[str, typer.Option(help="tiny, demo, bench or paper; NAME_external: another centre.")] = "tiny",
    label: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="paper, frontotemporal, location, location_atrophy, load, or all: a data set each."),
    ] = None,
    weight: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="CAUSE=W", help="A cause of one's own: frontal_cortex=-1; may be repeated."),
    ] = None,
    label_noise: Annotated[Optional[float], typer.Option(help="SD beside the causes' 1.")] = None,  # noqa: UP045
    label_draw: Annotated[Optional[int], typer.Option(help="Label noise, scanners, image noise anew.")] = None,  # noqa: UP045
    effect: Annotated[Optional[float], typer.Option(help="Spread of the causes; 1 = the paper's.")] = None,  # noqa: UP045
    confounding: Annotated[Optional[float], typer.Option(help="Of scanner and class, 0 to 1.")] = None,  # noqa: UP045
    scanner_mix: Annotated[Optional[str], typer.Option(help="cohort or external.")] = None,  # noqa: UP045
    prevalence: Annotated[Optional[float], typer.Option(help="Share of class 1.")] = None,  # noqa: UP045
    n_patients: Annotated[Optional[int], typer.Option(help="Patients.")] = None,  # noqa: UP045
    n_repeated: Annotated[Optional[int], typer.Option(help="Of whom scanned twice.")] = None,  # noqa: UP045
    counterfactuals: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Patients who are rendered again with each cause changed."),
    ] = None,
    native_heads: Annotated[Optional[int], typer.Option(help="Patients with raw images of a head.")] = None,  # noqa: UP045
    follow_up_years: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Years with one more score each, without a scan."),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 0,
) -> None:
    """Simulate patients whose disability has known causes, as a BIDS data set."""
    changes = {
        name: value
        for name, value in locals().items()
        if name not in ("bids", "preset", "weight", "seed", "workers") and value is not None
    }
    from relevox.config import phantom_preset
    from relevox.stages import simulate as stage

    if weight:
        changes["weights"] = dict(_weight(text) for text in weight)
    stage.run(bids, phantom_preset(preset, **changes), seed, _local(workers))
    print(bids)


def _weight(text: str) -> tuple[str, str]:
    cause, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(
            f"expected CAUSE=W, frontal_cortex=-1 say, but got {text!r}", code="weight-unreadable", row="--weight"
        )
    return cause, value


@_command()
def benchmark(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="[BIDS] OUT", help="The simulated data set and its study; with --plant any study."),
    ],
    plant: Annotated[Optional[str], typer.Option(help="blob or atrophy: put a known signal into the scans.")] = None,  # noqa: UP045
    region: Annotated[Optional[str], typer.Option(help="Where, cerebellar_cortex say.")] = None,  # noqa: UP045
    strength: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Contrast of a blob in brain medians, loss of log volume of atrophy."),
    ] = None,
    start: Annotated[Optional[str], typer.Option(help="study (fine-tune its networks) or scratch.")] = None,  # noqa: UP045
    folds: Annotated[Optional[int], typer.Option(help="How many are trained.")] = None,  # noqa: UP045
    epochs: Annotated[Optional[int], typer.Option(help="Of each training.")] = None,  # noqa: UP045
    workers: Workers = 0,
) -> None:
    """Mark the attention maps against known causes: simulated ones, or a signal planted in any study's scans."""
    if len(folders) != (2 if plant is None else 1):
        raise SettingsError(
            f"expected {'BIDS and OUT' if plant is None else 'OUT alone'}, but got {len(folders)} folders",
            code="benchmark-folders",
            remedy="type relevox benchmark BIDS OUT for simulated patients, or relevox benchmark OUT --plant blob",
        )
    out = folders[-1]
    settings = _resolve(out, None, None)
    if plant is None:
        from relevox.stages import benchmark as stage

        with _study(out, settings):
            stage.run(folders[0], out, settings, _local(workers))
        return
    from relevox.config import plant_settings
    from relevox.stages import benchmark_plant
    from relevox.store import layout

    layout.existing(out, "settings")
    given = {"region": region, "strength": strength, "start": start, "folds": folds, "epochs": epochs}
    planted = plant_settings(kind=plant, **given)
    with _study(out, settings):
        print(benchmark_plant.run(out, settings, planted, _local(workers)))


@_command("import")
def import_dicom(
    dicom: Annotated[Path, typer.Argument(metavar="DICOM", help="Folder of DICOM files; it is never written to.")],
    bids: Annotated[Path, typer.Argument(metavar="BIDS", help="The data set: new, or one to be added to.")],
    ids: Annotated[
        Path, typer.Option("--ids", help="Table of pseudonyms, kept outside the data set; made where there is none.")
    ],
    series: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--series", help="Series that a person chose: participant_id, session_id, series, suffix."),
    ] = None,
) -> None:
    """Bring DICOM folders into a BIDS data set, under pseudonyms."""
    from relevox.stages import import_dicom as stage

    written = stage.run(dicom, bids, ids, series)
    sessions = "1 session was" if len(written) == 1 else f"{len(written)} sessions were"
    print(f"{sessions} written; who is who stands in {ids}, which stays with you")


@_command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For other programs to read.")] = False,
) -> None:
    """Say what is installed, which engines and devices were found, and how to get more."""
    import json

    from relevox.report import diagnosis
    from relevox.stages import doctor as stage

    findings = stage.run()
    if as_json:
        print(json.dumps(stage.as_json(findings), indent=2))
    else:
        diagnosis.show(findings)


@_command("tables")
def published_tables(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Printed rows: table,row,unit,kind,levels,group0,...")],
    out: Annotated[Optional[Path], typer.Option("--out", help="Folder for the result, TSV and LaTeX.")] = None,  # noqa: UP045
) -> None:
    """Recompute the p-values of a paper's printed tables from its counts, means and SDs."""
    from relevox.report.plain import aligned
    from relevox.stages import published as stage

    table, sentence = stage.run(file, out)
    print(f"{aligned(table)}\n\n{sentence}")


@_command("train-brain-network")
def train_brain_network(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for weights and card.")],
    heads: Annotated[int, typer.Option(min=1, help="Simulated heads to train on.")] = 4500,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="0 = all cores.")] = 0,
) -> None:
    """Train the brain-extraction network on simulated heads."""
    from relevox.engines.workers import cores
    from relevox.stages import train_brain_network as stage

    print(stage.run(out, seed=seed, n_heads=heads, device=device, threads=threads or cores()))


@_command("train-lesion-network")
def train_lesion_network(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for weights and card.")],
    patches: Annotated[int, typer.Option(min=1, help="Simulated patches to train on.")] = 8000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="0 = all cores.")] = 0,
) -> None:
    """Train a network that finds lesions on simulated scans."""
    from relevox.engines.workers import cores
    from relevox.stages import train_lesion_network as stage

    print(stage.run(out, seed=seed, n_patches=patches, device=device, threads=threads or cores()))


def _resolve(study: Path | None, preset_name: str | None, file: Path | None, ignore_derivatives: bool = False):
    """Settings of a command: a file on a preset, else the study's own, else the default."""
    from relevox import config
    from relevox.store import layout

    base = config.preset(preset_name or "default")
    own = None if study is None else layout.path(study, "settings")
    if file is not None:
        resolved = config.from_toml(_text(file), base, file.name)
    elif preset_name is None and own is not None and own.exists():
        resolved = config.from_toml(_text(own), base, own.name)
    else:
        resolved = base
    return _without_derivatives(resolved) if ignore_derivatives else resolved


def _without_derivatives(settings):
    section = settings.preprocessing.model_copy(update={"use_derivatives": False})
    return settings.model_copy(update={"preprocessing": section})


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot be read: {error}", code="settings-unreadable", file=file.name) from None


@contextmanager
def _study(study: Path, settings):
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


def _again(study: Path, stage, workers: int, cluster: str | None = None) -> None:
    from relevox.store import layout

    layout.existing(study, "settings")
    settings = _resolve(study, None, None)
    with _study(study, settings), _at(cluster, workers):
        stage(study, settings, _local(workers))


@contextmanager
def _at(cluster: str | None, workers: int):
    """Let the stages in the body work on a cluster, if one was named."""
    if cluster is None:
        yield
        return
    from relevox.engines import cluster as engine

    with engine.cluster(cluster, _local(workers)):
        yield


def _check_scores(bids: Path, settings, skip_bad: bool) -> None:
    """Find bad scores now, not after hours of preprocessing."""
    from relevox.store import bids as bids_store
    from relevox.store import clinical

    scans = bids_store.index(bids, settings.preprocessing.space, incomplete=skip_bad)
    clinical.read(bids, scans, settings.cohort)


def _participant_level(bids, study, settings, workers, participants=None, skip_bad=False) -> None:
    from relevox.stages import preprocess as stage

    stage.run(bids, study, settings, _by_memory(workers), participants=participants, skip_bad=skip_bad)


def _group_level(bids, study, settings, workers, before_report=None, tensorboard=False) -> None:
    from relevox.stages import analyse, cohort, evaluate, explain, explain_checks, train
    from relevox.stages import report as report_stage

    workers = _local(workers)
    cohort.run(bids, study, settings)
    train.run(study, settings, workers, events=tensorboard)
    for stage in (evaluate, explain, explain_checks, analyse):
        stage.run(study, settings, workers)
    if before_report is not None:
        before_report()
    report_stage.run(study, settings, workers)


def _local(workers: int) -> int:
    from relevox.engines.workers import cores

    return workers or cores()


def _by_memory(workers: int) -> int:
    """As many preprocessing processes as cores, but no more than memory holds."""
    import os

    if workers:
        return workers
    total_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else 8.0
    return max(1, min(_local(0), int(total_gb // GB_PER_SCAN_WORKER)))


def _say_where(study: Path) -> None:
    """Print the scores side by side, and where the report is."""
    from relevox.store import layout

    _say_scores(study)
    print(f"\nreport: {layout.path(study, 'report')}")


def _say_scores(study: Path) -> None:
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


if __name__ == "__main__":
    main()
