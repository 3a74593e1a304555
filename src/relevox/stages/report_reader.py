"""Part of the report stage: files of a study, read as text and checked, with their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from relevox.records import ScanId
from relevox.statistics.evaluation.tables import COLUMNS
from relevox.store import acquisition, layout, provenance, tables

_WORDS = {
    *("model", "against", "level", "test", "measure", "probability", "subset", "confound", "factor", "scanner"),
    *("training", "scans_used", "promise", "levels", "note"),
    *("cnn_minus_model_accuracy_test", "cnn_minus_model_auc_test"),
}
"""Columns of the evaluation's tables that are words; a conformal set's fold may be ``all``."""

EVALUATION = tuple(kind for kind in COLUMNS if kind not in ("scores", "comparisons", "calibration"))
"""Tables of the evaluation that are read together."""

NUMBERS = {
    "flow": ("scans_removed", "scans_left", "patients_left"),
    "scores": tables.SCORE_NUMBERS,
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
    "checks_summary": tables.CHECK_NUMBERS,
    "quality": (),
    "leak_audit": ("patients", "scans", "shared"),
} | {kind: tuple(name for name in COLUMNS[kind] if name not in _WORDS and name != "fold") for kind in EVALUATION}
"""Columns that are read as numbers."""


class Reader:
    """Reads files of a study and remembers their hashes: what the report was made from."""

    def __init__(self, study: Path, root: Path | None = None, read: dict[str, str] | None = None) -> None:
        self.study, self.root = study, root or study
        self.read: dict[str, str] = {} if read is None else read

    def below(self, folder: Path) -> Reader:
        """Return a reader of a study inside this one; what it reads counts here."""
        return Reader(folder, self.root, self.read)

    def file(self, kind: str, scan: ScanId | None = None, **entities: object) -> Path:
        """Return a file that must be there."""
        return self._noted(layout.existing(self.study, kind, scan, **entities))

    def optional(self, kind: str, scan: ScanId | None = None, **entities: object) -> Path | None:
        """Return a file, or None where there is none."""
        path = layout.path(self.study, kind, scan, **entities)
        return self._noted(path) if path.exists() else None

    def rows(self, kind: str, scan: ScanId | None = None, **entities: object) -> list[dict[str, object]]:
        """Read a table that must be there; its numbers are numbers."""
        return _numeric(self.file(kind, scan, **entities), NUMBERS[kind])

    def numbers(self, kind: str, columns: Sequence[str]) -> list[dict[str, object]]:
        """Read a table whose numbers stand in other columns than the study's own."""
        return _numeric(self.file(kind), columns)

    def optional_rows(self, kind: str, scan: ScanId | None = None) -> list[dict[str, object]]:
        """Read a table, or nothing where there is none."""
        path = self.optional(kind, scan)
        return [] if path is None else _numeric(path, NUMBERS[kind])

    def _noted(self, path: Path) -> Path:
        self.read[path.relative_to(self.root).as_posix()] = provenance.sha256(path)
        return path


def _numeric(path: Path, columns: Sequence[str]) -> list[dict[str, object]]:
    return [
        dict(row) | {column: tables.number(row, column, path.name, n) for column in columns}
        for n, row in enumerate(tables.read(path, columns), start=1)
    ]
