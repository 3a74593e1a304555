"""Collect the results of a study and write them as one page."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relevox import __version__
from relevox.config import Settings
from relevox.errors import StudyError
from relevox.records import Cohort, Prediction, ScanId
from relevox.report import checklist, cohort_tables, section_external
from relevox.report.acquisition import acquisition_rows, acquisition_table
from relevox.report.methods import unique_steps
from relevox.report.plain import latex
from relevox.report.results import StudyResults
from relevox.report.study import study_page
from relevox.stages import report_external, report_planted
from relevox.stages.report_images import examples_of, group_maps_of, relevance_sums
from relevox.stages.report_reader import EVALUATION, Reader
from relevox.store import layout, provenance, tables, template
from relevox.store.atomic import write_text

logger = logging.getLogger("relevox")


def run(study: Path, settings: Settings, workers: int = 1) -> Path:
    """Write ``report/report.html`` (SPEC 6-9) and the tables of a paper, ``tables/``.

    1. Read cohort, folds, volumes, quality, scores, predictions and histories: all of them must be there.
    2. Read the analyses, group maps, example scans and the benchmark: what is missing is said to be missing.
    3. Describe, draw and render, unless the page was made from these very files.

    Parameters
    ----------
    study : Path
        The study folder, evaluated at least.
    settings : Settings
        As the study ran.
    workers : int
        Not needed: a report is made in seconds by one process.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StudyError
        When an earlier stage has not run, or on another cohort.
    """
    reader = Reader(study)
    results = collect(reader, settings)
    page = layout.path(study, "report")
    unit = provenance.Unit(
        study,
        stage="report",
        name="study",
        settings={"settings": settings.model_dump(mode="json"), "versions": dict(results.versions)},
        inputs=reader.read,
    )
    if unit.is_current():
        logger.info("report: up to date")
        return page
    write_text(page, study_page(results, __version__))
    unit.record([page, *_write_tables(study, results), *_write_checklists(study, results)])
    logger.info("report: %d scans, %d files read, %s", len(results.cohort), len(reader.read), page.name)
    return page


def _write_tables(study: Path, results: StudyResults) -> list[Path]:
    """Write the tables that a paper prints: acquisition and cohort, numbers as TSV, words as LaTeX."""
    described = cohort_tables.of_study(results)
    made = {2: (cohort_tables.cohort_table(described), cohort_tables.cohort_numbers(described))}
    for number, other in enumerate(results.external, start=3):
        of_other = section_external.described(other)
        title = section_external.table_title(other)
        made[number] = (cohort_tables.cohort_table(of_other, title), cohort_tables.cohort_numbers(of_other))
    acquired = acquisition_table(results.acquisition, len(results.cohort))
    if acquired is not None:
        made[1] = (acquired, acquisition_rows(acquired))
    written = []
    for number, (table, rows) in sorted(made.items()):
        written.append(tables.write(layout.path(study, "table", number=number, suffix="tsv"), rows))
        tex = layout.path(study, "table", number=number, suffix="tex")
        written.append(write_text(tex, latex(table, f"tab:relevox-{number}")))
    return written


def _write_checklists(study: Path, results: StudyResults) -> list[Path]:
    """Write the reporting checklists, as tables and to be pasted."""
    written = []
    for name in checklist.CHECKLISTS:
        file = layout.path(study, "checklist", name=name, suffix="tsv")
        written.append(tables.write(file, checklist.rows(name, results)))
        page = layout.path(study, "checklist", name=name, suffix="md")
        written.append(write_text(page, checklist.markdown(name, results)))
    return written


def collect(reader: Reader, settings: Settings) -> StudyResults:
    """Read everything the report shows."""
    study = reader.study
    for kind in ("cohort", "folds", "volumes"):
        reader.file(kind)
    cohort = tables.read_cohort(study)
    names, volumes = tables.read_volumes(study, cohort)
    reader.file("predictions", cohort="cohort")
    predictions = tables.read_predictions(study)
    _check_same_scans(cohort, predictions)
    folds = tables.read_folds(study, cohort)
    histories = {int(fold): reader.rows("history", fold=int(fold)) for fold in np.unique(folds)}
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    measures = [_measures(reader, scan) for scan in cohort.ids]
    steps = unique_steps([m.get("steps") or [] for m in measures])
    bayes = reader.optional("bayes")
    optional = {kind: reader.optional_rows(kind) for kind in _OPTIONAL}
    maps = group_maps_of(reader, settings, head.t1.shape)
    examples = examples_of(reader, settings, cohort, predictions, head)
    card = reader.optional("cohort_card")
    simulated = bayes is not None or (card is not None and bool(tables.read_json(card).get("simulated")))
    missing = [
        words for kind, words in _OPTIONAL.items() if not optional[kind] and (kind not in OF_SIMULATED or simulated)
    ]
    missing += [] if maps else ["the maps of the prediction groups (stage analyse)"]
    missing += [] if examples else ["the attention maps of single scans (stage explain)"]
    return StudyResults(
        settings=settings,
        cohort=cohort,
        flow=reader.rows("flow"),
        folds=folds,
        volume_names=names,
        volumes_ml=volumes,
        quality=_of_cohort(reader.rows("quality"), cohort),
        scores=reader.rows("scores"),
        predictions=predictions,
        histories=histories,
        template_t1=head.t1,
        brain_mask=head.brain_mask,
        comparisons=optional["comparisons"],
        calibration=optional["calibration"],
        evaluation={kind: rows for kind in EVALUATION if (rows := reader.optional_rows(kind))},
        regions=optional["analysis_regions"],
        occlusion=optional["analysis_occlusion"],
        groups=optional["analysis_groups"],
        regressors=optional["analysis_regressors"],
        input_leak=optional["input_leak"],
        acquisition=reader.optional_rows("acquisition"),
        characteristics={}
        if reader.optional("characteristics") is None
        else tables.read_characteristics(study, cohort),
        maps=maps,
        examples=examples,
        checks=optional["checks_summary"],
        benchmark=optional["benchmark"],
        explained=optional["explained"],
        bayes=None if bayes is None else tables.read_json(bayes),
        simulated=simulated,
        steps=steps,
        relevance_sums=relevance_sums(reader, settings, cohort),
        versions=provenance.versions(),
        leaks=reader.optional_rows("leak_audit"),
        external=report_external.collect(reader),
        planted=report_planted.collect(reader),
        missing=missing,
    )


_OPTIONAL = {
    "comparisons": "the comparison of the models (stage evaluate)",
    "calibration": "slope and intercept of the calibration (stage evaluate)",
    "analysis_regions": "relevance by region (stage analyse)",
    "analysis_occlusion": "region occlusion (stage analyse)",
    "analysis_groups": "the voxel-wise regression (stage analyse)",
    "analysis_regressors": "its regressors one by one (stage analyse)",
    "input_leak": "what the mean intensity gives away (stage analyse)",
    "checks_summary": "whether the maps can be believed (stage explain)",
    "benchmark": "the maps against the known causes (benchmark)",
    "explained": "what the known causes explain of the maps (benchmark)",
}
"""Tables a report can do without, in words."""

OF_SIMULATED = ("benchmark", "explained")
"""Tables that only simulated cohorts can have."""


def _check_same_scans(cohort: Cohort, predictions: Sequence[Prediction]) -> None:
    label = {o.id: o.label for o in cohort}
    if any(label.get(p.id) != p.label for p in predictions) or set(label) != {p.id for p in predictions}:
        raise StudyError(
            "the predictions are of another cohort than cohort.tsv",
            code="study-stale",
            file=layout.PATTERNS["predictions"].format(cohort="cohort"),
            remedy="run train and evaluate again",
        )


def _of_cohort(quality: Sequence[Mapping[str, object]], cohort: Cohort) -> list[Mapping[str, object]]:
    """Keep the scans of the cohort, and those that failed: they were left out because of it."""
    ids = set(cohort.ids)
    return [row for row in quality if row["status"] == "failed" or tables.identity(row) in ids]


def _measures(reader: Reader, scan: ScanId) -> Mapping[str, object]:
    path = reader.optional("measures", scan)
    return {} if path is None else tables.read_json(path)
