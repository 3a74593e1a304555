"""An external cohort: the models of all folds vote on scans of patients they never saw (paper 2.5, SPEC 5).

The cohort is a study folder of its own inside the study, ``external/NAME``: preprocessed and matched by the same
stages, with the study's settings but for the score.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from relevox.config import Settings
from relevox.engines.workers import raise_failures, run_all, threads_each
from relevox.errors import ModelError, SettingsError
from relevox.learning import ensemble
from relevox.learning.fusion import covariate_values
from relevox.records import Ballot, Cohort, Observation
from relevox.statistics import baselines, leaks
from relevox.statistics.evaluation import calibration, comparisons, external
from relevox.statistics.likeness import fingerprint, fingerprints, likeness
from relevox.store import inputs, layout, models, provenance, tables

logger = logging.getLogger("relevox")

STAGE = "validate"


def settings_for(
    settings: Settings, given: Settings, score: str | None = None, threshold: float | None = None
) -> Settings:
    """Return the external cohort's settings: the study's, but for how its scores are matched.

    Parameters
    ----------
    settings : Settings
        Of the study.
    given : Settings
        What the user gave for this cohort, laid over the study's.
    score, threshold : optional
        Score and threshold of this cohort (PDDS, 3); default: as given.

    Raises
    ------
    SettingsError
        For a threshold the score cannot take, and for scans that would be made otherwise than the study's.
    """
    other = given.model_copy(update={"cohort": settings.cohort})
    if other != settings:
        differing = [name for name in Settings.model_fields if getattr(other, name) != getattr(settings, name)]
        raise SettingsError(
            f"expected the study's own settings outside of [cohort], but {', '.join(differing)} differs",
            code="settings-differ",
            remedy="the models only know scans that were made as theirs were: set [cohort] alone",
        )
    wanted = {"score": score, "threshold": threshold}
    changed = given.cohort.model_copy(update={name: value for name, value in wanted.items() if value is not None})
    valid = changed.valid_scores
    if valid and not valid[0] <= changed.threshold <= valid[-1]:
        raise SettingsError(
            f"expected a threshold of {valid[0]:g} to {valid[-1]:g} for {changed.score}, but got {changed.threshold:g}",
            code="threshold-impossible",
            row="threshold",
        )
    return settings.model_copy(update={"cohort": changed})


def folder(study: Path, name: str) -> Path:
    """Return the folder of an external cohort.

    Raises
    ------
    SettingsError
        For a name that is no plain word, or one that predictions of the study itself bear.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", name) or name in ("cohort", "validation"):
        raise SettingsError(
            f"expected letters, digits and hyphens for the cohort's name, but got {name!r}",
            code="name-invalid",
            row="name",
            remedy="choose another name",
        )
    return layout.path(study, "external", name=name)


def run(study: Path, name: str, settings: Settings, workers: int = 1, ids_are_related: bool = True) -> None:
    """Let the models vote on an external cohort and score them.

    1. Refuse patients and images that are in the training cohort too (``leak_audit.tsv``).
    2. Predict every scan by the networks of all folds; what is up to date is kept.
    3. Vote: networks, and each baseline's fits of all folds.
    4. Write ``predictions/NAME_predictions.tsv``, and scores, comparisons and calibration into ``external/NAME``.

    Parameters
    ----------
    study : Path
        With trained models; its folder ``external/NAME`` holds the preprocessed and matched cohort.
    name : str
        Of the external cohort.
    settings : Settings
        Of the study.
    workers : int
        Scans predicted at once.
    ids_are_related : bool
        False where both data sets number their patients on their own: equal ids are then no overlap.

    Raises
    ------
    CohortError
        When a patient is in both cohorts.
    ModelError
        When a model of a fold is missing or changed.
    StudyError
        When the study has not been trained, or the cohort not been preprocessed.
    """
    own = folder(study, name)
    cohort, networks = tables.read_cohort(own), _hashes(study, settings)
    audit_overlap(study, own, settings, cohort, ids_are_related)
    workers = max(1, min(workers, len(cohort)))
    outcomes = run_all(
        partial(predict_scan, study, own, settings, networks, threads=threads_each(workers)),
        cohort.observations,
        workers,
        description=STAGE,
        labels=[scan.key for scan in cohort.ids],
    )
    raise_failures(outcomes)
    fitted = _fitted_baselines(study, settings)
    unit = provenance.Unit(
        study,
        STAGE,
        name,
        settings={"evaluation": settings.evaluation.model_dump(), "seed": settings.seed},
        inputs={scan.key: provenance.digest(own, STAGE, scan.key) for scan in cohort.ids}
        | {kind: provenance.sha256(layout.existing(own, kind)) for kind in ("cohort", "volumes")}
        | {
            f"baselines-{fold}": provenance.sha256(layout.path(study, "baselines", fold=fold))
            for fold in range(settings.training.n_folds)
        },
    )
    if unit.is_current():
        logger.info("validate: %s is up to date", name)
        return
    answers = {"cnn": np.array([outcome.value for outcome in outcomes]).T}  # (folds, n)
    answers |= _baseline_answers(fitted, own, cohort)
    ballots = [ballot for model, probabilities in answers.items() for ballot in _ballots(model, cohort, probabilities)]
    unit.record(_write(study, own, name, settings, cohort, ballots))


