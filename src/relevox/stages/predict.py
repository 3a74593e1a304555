"""One new patient: preprocess, vote, explain, one page."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from relevox import __version__, config
from relevox.attribution import attribute, mean_scan, occlude_regions
from relevox.config import Settings
from relevox.engines import chain
from relevox.engines.chain import Preprocessed
from relevox.errors import ImageError
from relevox.imaging import brain_network
from relevox.imaging.regions import REGIONS
from relevox.learning import ensemble
from relevox.records import ScanId, Volume
from relevox.report.patient import patient_page
from relevox.report.results import ModelCard, PatientPage, RegionShare, class_names
from relevox.statistics.regions import RegionTable
from relevox.store import images, layout, models, provenance, tables, template
from relevox.store.atomic import write_text

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


def run(model: Path, t1w: Path, flair: Path, out: Path, threads: int = 1) -> Path:
    """Predict and explain one patient from raw images.

    1. Read the models of all folds and verify them.
    2. Bring T1w and FLAIR to the template, as the study did.
    3. Let the models vote (paper 2.5).
    4. Explain the answer: relevance of all models, region occlusion, region table.
    5. Write probability, maps, regions and one page.

    Parameters
    ----------
    model : Path
        A study folder with trained models.
    t1w, flair : Path
        Raw images of one session.
    out : Path
        Folder for the outputs.
    threads : int
        For registration and network.

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
    settings = config.from_toml(layout.existing(model, "settings").read_text(encoding="utf-8"), file="study.toml")
    networks = models.load_all(model, settings)
    raw = images.read(t1w), images.read(flair)
    if provenance.sha256(t1w) == provenance.sha256(flair):
        raise ImageError("T1w and FLAIR are the same file", code="same-image", file=flair, remedy="give both images")
    torch.set_num_threads(threads)
    logger.info("predict: preprocessing (a few minutes)")
    head = template.full(settings.preprocessing.periventricular_mm)
    scan = chain.to_template(*raw, head, settings.preprocessing, network=brain_network.load(), threads=threads)

    inputs = np.stack([scan.t1w.data, scan.flair.data])[None].astype(np.float16)  # (1, 2, x, y, z)
    answers = np.array([ensemble.predict(network, inputs, device="cpu") for network in networks])  # (models, 1)
    vote = ensemble.vote(answers)
    target = int(vote.predicted[0])
    logger.info("predict: %d of %d models answer class 1", round(vote.share[0] * len(networks)), len(networks))
    explanation = explain(model, networks, inputs, scan, settings, target)

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
        model=_model_card(model, settings),
        method="lrp",
        target=target,
        percentile=settings.analysis.percentile,
        volumes_ml=scan.volumes_ml,
        quality_status="flagged" if scan.flags else "ok",
        quality_flags=scan.flags,
        steps=scan.steps,
        versions=provenance.versions(),
    )
    _write(out, settings, page, scan, explanation)
    return write_text(layout.path(out, "prediction_page"), patient_page(page, __version__))


def explain(
    model: Path,
    networks: list[torch.nn.Module],
    inputs: np.ndarray,
    scan: Preprocessed,
    settings: Settings,
    target: int,
) -> Explanation:
    """Explain the answer by every model and average: maps of different models have different scales."""
    x = torch.from_numpy(inputs.astype(np.float32))
    labels = torch.from_numpy(scan.regions.data.astype(np.int64))
    cohort = np.load(layout.existing(model, "inputs"), mmap_mode="r")
    baseline = torch.from_numpy(mean_scan(cohort, np.arange(len(cohort))))
    indices = [region.index for region in REGIONS]
    maps, deltas, rule = [], [], ""
    for network in networks:
        result = attribute(network, x, target, "lrp", start=settings.attribution.lrp_start)
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


def _model_card(model: Path, settings: Settings) -> ModelCard:
    about = tables.read_json(layout.existing(model, "cohort_card"))
    _, card = models.load(model, 0)
    scores = [
        row | {name: tables.number(row, name) for name in ("value", "ci_low", "ci_high", "fold_mean", "fold_sd", "n")}
        for row in tables.read(layout.existing(model, "scores"))
    ]
    return ModelCard(
        classes=class_names(settings.cohort),
        n_scans=int(about["n_scans"]),
        n_patients=int(about["n_patients"]),
        simulated=bool(about["simulated"]),
        scores=scores,
        scanners=tuple(about["scanners"]),
        version=card.version,
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
            "vote_share": page.vote_share,
            "fold_probabilities": page.fold_probabilities,
            "explained_class": page.target,
            "rule": explanation.rule,
            "volumes_ml": scan.volumes_ml,
            "quality": scan.quality,
            "flags": scan.flags,
            "steps": scan.steps,
            "seconds": scan.seconds,
            "trained_on_simulated_patients": page.model.simulated,
            "note": "research only; not a medical device",
            "version": __version__,
        },
    )
