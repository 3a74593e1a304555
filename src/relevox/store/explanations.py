"""What the stages that explain and analyse share of the study folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relevox.errors import StudyError
from relevox.records import Cohort, Prediction, ScanId
from relevox.store import images, layout, tables


def cnn_predictions(study: Path, cohort: Cohort) -> dict[ScanId, Prediction]:
    """Return the network's out-of-fold prediction of every scan.

    Raises
    ------
    StudyError
        When one is missing, or was made by the model of another fold than ``folds.tsv`` says.
    """
    made = {p.id: p for p in tables.read_predictions(study) if p.model == "cnn"}
    for scan, fold in zip(cohort.ids, tables.read_folds(study, cohort), strict=True):
        if scan not in made or made[scan].fold != fold:
            raise StudyError(
                f"expected a prediction of {scan} by the network of fold {fold}, but got none",
                code="study-stale",
                file=layout.path(study, "predictions", cohort="cohort").relative_to(study),
                remedy="run evaluate again",
            )
    return {scan: made[scan] for scan in cohort.ids}


def target_class(prediction: Prediction, target: str) -> int:
    """Return the explained class of a scan.

    Examples
    --------
    >>> target_class(Prediction(ScanId("sub-1"), "cnn", 0, label=0, probability=0.9), "predicted")
    1
    """
    return {"predicted": prediction.predicted, "true": prediction.label, "positive": 1, "negative": 0}[target]


def read_on_grid(root: Path, kind: str, scan: ScanId, shape: tuple[int, ...], **entities: object) -> np.ndarray:
    """Read an image of a scan, ``(x, y, z)`` float32, that must lie on the study's grid.

    Parameters
    ----------
    root : Path
        The study folder, or the folder of derivatives that holds the file.
    kind : str
        A key of ``layout.PATTERNS``.
    scan : ScanId
        Which scan.
    shape : tuple of int
        Of the study's grid.
    **entities
        Of the file name.

    Raises
    ------
    StudyError
        When it is missing or of another shape.
    """
    return on_grid(layout.existing(root, kind, scan, **entities), root, shape)


def on_grid(file: Path, root: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an image below ``root`` that must lie on the study's grid; see :func:`read_on_grid`."""
    data = images.read(file).data
    if data.shape != tuple(shape):
        raise StudyError(
            f"expected {tuple(shape)} voxels, but got {data.shape}",
            code="study-stale",
            file=file.relative_to(root),
            remedy="run the stage that made it again with the study's settings",
        )
    return data
