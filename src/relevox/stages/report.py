"""Collect the results of a study and write them as one page."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relevox import __version__
from relevox.config import Settings
from relevox.errors import StudyError
from relevox.imaging.regions import REGIONS
from relevox.records import GROUPS, Cohort, Prediction, ScanId
from relevox.report import checklist, cohort_tables, section_external
from relevox.report.acquisition import acquisition_rows, acquisition_table
from relevox.report.methods import unique_steps
from relevox.report.plain import latex
from relevox.report.results import Example, RegionShare, StudyResults
from relevox.report.study import study_page
from relevox.stages import report_external, report_planted
from relevox.statistics.evaluation.tables import COLUMNS
from relevox.statistics.regions import RegionTable
from relevox.store import acquisition, group_maps, images, layout, provenance, tables, template
from relevox.store.atomic import write_text

logger = logging.getLogger("relevox")

STATISTICS = ("mean", "r2", "partialr2", "fitted", "t", "logpfwe", "logptfce")
"""Group maps that are read."""

_WORDS = {
    *("model", "against", "level", "test", "measure", "probability", "subset", "confound", "factor", "scanner"),
    *("training", "scans_used", "promise", "levels", "note"),
    *("cnn_minus_model_accuracy_test", "cnn_minus_model_auc_test"),
}
"""Columns of the evaluation's tables that are words; a conformal set's fold may be ``all``."""

_EVALUATION = tuple(kind for kind in COLUMNS if kind not in ("scores", "comparisons", "calibration"))
"""Tables of the evaluation that are read together."""

_NUMBERS = {
    "flow": ("scans_removed", "scans_left", "patients_left"),
    "scores": ("value", "ci_low", "ci_high", "fold_mean", "fold_sd", "n"),
    "comparisons": ("difference", "statistic", "p", "n"),
    "calibration": tuple(name for name in COLUMNS["calibration"] if name not in _WORDS),
    "history": ("epoch", "train_loss", "validation_loss", "validation_balanced_accuracy"),
    "analysis_regions": (
        "n_scans",
        "percentile",
        "voxel_share",
        "voxel_share_ci_low",
        "voxel_share_ci_high",
        "volume_share",
        "mean_relevance_display",
    ),
    "analysis_occlusion": ("n_scans", "mean_delta", "sd_delta", "mean_absolute_delta"),
    "analysis_groups": (
        "n_scans",
        "n_patients",
        "r2_mean",
        "r2_median",
        "r2_95th",
        "r2_expected",
        "r2_expected_permuted",
        "r2_above_chance",
    ),
    "analysis_regressors": (
        "n_scans",
        "n_patients",
        "voxels_tested",
        "partial_r2_median",
        "n_permutations",
        "voxels_fwe",
        "smallest_p_fwe",
        "voxels_uncorrected",
        "peak_t",
        "peak_x_mm",
        "peak_y_mm",
        "peak_z_mm",
        "voxels_tfce",
        "smallest_p_tfce",
    ),
    "input_leak": ("correlation_lesion_load", "correlation_label", "auc_label"),
    "benchmark": ("value", "ci_low", "ci_high", "n"),
    "explained": (
        "n_scans",
        "variance_share",
        "variance_share_expected",
        "r2_mean",
        "r2_expected",
        "lesion_dice",
        "jacobian_correlation",
    ),
    "acquisition": acquisition.NUMBERS,
    "occlusion": ("delta",),
    "checks_summary": ("position", "value", "ci_low", "ci_high", "n_scans", "n_patients"),
    "quality": (),
    "leak_audit": ("patients", "scans", "shared"),
} | {kind: tuple(name for name in COLUMNS[kind] if name not in _WORDS and name != "fold") for kind in _EVALUATION}
"""Columns that are read as numbers."""


class _Reader:
    """Reads files of a study and remembers their hashes: what the report was made from."""

    def __init__(self, study: Path, root: Path | None = None, read: dict[str, str] | None = None) -> None:
        self.study, self.root = study, root or study
        self.read: dict[str, str] = {} if read is None else read

    def below(self, folder: Path) -> _Reader:
        """Return a reader of a study inside this one; what it reads counts here."""
        return _Reader(folder, self.root, self.read)

    def file(self, kind: str, scan: ScanId | None = None, **entities: object) -> Path:
        return self._noted(layout.existing(self.study, kind, scan, **entities))

    def optional(self, kind: str, scan: ScanId | None = None, **entities: object) -> Path | None:
        path = layout.path(self.study, kind, scan, **entities)
        return self._noted(path) if path.exists() else None

    def rows(self, kind: str, scan: ScanId | None = None, **entities: object) -> list[dict[str, object]]:
        return _numeric(self.file(kind, scan, **entities), _NUMBERS[kind])

    def numbers(self, kind: str, columns: Sequence[str]) -> list[dict[str, object]]:
        """Read a table whose numbers stand in other columns than the study's own."""
        return _numeric(self.file(kind), columns)

    def optional_rows(self, kind: str, scan: ScanId | None = None) -> list[dict[str, object]]:
        path = self.optional(kind, scan)
        return [] if path is None else _numeric(path, _NUMBERS[kind])

    def _noted(self, path: Path) -> Path:
        self.read[path.relative_to(self.root).as_posix()] = provenance.sha256(path)
        return path


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
    reader = _Reader(study)
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