def audit_overlap(study: Path, own: Path, settings: Settings, cohort: Cohort, ids_are_related: bool = True) -> None:
    """Write the leak audit of an external cohort.

    Raises
    ------
    CohortError
        When a patient is in the training cohort too: by id, or by an image under any id.
    """
    training = tables.read_cohort(study)
    space = settings.preprocessing.space
    digests, other_digests = (
        [provenance.image_digests(root, scan, space) for scan in of.ids]
        for root, of in ((study, training), (own, cohort))
    )
    unit = provenance.Unit(
        own,
        STAGE,
        "leak-audit",
        settings={"ids_are_related": ids_are_related},
        inputs={
            "training": provenance.digest(study, "train", "inputs"),
            **{scan.key: " ".join(of.values()) for scan, of in zip(cohort.ids, other_digests, strict=True)},
        },
    )
    if unit.is_current():
        return
    gathered = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    voxel_size_mm = settings.preprocessing.voxel_size_mm
    ours = fingerprints(gathered, voxel_size_mm)
    t1w = (inputs.read_channel(own, scan, "t1w", settings.preprocessing) for scan in cohort.ids)
    theirs = np.stack([fingerprint(image, voxel_size_mm) for image in t1w])
    found = leaks.audit_cohorts(
        digests,
        [scan.key for scan in training.ids],
        training.patients,
        other_digests,
        [scan.key for scan in cohort.ids],
        cohort.patients,
        likeness(theirs, ours, ours.mean(axis=0)),
        ids_are_related,
    )
    file = tables.write(layout.path(own, "leak_audit"), [finding.row for finding in found], leaks.COLUMNS)
    leaks.refuse(found)
    for finding in found:
        if finding.shared:
            logger.warning("validate: %s in both cohorts: %s", finding.check, ", ".join(finding.who))
    unit.record([file])


def predict_scan(
    study: Path, own: Path, settings: Settings, hashes: Mapping[str, str], observation: Observation, threads: int = 1
) -> list[float]:
    """Return the probability of class 1 by the network of every fold, ``(folds,)``; keep it in the scan's folder.

    Networks that know covariates are told the scan's; what is unknown of it becomes the mean of their training scans.
    """
    scan, names = observation.id, settings.training.covariates
    images = provenance.image_digests(own, scan, settings.preprocessing.space)
    made_from = dict(hashes) | {kind: images[f"preprocessed_{kind}"] for kind in inputs.KINDS}
    covariates = covariate_values([observation], names) if names else None  # (1, k)
    told = {} if covariates is None else dict(zip(names, map(str, covariates[0]), strict=True))
    unit = provenance.Unit(own, STAGE, scan.key, settings=told, inputs=made_from)
    file = layout.path(own, "votes", scan)
    if unit.is_current():
        return tables.read_json(file)["probabilities"]
    torch.set_num_threads(threads)
    networks = _networks(study, settings, tuple(hashes.values()))
    # alone: in a batch the last digits depend on who else is in it, and a resumed run would not be the same
    x = inputs.read_scan(own, scan, settings.preprocessing)[None]  # (1, 2, x, y, z)
    found = [
        float(ensemble.predict(network, x, device=settings.training.device, covariates=covariates)[0])
        for network in networks
    ]
    unit.record([tables.write_json(file, {"probabilities": found})])
    logger.info("validate: %s, %d of %d models say class 1", scan, sum(p > 0.5 for p in found), len(found))
    return found


