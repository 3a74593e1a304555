"""One new patient: preprocess, vote, explain, one page."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from relevox import __version__
from relevox.attribution import attribute, occlude_regions
from relevox.config import Settings
from relevox.engines import chain
from relevox.engines.chain import Preprocessed
from relevox.errors import ImageError
from relevox.imaging.regions import REGIONS
from relevox.learning import ensemble
from relevox.learning.network import count_parameters
from relevox.records import ScanId, Volume
from relevox.report.limits import SIMULATED
from relevox.report.novelty import warnings
from relevox.report.patient import patient_page
from relevox.report.results import ModelCard, PatientPage, RegionShare
from relevox.stages import other_programs, own_networks
from relevox.statistics.novelty import compare
from relevox.statistics.regions import RegionTable
from relevox.store import bundle, images, layout, provenance, tables, template
from relevox.store.atomic import write_text
from relevox.store.shared_model import SharedModel

logger = logging.getLogger("relevox")

PATIENT = ScanId("sub-new")
"""Name of the patient in all outputs: the files that were given may bear a real one."""


@dataclass(frozen=True)
class Explanation:
    """What the models of all folds looked at, together."""

    relevance: np.ndarray
    """``(x, y, z)`` mean over the models of their maps, each scaled to sum 1."""
    occlusion: np.ndarray
    """``(r,)`` mean change of the explained class's margin by occluded region."""
    rule: str
    """Of the maps, in words."""


def run(
    model: Path,
    t1w: Path,
    flair: Path,
    out: Path,
    threads: int = 1,
    covariates: Mapping[str, float] | None = None,
) -> Path:
    """Predict and explain one patient from raw images.

    1. Read the models of all folds, from a study folder or a bundle, and verify them.
    2. Bring T1w and FLAIR to the template, as the study did.
    3. Let the models vote (paper 2.5).
    4. Compare the scan's volumes and quality measures with the training scans'.
    5. Explain the answer: relevance of all models, region occlusion, region table.
    6. Write probability, maps, regions and one page.

    Parameters
    ----------
    model : Path
        A study folder with trained models, or a bundle of them.
    t1w, flair : Path
        Raw images of one session.
    out : Path
        Folder for the outputs.
    threads : int
        For registration and network.
    covariates : mapping of str to float, optional
        Of the patient, for models that were trained with some; ``sex`` is 1 female, 0 male.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StudyError, ModelError
        When models are missing, changed, or of another grid.
    ImageError, EngineError
        When the images cannot be used.
    """
    shared = bundle.open_model(model)
    shared = replace(shared, networks=_told(shared.networks, shared.settings.training.covariates, covariates or {}))
    settings, networks = shared.settings, shared.networks
    raw = images.read_scan(t1w), images.read_scan(flair)
    if provenance.sha256(t1w) == provenance.sha256(flair):
        raise ImageError("T1w and FLAIR are the same file", code="same-image", file=flair, remedy="give both images")
    torch.set_num_threads(threads)
    logger.info("predict: preprocessing (a few minutes)")
    head = template.full(settings.preprocessing.periventricular_mm)
    made = other_programs.masks(*raw, settings.preprocessing, {}, threads)
    made |= own_networks.load(settings.preprocessing, {})
    scan = chain.to_template(*raw, head, settings.preprocessing, threads=threads, **made)

    logger.info("predict: preprocessed in %.0f s", sum(scan.seconds.values()))

    inputs = np.stack([scan.t1w.data, scan.flair.data])[None].astype(np.float16)  # (1, 2, x, y, z)
    answers = np.array([ensemble.predict(network, inputs, device="cpu") for network in networks])  # (models, 1)
    vote = ensemble.vote(answers)
    target = int(vote.predicted[0])
    logger.info("predict: %d of %d models answer class 1", round(vote.share[0] * len(networks)), len(networks))
    novelty = compare(shared.training_range, measures(scan))
    for text in warnings(novelty, shared.training_range.n_patients):
        logger.warning("predict: outside the training scans: %s", text)
    if shared.cohort["simulated"]:
        logger.warning("predict: %s", SIMULATED)
    explanation = explain(shared, inputs, scan, target)

    regions = _region_shares(scan, explanation, settings)
    page = PatientPage(
        id=PATIENT,
        probability=float(vote.probability[0]),
        vote_share=float(vote.share[0]),
        predicted=target,
        fold_probabilities=tuple(float(p) for p in answers[:, 0]),
        t1w=scan.t1w.data,
        flair=scan.flair.data,
        relevance=explanation.relevance,
        brain_mask=scan.brain_mask.data,
        regions=regions,
        model=ModelCard(
            settings=settings,
            cohort=shared.cohort,
            scores=shared.scores,
            training_range=shared.training_range,
            map_checks=shared.map_checks,
            n_models=len(networks),
            n_parameters=count_parameters(networks[0]),
            version=shared.cards[0].version,
            fingerprint=shared.fingerprint,
        ),
        novelty=novelty,
        method="lrp",
        target=target,
        percentile=settings.analysis.percentile,
        covariates={name: (covariates or {}).get(name, np.nan) for name in settings.training.covariates},
        volumes_ml=scan.volumes_ml,
        quality_status="flagged" if scan.flags else "ok",
        quality_flags=scan.flags,
        steps=scan.steps,
        versions=provenance.versions(),
    )
    _write(out, settings, page, scan, explanation)
    return write_text(layout.path(out, "prediction_page"), patient_page(page, __version__))


