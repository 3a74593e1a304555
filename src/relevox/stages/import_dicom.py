"""DICOM folders to a BIDS data set of T1w and FLAIR images, under pseudonyms.

dcm2niix converts into a private folder that is gone afterwards; only images with a fresh header and the fields of
``store.series.KEPT`` leave it. Names and dates stay in the table of pseudonyms, outside the data set.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relevox.engines import dcm2niix
from relevox.errors import CohortError, InputError, Problems, RelevoxError, StudyError, TableError
from relevox.records import ScanId
from relevox.store import images, tables
from relevox.store.atomic import write_text
from relevox.store.series import SUFFIXES, Series, without_identity

logger = logging.getLogger("relevox")

TIMEOUT_S = 24 * 3600
"""For all of a hospital's folder at once."""

_IDS = ("patient_id", "study_uid", "study_date", "participant_id", "session_id")


def run(dicom: Path, bids: Path, ids: Path, chosen: Path | None = None) -> list[ScanId]:
    """Import a folder.

    1. Convert every series into a private folder.
    2. Give patients and examinations their pseudonyms: those of the table, and new ones for new patients.
    3. Find the T1w and the FLAIR of each examination; where that is not clear, list all such examinations and stop.
    4. Write each session whole or not at all; what is there already is left as it is.

    Parameters
    ----------
    dicom : Path
        Folder with DICOM files at any depth; never written to.
    bids : Path
        The data set: new, or one to be added to.
    ids : Path
        Table of pseudonyms (tab-separated): ``patient_id``, ``study_uid``, ``study_date``, ``participant_id``,
        ``session_id``. Read where it is there, extended by new patients and examinations. It identifies people: it
        must not lie inside the data set.
    chosen : Path, optional
        Table with ``participant_id``, ``session_id``, ``series``, ``suffix`` (T1w or FLAIR): what a person chose
        where it was not clear.

    Returns
    -------
    list of ScanId
        Sessions that were written.

    Raises
    ------
    EngineError
        Without dcm2niix, or when it fails.
    Problems, InputError
        For examinations in which an image is missing or cannot be chosen; nothing is written then.
    """
    dicom, bids, ids = (Path(path).resolve() for path in (dicom, bids, ids))
    if not dicom.is_dir():
        raise InputError("expected a folder of DICOM files, but none is there", code="dicom-missing", file=dicom.name)
    if ids.is_relative_to(bids):
        raise InputError(
            "the table of pseudonyms must not lie inside the data set: it names the patients",
            code="ids-inside",
            file=ids.name,
            remedy="give a file in a folder that only you can read",
        )
    dcm2niix.PROGRAM.require()
    with tempfile.TemporaryDirectory(prefix="relevox-") as name:  # only its owner can read it
        found = _series(dcm2niix.convert(dicom, Path(name), TIMEOUT_S))
        if not found:
            raise CohortError("no DICOM series was found", code="no-scans", file=dicom.name)
        sessions = _pseudonyms(found, ids)
        by_hand = _chosen(chosen)
        plan, problems = {}, []
        for scan, series in sorted(sessions.items()):
            try:
                pair = _pair(scan, series, by_hand)
            except RelevoxError as error:
                problems.append(error)
                continue
            if pair is None:
                logger.warning("import: %s has neither T1w nor FLAIR and is passed over", scan)
            else:
                plan[scan] = pair
        if problems:
            raise problems[0] if len(problems) == 1 else Problems(problems)
        _describe(bids)
        return [scan for scan, pair in plan.items() if _write(bids, scan, pair)]


def _series(sidecars: Sequence[Path]) -> list[Series]:
    found = []
    for path in sidecars:
        image = path.with_suffix(".nii.gz")
        if image.is_file():
            found.append(Series(image, tables.read_json(path), images.shape(image)))
    return found


def _pseudonyms(found: Sequence[Series], ids: Path) -> dict[ScanId, list[Series]]:
    """Sort series by session, after giving new patients and examinations a pseudonym."""
    examinations: dict[tuple[str, str], list[Series]] = {}
    for series in found:
        patient = str(series.sidecar.get("PatientID", "")).strip()
        study = str(series.sidecar.get("StudyInstanceUID", "")).strip()
        if not patient or not study:
            raise InputError(
                "expected every series to name its patient and examination (PatientID, StudyInstanceUID), but one does "
                "not",
                code="dicom-identity",
                remedy="export the folder again, or import it patient by patient from pseudonymised files",
            )
        examinations.setdefault((patient, study), []).append(series)

    rows = tables.read(ids, _IDS) if ids.exists() else []
    names = _read_ids(rows, ids)
    # a hash, so that neither names nor the order of admission can be told from the numbers
    new = sorted(set(examinations) - set(names), key=lambda key: hashlib.sha256(key[0].encode()).hexdigest())
    participants = {patient: scan.participant for (patient, _), scan in names.items()}
    for patient, _ in new:
        if patient not in participants:
            participants[patient] = f"sub-{_next(participants.values(), 'sub'):03d}"
    dates = {key: _date(series) for key, series in examinations.items()}
    for key in sorted(new, key=lambda key: (participants[key[0]], dates[key], key[1])):
        own = [scan.session for (patient, _), scan in names.items() if patient == key[0]]
        names[key] = ScanId(participants[key[0]], f"ses-{_next(own, 'ses'):02d}")
        scan = names[key]
        rows.append(dict(zip(_IDS, (*key, dates[key], scan.participant, scan.session), strict=True)))
    if new:
        tables.write(ids, rows, _IDS)
        os.chmod(ids, 0o600)
    return {names[key]: series for key, series in examinations.items()}


