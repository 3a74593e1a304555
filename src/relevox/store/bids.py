"""Raw BIDS in: which scans there are, and what was already computed from them.

A light indexer of our own: it looks for the two images the study needs and
for the derivatives it can use, and lists everything that is wrong at once.
"""

from __future__ import annotations

import re
from pathlib import Path

from relevox.errors import CohortError, InputError, Problems, RelevoxError
from relevox.records import Scan, ScanId
from relevox.store import layout, tables

SPACE_KINDS = {
    "space_t1w": "t1w",
    "space_flair": "flair",
    "space_brain_mask": "brain_mask",
    "space_lesion_mask": "lesion_mask",
    "space_jacobian": "jacobian",
    "space_regions": "regions",
    "measures": "measures",
}
"""Derivatives in template space: a study folder's own names (``layout.PATTERNS``)."""

NATIVE_KINDS = {
    "brain_mask": ("{key}_desc-brain_mask.nii.gz", "{key}_space-T1w_desc-brain_mask.nii.gz"),
    "lesion_mask": ("{key}_label-lesion_mask.nii.gz", "{key}_space-T1w_label-lesion_mask.nii.gz"),
    "parcellation": ("{key}_desc-aparcaseg_dseg.nii.gz", "{key}_space-T1w_desc-aparcaseg_dseg.nii.gz"),
}
"""Derivatives in the space of the raw T1w, by the file names under which they are found."""

DERIVATIVES = (*SPACE_KINDS, *NATIVE_KINDS)
"""Every kind of derivative a scan can bring along."""

_LABEL = re.compile(r"(sub|ses)-[A-Za-z0-9]+")


def index(bids: str | Path, space: str, incomplete: bool = False) -> list[Scan]:
    """Find the scans of a data set.

    Parameters
    ----------
    bids : path-like
        Root of a BIDS data set: ``sub-*/[ses-*/]anat/*_T1w.nii.gz`` and ``*_FLAIR.nii.gz``, and
        derivatives under ``derivatives/*/``.
    space : str
        Template whose derivatives can be used.
    incomplete : bool
        Return sessions that lack one of the images too, instead of raising.

    Returns
    -------
    list of Scan
        Sorted; a scan has two raw images, or both images in template space.

    Raises
    ------
    Problems, InputError, CohortError
        For a folder that is not there or holds no scan, ids that are not BIDS labels, and sessions in which
        one image is missing or there are several to choose from.
    """
    bids = Path(bids)
    if not bids.is_dir():
        raise InputError("expected a BIDS folder, but none is there", code="bids-missing", file=bids.name)
    problems: list[RelevoxError] = []
    pipelines = sorted(p for p in (bids / "derivatives").glob("*") if p.is_dir())
    found = sorted({scan for root in (bids, *pipelines) for scan in _sessions(root, problems)})
    scans = []
    for scan in found:
        derivatives = _derivatives(pipelines, scan, space)
        in_space = {"space_t1w", "space_flair"} <= derivatives.keys()
        raw = {suffix: _raw(bids, scan, suffix, problems) for suffix in ("T1w", "FLAIR")}
        if not in_space and not any(raw.values()):
            continue  # a session without these images is no scan of this study
        if not in_space and not all(raw.values()) and not incomplete:
            problems.append(missing_image(Scan(scan, raw["T1w"], raw["FLAIR"])))
            continue
        scans.append(Scan(scan, raw["T1w"], raw["FLAIR"], derivatives))
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    if not scans:
        raise CohortError(
            "no scan was found",
            code="no-scans",
            file=bids.name,
            remedy="expected sub-*/[ses-*/]anat/*_T1w.nii.gz and *_FLAIR.nii.gz",
        )
    return scans


def missing_image(scan: Scan) -> InputError:
    """Build the error for a session that lacks one of its two images."""
    missing = "T1w" if scan.t1w is None else "FLAIR"
    return InputError(
        f"{scan.id}: the {missing} image is missing",
        code=f"{missing.lower()}-missing",
        file=_folder(Path(), scan.id) / "anat",
        remedy=f"add {scan.id.key}_{missing}.nii.gz, or leave this session out",
    )


def is_simulated(bids: str | Path) -> bool:
    """Tell whether a data set says of itself that its patients do not exist."""
    file = Path(bids) / "dataset_description.json"
    if not file.is_file():
        return False
    makers = tables.read_json(file).get("GeneratedBy", [])
    return any(m.get("Name") == "relevox" and "simulated" in m.get("Description", "") for m in makers)


def _sessions(root: Path, problems: list[RelevoxError]) -> list[ScanId]:
    sessions = []
    for subject in sorted(p for p in root.glob("sub-*") if p.is_dir()):
        folders = sorted(p for p in subject.glob("ses-*") if p.is_dir())
        for folder in folders or [subject]:
            names = [subject.name] + ([folder.name] if folders else [])
            wrong = [name for name in names if not _LABEL.fullmatch(name)]
            if wrong:
                problems.append(
                    InputError(
                        f"expected letters and digits after the prefix, but got {wrong[0]!r}",
                        code="id-invalid",
                        file=folder.relative_to(root),
                        remedy="rename the folder and its files",
                    )
                )
                continue
            sessions.append(ScanId(*names))
    return sessions


def _raw(bids: Path, scan: ScanId, suffix: str, problems: list[RelevoxError]) -> Path | None:
    candidates = sorted((_folder(bids, scan) / "anat").glob(f"{scan.key}*_{suffix}.nii*"))
    candidates = [p for p in candidates if p.name.endswith((".nii", ".nii.gz"))]
    if len(candidates) > 1:
        problems.append(
            InputError(
                f"{scan}: expected one {suffix} image, but got {', '.join(p.name for p in candidates)}",
                code=f"{suffix.lower()}-several",
                file=_folder(Path(), scan) / "anat",
                remedy="keep the one that the study shall use",
            )
        )
    return candidates[0] if candidates else None


def _derivatives(pipelines: list[Path], scan: ScanId, space: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for pipeline in pipelines:
        candidates = {kind: [layout.path(pipeline, name, scan, space=space)] for kind, name in SPACE_KINDS.items()}
        candidates |= {
            kind: [_folder(pipeline, scan) / "anat" / name.format(key=scan.key) for name in names]
            for kind, names in NATIVE_KINDS.items()
        }
        for kind, paths in candidates.items():
            for path in paths:
                if path.is_file():
                    found.setdefault(kind, path)
    return found


def _folder(root: Path, scan: ScanId) -> Path:
    return root / scan.participant / scan.session if scan.session else root / scan.participant
