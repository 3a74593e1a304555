"""Share the models of a study: a bundle without a patient in it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from relevox.errors import EngineError, StudyError
from relevox.learning import onnx
from relevox.learning.network import count_parameters
from relevox.report.model_card import model_card
from relevox.report.results import ModelCard
from relevox.store import bundle, layout, shared_model, tables
from relevox.store.shared_model import SharedModel

logger = logging.getLogger("relevox")


def run(study: Path, folder: Path, with_onnx: bool = False) -> Path:
    """Write the models of a study as a bundle.

    1. Read the models of all folds and verify them; describe the training cohort in counts and moments.
    2. Write weights, mean scan, ``model.json`` and the model card; ONNX where asked, checked against torch.
    3. Search every byte for patients' ids and the study's path, and read the bundle back.
    4. Give it its name: until then there is none.

    Parameters
    ----------
    study : Path
        A finished study folder; not changed.
    folder : Path
        The bundle: new, or an empty folder.
    with_onnx : bool
        Write ``fold-*.onnx`` too.

    Returns
    -------
    Path
        The bundle.

    Raises
    ------
    StudyError
        When the study is not finished, or the folder holds something.
    ModelError
        When a model cannot be trusted, or something would leave that must not.
    SettingsError, EngineError
        When ONNX is not installed, or answers otherwise than torch.
    """
    study, folder = Path(study), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StudyError(
            "expected a new or empty folder for the bundle, but something is there",
            code="bundle-exists",
            file=folder.name,
            remedy="choose another folder, or remove this one",
        )
    if with_onnx:
        onnx.check_installed()
    model = shared_model.of_study(study)
    files, difference = _onnx(model) if with_onnx else ({}, None)
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        bundle.write(unfinished, model, model_card(_card(model), difference), files)
        bundle.refuse_traces(unfinished, tables.read_cohort(study), study)
        bundle.read(unfinished)
        os.replace(unfinished, folder)
    except OSError as error:
        raise StudyError(
            f"the bundle could not be written: {error.strerror or error}", code="write-failed", file=folder.name
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    logger.info("export: %d models, fingerprint %s", len(model.networks), model.fingerprint)
    logger.info("export: read %s before you share it", layout.PATTERNS["bundle_text"])
    return folder


def _card(model: SharedModel) -> ModelCard:
    return ModelCard(
        settings=model.settings,
        cohort=model.cohort,
        scores=model.scores,
        training_range=model.training_range,
        map_checks=model.map_checks,
        n_models=len(model.networks),
        n_parameters=count_parameters(model.networks[0]),
        version=model.cards[0].version,
        fingerprint=model.fingerprint,
    )


def _onnx(model: SharedModel) -> tuple[Mapping[int, bytes], float]:
    """All networks as ONNX, and the largest difference from torch: on the mean scan, its mirror and noise."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that are not needed
    mean = model.mean_scan
    noise = np.random.default_rng(0).normal(size=mean.shape).astype(np.float32)
    scans = np.stack([mean, mean[:, ::-1], mean + noise * (mean != 0), noise, np.zeros_like(mean)])
    n_covariates = len(model.settings.training.covariates)
    told = np.array([np.nan, 0, 1, 30, 50])[:, None].repeat(n_covariates, axis=1) if n_covariates else None
    files, worst = {}, 0.0
    for card, network in zip(model.cards, model.networks, strict=True):
        files[card.fold] = onnx.to_onnx(network, mean.shape, n_covariates)
        found = [
            onnx.largest_difference(network, files[card.fold], scans[:n], None if told is None else told[:n])
            for n in (1, 3, 5)
        ]
        logger.info("export: fold-%d.onnx differs from torch by at most %.1e", card.fold, max(found))
        worst = max(worst, *found)
    if not worst <= onnx.TOLERANCE:
        raise EngineError(
            f"the ONNX files answer otherwise than torch: difference {worst:.1e}, at most {onnx.TOLERANCE:.0e} allowed",
            code="onnx-differs",
            remedy="share the bundle without them",
        )
    return files, worst
