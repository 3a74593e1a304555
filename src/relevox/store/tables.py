"""Tables and records: TSV and JSON, read as text, checked, written whole.

Text stays text (``001``, ``1E5`` and ``nan`` are ids, not numbers), missing
values are ``n/a`` as in BIDS, and a bad row is named by its number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relevox.errors import StudyError, TableError
from relevox.records import Ballot, Cohort, Observation, Prediction, ScanId
from relevox.store import layout
from relevox.store.atomic import write_text

MISSING = "n/a"
SCORE_NUMBERS = ("value", "ci_low", "ci_high", "fold_mean", "fold_sd", "n")
"""Columns of ``scores.tsv`` that are numbers."""

CHECK_NUMBERS = ("position", "value", "ci_low", "ci_high", "n_scans", "n_patients")
"""Columns of ``checks_summary.tsv`` that are numbers."""

VOLUME_NAMES = (
    "white_matter",
    "grey_matter",
    "lateral_ventricles",
    "brainstem_cerebellum",
    "intracranial",
    "lesions",
)
"""The six volumes of the logistic regression (SPEC 4), in millilitres."""

_ID = re.compile(r"(sub|ses)-[A-Za-z0-9]+")


def read(path: str | Path, required: Sequence[str] = ()) -> list[dict[str, str]]:
    """Read a tab-separated table as text.

    Parameters
    ----------
    path : path-like
        UTF-8 (a byte-order mark is fine), any line end.
    required : sequence of str
        Columns that must be there.

    Returns
    -------
    list of dict
        One a row; values are stripped text.

    Raises
    ------
    TableError
        For unreadable text, repeated or missing columns, ragged rows, no rows.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise TableError("expected a table, but no file is there", code="table-missing", file=path) from None
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(
            f"expected UTF-8 text, but got: {error}",
            code="table-encoding",
            file=path,
            remedy="save the table as UTF-8 text with tabs",
        ) from None
    lines = [line for line in text.splitlines() if line.strip()]
    header = [name.strip() for name in lines[0].split("\t")] if lines else []
    missing = [name for name in required if name not in header]
    if missing and len(header) == 1 and ("," in header[0] or ";" in header[0]):
        raise TableError(
            "expected tabs between columns",
            code="table-separator",
            file=path,
            remedy="save it as tab-separated text",
        )
    if missing:
        raise TableError(
            f"expected the columns {', '.join(missing)}, but got {', '.join(header) or 'none'}",
            code="table-columns",
            file=path,
            row="header",
            remedy="add or rename the columns",
        )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise TableError(
            f"the columns {', '.join(repeated)} appear twice",
            code="table-columns",
            file=path,
            row="header",
            remedy="keep one of each",
        )
    if len(lines) < 2:
        raise TableError("expected rows below the header, but got none", code="table-empty", file=path)
    rows = []
    for number_, line in enumerate(lines[1:], start=1):
        values = [value.strip() for value in line.split("\t")]
        if len(values) != len(header):
            raise TableError(
                f"expected {len(header)} values, but got {len(values)}",
                code="table-ragged",
                file=path,
                row=number_,
                remedy=f"write {MISSING} where a value is missing",
            )
        rows.append(dict(zip(header, values, strict=True)))
    return rows


def write(path: str | Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None) -> Path:
    """Write a tab-separated table, whole or not at all.

    Parameters
    ----------
    path : path-like
        Folders are made.
    rows : sequence of mapping
        Missing keys, None and NaN become ``n/a``.
    columns : sequence of str, optional
        Their order; default: that of the first row.
    """
    columns = list(columns if columns is not None else rows[0])
    lines = ["\t".join(columns)]
    lines += ["\t".join(_text(row.get(name)) for name in columns) for row in rows]
    return write_text(path, "\n".join(lines) + "\n")


def number(row: Mapping[str, str], column: str, file: str | Path = "", row_number: int | None = None) -> float:
    """Read one value as a number; ``n/a`` and blank are NaN.

    Raises
    ------
    TableError
        For text that is not a number (a decimal comma, say).
    """
    text = row.get(column, MISSING)
    if text in (MISSING, ""):
        return math.nan
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise TableError(
            f"{column}: expected a number, but got {text!r}",
            code="table-number",
            file=file or None,
            row=row_number,
            remedy=f"write a number with a decimal point, or {MISSING}",
        ) from None


