"""The truth of a simulated cohort, as the benchmark reads it: masks and counterfactual images, one a cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relevox.errors import StudyError
from relevox.records import Cohort, ScanId
from relevox.store import explanations, layout, tables

TRUTH, SIMULATED = "derivatives/truth", "derivatives/simulated"
"""Where a simulated data set keeps its causes, which no other stage reads, and its images."""

LESIONS = ("periventricular_lesions", "other_lesions")
"""Always scored: they are in every map, whether they drive the label or not."""


@dataclass(frozen=True)
class Target:
    """One cause, and where it is."""

    cause: str
    """Name."""
    weight: float
    """In the score; 0 for what is no cause."""
    role: str
    """``causal``, ``associated`` or ``unrelated``."""
    file: str
    """Kind of image that holds its mask."""
    labels: tuple[int, ...]
    """Values of the mask in that image."""
    single: bool
    """One kind of lesion or one region, not a sum of several."""


@dataclass(frozen=True)
class Truth:
    """What a simulated data set knows of itself."""

    bids: Path
    """The data set."""
    card: Mapping[str, object]
    """``truth.json``."""
    targets: tuple[Target, ...]
    """Those that are scored: lesions of either kind, and every cause that drives the label or goes along with it."""
    space: str
    """Of the images."""

    @property
    def folder(self) -> Path:
        """Of the truth."""
        return self.bids / TRUTH

    def masks(self, scan: ScanId, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return the mask of every target in one scan, ``(x, y, z)`` bool."""
        images: dict[str, np.ndarray] = {}
        for target in self.targets:
            if target.file not in images:
                found = explanations.read_on_grid(self.folder, target.file, scan, shape, space=self.space)
                images[target.file] = np.rint(found)
        return {target.cause: np.isin(images[target.file], target.labels) for target in self.targets}

    def changed(self, scan: ScanId, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the scan with each cause alone changed, on the scale of the network's input.

        Parameters
        ----------
        scan : ScanId
            Which one; empty where it has no counterfactual images.
        x : ndarray, (2, x, y, z)
            Its input.
        """
        shape, changed = x.shape[1:], {}
        place = {"space": self.space}
        for cause in self.card.get("counterfactuals") or {}:
            entities = [place | {"desc": f"changed_{cause}", "suffix": suffix} for suffix in ("T1w", "FLAIR")]
            if not layout.path(self.folder, "counterfactual", scan, **entities[0]).exists():
                continue
            pair = [
                explanations.read_on_grid(self.folder, "counterfactual", scan, shape, **entity) for entity in entities
            ]
            before = [
                explanations.read_on_grid(self.bids / SIMULATED, kind, scan, shape, **place)
                for kind in ("t1w", "flair")
            ]
            changed[cause] = np.stack([_on_scale(x[c], before[c], pair[c]) for c in range(2)])
        return changed


def read_truth(bids: Path, space: str) -> Truth:
    """Read what a simulated data set knows of itself.

    Raises
    ------
    StudyError
        When it is not a simulated one, or one of an older version.
    """
    bids = Path(bids)
    file = layout.path(bids / TRUTH, "truth")
    if not file.exists():
        raise StudyError(
            "expected a simulated data set, but it has no known causes",
            code="truth-missing",
            file=f"{TRUTH}/{layout.PATTERNS['truth']}",
            remedy="for data of your own: relevox benchmark OUT --plant blob",
        )
    card = tables.read_json(file)
    if "targets" not in card:
        raise StudyError(
            "expected the masks of every cause, but this data set was simulated by an older version",
            code="truth-older",
            file=file.name,
            remedy="simulate it again",
        )
    scored = []
    for entry in card["targets"]:
        target = Target(
            entry["cause"],
            entry["weight"],
            entry["role"],
            entry["file"],
            tuple(entry["labels"]),
            len(entry["labels"]) == 1,
        )
        named = target.cause in card["causes"]
        if target.cause in LESIONS or named or (target.single and target.role != "unrelated"):
            scored.append(target)
    return Truth(bids, card, tuple(scored), space)


def read_causes(truth: Truth, cohort: Cohort) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return every single cause as it was measured, ``(n,)`` each, and the scanner of each scan.

    Raises
    ------
    StudyError
        When a scan of the study is not in the truth.
    """
    file = layout.existing(truth.folder, "truth_table")
    single = [entry["cause"] for entry in truth.card["targets"] if len(entry["labels"]) == 1]
    columns = [f"cause_{name}" for name in single]
    known, scanner = {}, {}
    for n, row in enumerate(tables.read(file, (*columns, "scanner")), start=1):
        scan = tables.identity(row, file, n)
        known[scan] = [tables.number(row, column, file, n) for column in columns]
        scanner[scan] = row["scanner"]
    missing = [scan for scan in cohort.ids if scan not in known]
    if missing:
        raise StudyError(
            f"expected the causes of {missing[0]}, but the truth is of other scans",
            code="truth-other",
            file=file.name,
            remedy="give the data set this study was made from",
        )
    values = np.array([known[scan] for scan in cohort.ids]).T
    return dict(zip(single, values, strict=True)), [scanner[scan] for scan in cohort.ids]


def _on_scale(x: np.ndarray, before: np.ndarray, changed: np.ndarray) -> np.ndarray:
    """Normalise a changed image as the scan itself was: the line from its raw to its normalised voxels."""
    brain = x != 0
    raw = before[brain].astype(np.float64)
    slope, offset = np.polyfit(raw, x[brain].astype(np.float64), 1) if np.ptp(raw) > 0 else (0.0, 0.0)
    return np.where(brain, np.maximum(slope * changed + offset, 0), 0).astype(np.float32)