def _told(
    networks: Sequence[torch.nn.Module], names: Sequence[str], covariates: Mapping[str, float]
) -> tuple[torch.nn.Module, ...]:
    """Bind the networks to what is known of the patient beside the images."""
    if not names:
        return tuple(networks)
    for name in names:
        if name not in covariates:
            logger.warning("predict: %s was not given: the models take the mean of their training scans", name)
    return tuple(network.bind(np.array([covariates.get(name, np.nan) for name in names])) for network in networks)


def measures(scan: Preprocessed) -> dict[str, float]:
    """Name a scan's volumes and quality measures as the training range does."""
    return {f"{name}_ml": value for name, value in scan.volumes_ml.items()} | dict(scan.quality)


def explain(shared: SharedModel, inputs: np.ndarray, scan: Preprocessed, target: int) -> Explanation:
    """Explain the answer by every model and average: maps of different models have different scales."""
    x = torch.from_numpy(inputs.astype(np.float32))
    labels = torch.from_numpy(scan.regions.data.astype(np.int64))
    baseline = torch.from_numpy(shared.mean_scan)
    indices = [region.index for region in REGIONS]
    maps, deltas, rule = [], [], ""
    for network in shared.networks:
        result = attribute(network, x, target, "lrp", start=shared.settings.attribution.lrp_start)
        relevance = result.relevance[0].sum(dim=0).numpy().astype(np.float64)  # (x, y, z)
        total = relevance.sum()
        maps.append(relevance / total if total else relevance)
        occluded = occlude_regions(network, x, labels, baseline, torch.tensor([target]), regions=indices)
        deltas.append(np.asarray(occluded.delta[0], dtype=np.float64))
        rule = result.rule
    return Explanation(np.mean(maps, axis=0).astype(np.float32), np.mean(deltas, axis=0), rule)


def _region_shares(scan: Preprocessed, explanation: Explanation, settings: Settings) -> tuple[RegionShare, ...]:
    table = RegionTable(scan.regions.data, scan.brain_mask.data, [region.index for region in REGIONS])
    shares = table.shares(explanation.relevance, [settings.analysis.percentile])
    return tuple(
        RegionShare(
            name=region.name,
            voxel_share=float(shares.voxel_share[0, n]),
            relevance_share=float(shares.relevance_share[n]),
            volume_share=float(shares.volume_share[n]),
            occlusion=float(explanation.occlusion[n]),
        )
        for n, region in enumerate(REGIONS)
    )


def _write(out: Path, settings: Settings, page: PatientPage, scan: Preprocessed, explanation: Explanation) -> None:
    place = {"space": settings.preprocessing.space}
    relevance = Volume(explanation.relevance, scan.t1w.affine)
    images.write(layout.path(out, "relevance", PATIENT, method="lrp", **place), relevance)
    for kind in ("t1w", "flair", "brain_mask", "lesion_mask", "jacobian", "regions"):
        images.write(layout.path(out, kind, PATIENT, **place), getattr(scan, kind))
    columns = ("index", "region", "voxel_share", "relevance_share", "volume_share", "enrichment", "occlusion_delta")
    rows = [
        {
            "index": region.index,
            "region": region.name,
            "voxel_share": share.voxel_share,
            "relevance_share": share.relevance_share,
            "volume_share": share.volume_share,
            "enrichment": share.enrichment,
            "occlusion_delta": share.occlusion,
        }
        for region, share in zip(REGIONS, page.regions, strict=True)
    ]
    tables.write(layout.path(out, "prediction_regions"), rows, columns)
    tables.write_json(
        layout.path(out, "prediction"),
        {
            "classes": page.model.classes,
            "predicted": page.predicted,
            "probability": page.probability,
            **dict(zip(("probability_min", "probability_max", "probability_sd"), page.spread, strict=True)),
            "vote_share": page.vote_share,
            "fold_probabilities": page.fold_probabilities,
            "explained_class": page.target,
            "rule": explanation.rule,
            "covariates": page.covariates,
            "volumes_ml": scan.volumes_ml,
            "quality": scan.quality,
            "flags": scan.flags,
            "steps": scan.steps,
            "outside_training_scans": _novelty(page),
            "trained_on_simulated_patients": page.model.simulated,
            "model_fingerprint": page.model.fingerprint,
            "note": "research only; not a medical device",
            "version": __version__,
        },
    )


def _novelty(page: PatientPage) -> dict[str, object]:
    novelty, training = page.novelty, page.model.training_range
    return {
        "outside": novelty.is_outside,
        "warnings": warnings(novelty, training.n_patients),
        "squared_distance": novelty.squared_distance,
        "squared_limit": novelty.squared_limit,
        "share_of_training_patients_warned_of": training.false_alarms,
        "measures": [
            {
                "measure": found.range.name,
                "value": found.value,
                "outside": found.is_outside,
                "spreads_from_median": found.distance,
                "limit": found.limit,
                "squared_distance_without": found.squared_without,
                "percentile_between": found.range.percentile(found.value),
                "training": {key: getattr(found.range, key) for key in ("mean", "sd", "levels", "quantiles")},
            }
            for found in novelty.measures
        ],
    }