def read_json(path: str | Path) -> dict:
    """Read a JSON object.

    Raises
    ------
    TableError
        When it is missing or not an object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise TableError(f"expected JSON, but got: {error}", code="json-unreadable", file=path) from None
    if not isinstance(value, dict):
        raise TableError(f"expected a JSON object, but got {type(value).__name__}", code="json-unreadable", file=path)
    return value


def write_json(path: str | Path, mapping: Mapping[str, object]) -> Path:
    """Write a JSON object, whole or not at all; NaN becomes null."""
    return write_text(path, json.dumps(_plain(mapping), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def identity(row: Mapping[str, str], file: str | Path = "", row_number: int | None = None) -> ScanId:
    """Read a scan's identity out of a row.

    Raises
    ------
    TableError
        For ids that are not BIDS labels (letters and digits only).
    """
    participant, session = row["participant_id"], row.get("session_id", MISSING)
    session = "" if session in (MISSING, "") else session
    for value in filter(None, (participant, session)):
        if not _ID.fullmatch(value):
            raise TableError(
                f"expected an id such as sub-001 or ses-01, but got {value!r}",
                code="id-invalid",
                file=file or None,
                row=row_number,
                remedy="use letters and digits only",
            )
    return ScanId(participant, session)


def id_columns(scan: ScanId) -> dict[str, str]:
    """Return the two columns every table of scans begins with."""
    return {"participant_id": scan.participant, "session_id": scan.session or MISSING}


def write_cohort(study: Path, cohort: Cohort) -> Path:
    """Write ``cohort.tsv``; :func:`read_cohort` reads it back equal."""
    names = ("score", "label", "age_years", "sex", "scanner", "field_strength_t", "disease_duration_years")
    names += ("score_at_scan",)
    rows = [id_columns(o.id) | {name: getattr(o, name) for name in names} for o in cohort]
    return write(layout.path(study, "cohort"), rows, ("participant_id", "session_id", *names))


def read_cohort(study: Path) -> Cohort:
    """Read ``cohort.tsv``.

    Raises
    ------
    StudyError
        When no earlier stage wrote it.
    """
    file = layout.existing(study, "cohort")
    observations = []
    for n, row in enumerate(read(file, ("participant_id", "session_id", "score", "label")), start=1):
        observations.append(
            Observation(
                id=identity(row, file, n),
                score=number(row, "score", file, n),
                label=int(number(row, "label", file, n)),
                age_years=number(row, "age_years", file, n),
                sex=_known(row.get("sex")),
                scanner=_known(row.get("scanner")),
                field_strength_t=number(row, "field_strength_t", file, n),
                disease_duration_years=number(row, "disease_duration_years", file, n),
                score_at_scan=number(row, "score_at_scan", file, n),
            )
        )
    return Cohort(tuple(observations))


def write_characteristics(study: Path, by_scan: Mapping[ScanId, Mapping[str, str]], names: Sequence[str]) -> Path:
    """Write ``characteristics.tsv``: further columns that the cohort table describes, one row a scan."""
    rows = [id_columns(scan) | {name: values.get(name) for name in names} for scan, values in by_scan.items()]
    return write(layout.path(study, "characteristics"), rows, ("participant_id", "session_id", *names))


def read_characteristics(study: Path, cohort: Cohort) -> dict[str, list[str]]:
    """Read the columns of ``characteristics.tsv`` in the cohort's order; empty text where a value is missing."""
    file = layout.existing(study, "characteristics")
    by_scan = {identity(row, file, n): row for n, row in enumerate(read(file, ("participant_id",)), start=1)}
    rows = [_of(by_scan, scan, file) for scan in cohort.ids]
    names = [name for name in rows[0] if name not in ("participant_id", "session_id")]
    return {name: [_known(row[name]) for row in rows] for name in names}


def write_folds(study: Path, cohort: Cohort, folds: np.ndarray) -> Path:
    """Write the fold of every scan, ``(n,)`` in the cohort's order."""
    rows = [id_columns(o.id) | {"fold": int(fold)} for o, fold in zip(cohort, folds, strict=True)]
    return write(layout.path(study, "folds"), rows)