@lru_cache(maxsize=1)
def _networks(study: Path, settings: Settings, hashes: tuple[str, ...]) -> list[torch.nn.Module]:
    """Load the networks once in every process; other weights have another hash."""
    return models.load_all(study, settings)


def _hashes(study: Path, settings: Settings) -> dict[str, str]:
    """Hash of every fold's weights, as its card says; a fold without a model is an error."""
    folds = range(settings.training.n_folds)
    missing = [
        kind.format(fold=fold)
        for fold in folds
        for kind in (layout.PATTERNS[kind] for kind in ("model", "model_weights", "baselines"))
        if not (study / kind.format(fold=fold)).exists()
    ]
    if missing:
        raise ModelError(
            f"expected the models of {len(folds)} folds, but these files are missing: {', '.join(missing)}",
            code="model-missing",
            file=missing[0],
            remedy="train the study to the end: fewer models would be another classifier",
        )
    return {f"fold-{fold}": tables.read_json(layout.path(study, "model", fold=fold))["sha256"] for fold in folds}


def _fitted_baselines(study: Path, settings: Settings) -> list[dict[str, baselines.LogisticBaseline]]:
    fitted = []
    for fold in range(settings.training.n_folds):
        stored = tables.read_json(layout.existing(study, "baselines", fold=fold))
        fitted.append({name: baselines.LogisticBaseline(**values) for name, values in stored.items()})
    for fold, of_fold in enumerate(fitted):
        if set(of_fold) != set(fitted[0]):
            differing = ", ".join(sorted(set(of_fold) ^ set(fitted[0])))
            raise ModelError(
                f"expected the same baselines in every fold, but fold {fold} differs in {differing}",
                code="model-missing",
                file=layout.PATTERNS["baselines"].format(fold=fold),
                remedy="train the study again",
            )
    return fitted


def _baseline_answers(
    fitted: Sequence[Mapping[str, baselines.LogisticBaseline]], own: Path, cohort: Cohort
) -> dict[str, np.ndarray]:
    """Return the probabilities of each baseline, ``(folds, n)`` by name."""
    names, volumes = tables.read_volumes(own, cohort)
    answers = {}
    for name in baselines.model_order(list(fitted[0])):
        of_folds = [of_fold[name] for of_fold in fitted]
        values = [baselines.feature_values(model.features, cohort, names, volumes) for model in of_folds]
        if not any(np.isfinite(columns).any() for columns in values):
            logger.warning("validate: %s is left out: this cohort knows none of its features", name)
            continue
        answers[name] = np.array([model.predict(columns) for model, columns in zip(of_folds, values, strict=True)])
    return answers


def _ballots(model: str, cohort: Cohort, probabilities: np.ndarray) -> list[Ballot]:
    vote = ensemble.vote(probabilities)
    return [
        Ballot(
            o.id,
            model,
            o.label,
            int(vote.predicted[n]),
            float(vote.probability[n]),
            float(vote.share[n]),
            float(vote.decision[n]),
            tuple(probabilities[:, n].tolist()),
        )
        for n, o in enumerate(cohort)
    ]


def _write(
    study: Path, own: Path, name: str, settings: Settings, cohort: Cohort, ballots: Sequence[Ballot]
) -> list[Path]:
    evaluation, seed = settings.evaluation, settings.seed
    scores = external.external_scores(ballots, [o.scanner for o in cohort], evaluation, seed)
    compared = external.external_comparisons(ballots, evaluation, seed)
    calibrated = calibration.calibration_table({"raw": external.by_mean(ballots)}, evaluation, seed)
    for row in scores:
        if row["model"] == "cnn" and row["level"] == "scan" and row["measure"] in ("balanced_accuracy", "auc"):
            found = (row["value"], row["ci_low"], row["ci_high"])
            logger.info("validate: %s, cnn %s %.3f (%.3f to %.3f)", name, row["measure"], *found)
    return [
        tables.write_ballots(study, ballots, name),
        tables.write(layout.path(own, "scores"), scores, external.COLUMNS),
        tables.write(layout.path(own, "comparisons"), compared, comparisons.COLUMNS),
        tables.write(layout.path(own, "calibration"), calibrated, calibration.COLUMNS),
    ]