def _read_ids(rows: Sequence[Mapping[str, str]], file: Path) -> dict[tuple[str, str], ScanId]:
    names: dict[tuple[str, str], ScanId] = {}
    for number, row in enumerate(rows, start=1):
        scan = tables.identity(row, file.name, number)
        if scan in names.values() or (row["patient_id"], row["study_uid"]) in names:
            raise TableError(
                f"{scan} or its examination stands here twice", code="ids-repeated", file=file.name, row=number
            )
        names[row["patient_id"], row["study_uid"]] = scan
    return names


def _next(labels, prefix: str) -> int:
    numbers = [int(match.group(1)) for label in labels if (match := re.fullmatch(rf"{prefix}-0*(\d+)", label))]
    return max(numbers, default=0) + 1


def _date(series: Sequence[Series]) -> str:
    return min(str(s.sidecar.get("AcquisitionDateTime", ""))[:10] for s in series) or tables.MISSING


def _chosen(file: Path | None) -> dict[tuple[ScanId, str], int]:
    if file is None:
        return {}
    chosen = {}
    for number, row in enumerate(tables.read(file, ("participant_id", "series", "suffix")), start=1):
        if row["suffix"] not in SUFFIXES or not row["series"].isdigit():
            raise TableError(
                f"expected the number of a series and T1w or FLAIR, but got {row['series']!r} and {row['suffix']!r}",
                code="series-invalid",
                file=file.name,
                row=number,
            )
        chosen[tables.identity(row, file.name, number), row["suffix"]] = int(row["series"])
    return chosen


def _pair(scan: ScanId, series: Sequence[Series], by_hand: Mapping) -> dict[str, Series] | None:
    """Choose the two images; None for an examination of something else."""
    candidates = {suffix: [s for s in series if s.suffix() == suffix] for suffix in SUFFIXES}
    if not any(candidates.values()) and not any((scan, suffix) in by_hand for suffix in SUFFIXES):
        return None
    pair = {}
    for suffix in SUFFIXES:
        if (scan, suffix) in by_hand:
            possible = [s for s in series if s.number == by_hand[scan, suffix]]
        else:
            possible = [s for s in candidates[suffix] if suffix == "FLAIR" or not s.is_after_contrast()]
        if len(possible) != 1:
            raise _unclear(scan, suffix, possible, series)
        pair[suffix] = possible[0]
    return pair


def _unclear(scan: ScanId, suffix: str, possible: Sequence[Series], series: Sequence[Series]) -> InputError:
    what = f"{len(possible)} series could be it" if possible else "none looks like it"
    listed = "; ".join(s.describe() for s in sorted(possible or series, key=lambda s: s.number))
    return InputError(
        f"{scan}: expected one {suffix} image, but {what}: {listed}",
        code="series-ambiguous" if possible else "series-missing",
        remedy="name it in a table (participant_id, session_id, series, suffix) and give that by --series, or take the "
        "examination out of the folder",
    )


def _write(bids: Path, scan: ScanId, pair: Mapping[str, Series]) -> bool:
    """Write a session in a folder beside its place, and move it there when it is whole."""
    place = bids / scan.participant / scan.session
    if place.exists():
        logger.info("import: %s is there already and is left as it is", scan)
        return False
    part = bids / f".{scan.key}.{os.getpid()}.part"
    try:
        for suffix, series in pair.items():
            volume = images.read(series.image)
            whole = np.array_equal(volume.data, np.rint(volume.data)) and np.abs(volume.data).max() < 2**15
            path = images.write(
                part / "anat" / f"{scan.key}_{suffix}.nii.gz", volume, dtype=np.int16 if whole else np.float32
            )
            tables.write_json(path.with_name(f"{scan.key}_{suffix}.json"), without_identity(series.sidecar))
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(part, place)
    except OSError as error:
        raise StudyError(f"could not be written: {error.strerror}", code="write-failed", file=scan.key) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    logger.info("import: %s: %s", scan, ", ".join(f"{suffix} = series {s.number}" for suffix, s in pair.items()))
    return True


def _describe(bids: Path) -> None:
    file = bids / "dataset_description.json"
    if not file.exists():
        tables.write_json(file, {"Name": "imported from DICOM", "BIDSVersion": "1.10.0", "DatasetType": "raw"})
    ignore = bids / ".bidsignore"
    if not ignore.exists():
        write_text(ignore, ".*.part/\n")