def read_folds(study: Path, cohort: Cohort) -> np.ndarray:
    """Read the fold of every scan of the cohort, ``(n,)`` int."""
    file = layout.existing(study, "folds")
    fold = {identity(row, file, n): int(row["fold"]) for n, row in enumerate(read(file, ("fold",)), start=1)}
    return np.array([_of(fold, scan, file) for scan in cohort.ids], dtype=int)


def write_predictions(study: Path, predictions: Sequence[Prediction], cohort: str = "cohort") -> Path:
    """Write the predictions of one cohort, all models in one table."""
    rows = [
        id_columns(p.id)
        | {
            "model": p.model,
            "fold": p.fold,
            "label": p.label,
            "probability": p.probability,
            "predicted": p.predicted,
            "group": p.group,
        }
        for p in predictions
    ]
    return write(layout.path(study, "predictions", cohort=cohort), rows)


def read_predictions(study: Path, cohort: str = "cohort") -> list[Prediction]:
    """Read the predictions of one cohort."""
    file = layout.existing(study, "predictions", cohort=cohort)
    return [
        Prediction(
            id=identity(row, file, n),
            model=row["model"],
            fold=int(row["fold"]),
            label=int(row["label"]),
            probability=number(row, "probability", file, n),
        )
        for n, row in enumerate(read(file, ("model", "fold", "label", "probability")), start=1)
    ]


def write_ballots(study: Path, ballots: Sequence[Ballot], cohort: str) -> Path:
    """Write the votes on an external cohort, all models in one table; :func:`read_ballots` reads them back."""
    rows = [
        id_columns(b.id)
        | {"model": b.model, "label": b.label, "predicted": b.predicted, "group": b.group}
        | {"probability": b.probability, "vote_share": b.share, "decision": b.decision}
        | {f"fold_{fold}": value for fold, value in enumerate(b.fold_probabilities)}
        for b in ballots
    ]
    return write(layout.path(study, "predictions", cohort=cohort), rows)


def read_ballots(study: Path, cohort: str) -> list[Ballot]:
    """Read the votes on an external cohort."""
    file = layout.existing(study, "predictions", cohort=cohort)
    ballots = []
    for n, row in enumerate(read(file, ("model", "label", "predicted", "probability", "vote_share", "decision")), 1):
        folds = sorted((name for name in row if name.startswith("fold_")), key=lambda name: int(name[5:]))
        numbers = (number(row, name, file, n) for name in ("probability", "vote_share", "decision"))
        per_fold = tuple(number(row, name, file, n) for name in folds)
        ballots.append(
            Ballot(identity(row, file, n), row["model"], int(row["label"]), int(row["predicted"]), *numbers, per_fold)
        )
    return ballots


def read_volumes(study: Path, cohort: Cohort) -> tuple[tuple[str, ...], np.ndarray]:
    """Read the native volumes of the cohort's scans.

    Returns
    -------
    names : tuple of str
        ``VOLUME_NAMES``.
    volumes : ndarray, (n, 6)
        Millilitres; NaN where missing.
    """
    file = layout.existing(study, "volumes")
    columns = [f"{name}_ml" for name in VOLUME_NAMES]
    volumes = {
        identity(row, file, n): [number(row, column, file, n) for column in columns]
        for n, row in enumerate(read(file, columns), start=1)
    }
    return VOLUME_NAMES, np.array([_of(volumes, scan, file) for scan in cohort.ids], dtype=float)


def _of(by_scan: Mapping, scan: ScanId, file: Path):
    if scan not in by_scan:
        raise StudyError(
            f"expected a row for {scan}, but got none",
            code="study-incomplete",
            file=file.name,
            remedy="run the stage that writes this table again",
        )
    return by_scan[scan]


def _known(text: str | None) -> str:
    return "" if text in (None, MISSING) else text


def _text(value: object) -> str:
    if value is None or value == "":
        return MISSING
    if isinstance(value, (float, np.floating)):
        return MISSING if math.isnan(value) else format(float(value), ".10g")
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    text = str(value)
    # a tab or a line end inside a value would shift every column after it
    return re.sub(r"[\t\r\n]+", " ", text)


def _plain(value):
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value