def collect(reader: _Reader, settings: Settings) -> StudyResults:
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
    maps = _group_maps(reader, settings, head.t1.shape)
    examples = _examples(reader, settings, cohort, predictions, head)
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
        evaluation={kind: rows for kind in _EVALUATION if (rows := reader.optional_rows(kind))},
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
        relevance_sums=_relevance_sums(reader, settings, cohort),
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


def _numeric(path: Path, columns: Sequence[str]) -> list[dict[str, object]]:
    return [
        dict(row) | {column: tables.number(row, column, path.name, n) for column in columns}
        for n, row in enumerate(tables.read(path, columns), start=1)
    ]


def _of_cohort(quality: Sequence[Mapping[str, object]], cohort: Cohort) -> list[Mapping[str, object]]:
    """Keep the scans of the cohort, and those that failed: they were left out because of it."""
    ids = set(cohort.ids)
    return [row for row in quality if row["status"] == "failed" or tables.identity(row) in ids]


def _measures(reader: _Reader, scan: ScanId) -> Mapping[str, object]:
    path = reader.optional("measures", scan)
    return {} if path is None else tables.read_json(path)


def _group_maps(reader: _Reader, settings: Settings, shape: tuple[int, ...]) -> dict[tuple[str, str, str], np.ndarray]:
    """Read the maps of the prediction groups; NaN where nothing was fitted or tested."""
    descs = dict.fromkeys((*settings.attribution.methods, "t1w", "lesion", "jacobian", *settings.analysis.regressors))
    maps = {}
    for group in GROUPS:
        found = {}
        for desc, statistic in itertools.product(descs, STATISTICS):
            path = reader.optional("group_map", group=group, desc=desc, statistic=statistic)
            if path is not None:
                found[desc, statistic] = _on_grid(images.read(path).data, shape, path, reader.study)
        fitted = {name: found.pop((name, "fitted")) > 0 for name in descs if (name, "fitted") in found}
        maps |= {(group, *which): image for which, image in group_maps.blank_unfitted(found, fitted).items()}
    return maps


def _on_grid(data: np.ndarray, shape: tuple[int, ...], path: Path, study: Path) -> np.ndarray:
    if data.shape != shape:
        raise StudyError(
            f"expected a map of {shape} voxels, but got {data.shape}",
            code="study-stale",
            file=path.relative_to(study),
            remedy="run the stage that wrote it again with the study's settings",
        )
    return data


def _examples(
    reader: _Reader, settings: Settings, cohort: Cohort, predictions: Sequence[Prediction], head: template.Template
) -> list[Example]:
    """Read the surest true positive and negative and the surest mistake, where they were explained."""
    space = settings.preprocessing.space
    score = {o.id: o.score for o in cohort}
    examples = []
    for k, prediction in enumerate(_surest(predictions)):
        # every method for the first scan, the study's first method for the others
        methods = settings.attribution.methods if k == 0 else settings.attribution.methods[:1]
        occlusion = {
            str(row["region"]): float(row["delta"]) for row in reader.optional_rows("occlusion", prediction.id)
        }
        for method in methods:
            path = reader.optional("relevance", prediction.id, space=space, method=method)
            card = reader.optional("relevance_card", prediction.id, space=space, method=method)
            if path is None or card is None:
                continue
            relevance = _on_grid(images.read(path).data, head.t1.shape, path, reader.study)
            flair = reader.file("flair", prediction.id, space=space)
            mask = reader.file("brain_mask", prediction.id, space=space)
            brain = _on_grid(images.read(mask).data, head.t1.shape, mask, reader.study) > 0
            counter = RegionTable(head.regions, brain, [region.index for region in REGIONS])
            shares = counter.shares(relevance, (settings.analysis.percentile,))
            examples.append(
                Example(
                    prediction=prediction,
                    score=score[prediction.id],
                    method=method,
                    target=int(tables.read_json(card)["target"]),
                    flair=_on_grid(images.read(flair).data, head.t1.shape, flair, reader.study),
                    relevance=relevance,
                    brain_mask=brain,
                    regions=tuple(
                        RegionShare(
                            region.name,
                            float(shares.voxel_share[0, i]),
                            float(shares.relevance_share[i]),
                            float(shares.volume_share[i]),
                            occlusion.get(region.name, np.nan),
                        )
                        for i, region in enumerate(REGIONS)
                    ),
                )
            )
    return examples


def _surest(predictions: Sequence[Prediction]) -> list[Prediction]:
    cnn = sorted((p for p in predictions if p.model == "cnn"), key=lambda p: (-abs(p.probability - 0.5), p.id))
    wanted = (("TP",), ("TN",), ("FP", "FN"))
    found = (next((p for p in cnn if p.group in groups), None) for groups in wanted)
    return [p for p in found if p is not None]


def _relevance_sums(reader: _Reader, settings: Settings, cohort: Cohort) -> dict[str, list[tuple[float, float]]]:
    sums: dict[str, list[tuple[float, float]]] = {}
    for method in settings.attribution.methods:
        for scan in cohort.ids:
            path = reader.optional("relevance_card", scan, space=settings.preprocessing.space, method=method)
            if path is not None:
                card = tables.read_json(path)
                start, total = (float("nan") if card[k] is None else float(card[k]) for k in ("start", "sum"))
                sums.setdefault(method, []).append((start, total))
    return sums
