"""Leak audit: does anything that was trained on come back in the test (SPEC 3, 5)?

Counted from the folds and from the digests of the images, not from how they were made: an audit that
repeats the code it audits finds nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from relevox.errors import CohortError
from relevox.records import Fold
from relevox.statistics.likeness import ALIKE

COLUMNS = ("check", "part", "against", "patients", "scans", "shared", "verdict", "who")
"""Of the table: what was looked at, two parts of the data, how many they are, what they share, and whose it is."""


@dataclass(frozen=True)
class Finding:
    """One check of the audit."""

    check: str
    """What was looked for."""
    part: str
    """Where: ``fold 0, train``."""
    against: str = ""
    """The part it was held against; empty where only a size is given."""
    patients: int = 0
    """Patients of the part."""
    scans: int = 0
    """Scans of the part."""
    shared: int = 0
    """Patients, or images, that are in both and must not be."""
    who: tuple[str, ...] = ()
    """Patients or scans concerned."""
    is_leak: bool = False
    """Whether it makes results too good."""

    @property
    def row(self) -> dict[str, object]:
        """One row of the table."""
        verdict = "leak" if self.is_leak else ("to be looked at" if self.shared else "none")
        return {name: getattr(self, name) for name in COLUMNS[:-2]} | {
            "verdict": verdict if self.against else "",
            "who": ", ".join(self.who),
        }


def audit_folds(rounds: Sequence[Fold], patients: np.ndarray) -> list[Finding]:
    """Count the patients of every side of every fold, and those that are on two sides or in two test folds.

    Parameters
    ----------
    rounds : sequence of Fold
        Rows for training, validation and test.
    patients : array-like, (n,)
        Patient of every scan.
    """
    patients, found = np.asarray(patients), []
    for fold in rounds:
        sides = {side: getattr(fold, side) for side in ("train", "validation", "test")}
        for side, rows in sides.items():
            n = len(np.unique(patients[rows]))
            found.append(Finding("size", f"fold {fold.index}, {side}", patients=n, scans=len(rows)))
        for (name_a, a), (name_b, b) in combinations(sides.items(), 2):
            found.append(
                _shared_patients(patients, a, b, f"fold {fold.index}, {name_a}", f"fold {fold.index}, {name_b}")
            )
    for a, b in combinations(rounds, 2):
        found.append(_shared_patients(patients, a.test, b.test, f"fold {a.index}, test", f"fold {b.index}, test"))
    return found


def audit_scanner(
    rounds: Sequence[Fold], scanners: Sequence[str], patients: np.ndarray, scans: Sequence[str], unseen: str
) -> list[Finding]:
    """Look for scans of a scanner that is to stay unseen among those that train or validate.

    Parameters
    ----------
    rounds : sequence of Fold
        Rows for training, validation and test.
    scanners : sequence of str, (n,)
        Of every scan; one that is unknown (empty) may be the unseen one.
    patients, scans
        As for :func:`audit_images`.
    unseen : str
        The scanner.
    """
    scanners, patients, found = np.asarray(scanners, dtype=str), np.asarray(patients), []
    for fold in rounds:
        rows = np.concatenate([fold.train, fold.validation])
        seen = np.sort(rows[np.isin(scanners[rows], [unseen, ""])])
        found.append(
            Finding(
                "unseen scanner",
                f"fold {fold.index}, train and validation",
                unseen,
                len(np.unique(patients[rows])),
                len(rows),
                len(seen),
                tuple(scans[row] for row in seen),
                is_leak=len(seen) > 0,
            )
        )
    return found


def audit_images(
    digests: Sequence[Mapping[str, str]], scans: Sequence[str], patients: np.ndarray, folds: np.ndarray
) -> list[Finding]:
    """Look for one image in several places.

    Parameters
    ----------
    digests : sequence of mapping, (n,)
        Per scan, kind of image to digest of its content; equal digests are equal images, of whatever kind.
    scans : sequence of str, (n,)
        Names.
    patients : array-like, (n,)
        Patient of every scan.
    folds : array-like, (n,)
        Fold of every scan.

    Returns
    -------
    list of Finding
        In one patient (no leak, but to be looked at), in two patients of a fold, in two folds.
    """
    patients, folds = np.asarray(patients), np.asarray(folds)
    repeated: dict[str, set[int]] = {"one patient": set(), "two patients of a fold": set(), "two folds": set()}
    images = dict.fromkeys(repeated, 0)
    for rows in _owners(digests).values():
        if len(rows) > 1:
            if len(set(patients[rows].tolist())) == 1:
                where = "one patient"
            else:
                where = "two folds" if len(set(folds[rows].tolist())) > 1 else "two patients of a fold"
            repeated[where] |= set(rows)
            images[where] += 1
    n_patients = len(np.unique(patients))
    return [
        Finding(
            "same image",
            "the cohort",
            where,
            n_patients,
            len(scans),
            images[where],
            tuple(scans[row] for row in sorted(rows)),
            # two patients with one image cannot both be right, in one fold or in two
            is_leak=where != "one patient" and images[where] > 0,
        )
        for where, rows in repeated.items()
    ]


def audit_likeness(alike: np.ndarray, scans: Sequence[str], patients: np.ndarray) -> Finding:
    """Look for one person under two ids.

    Parameters
    ----------
    alike : ndarray, (n, n)
        :func:`relevox.statistics.likeness.likeness` of every two scans.
    scans, patients
        As for :func:`audit_images`.
    """
    patients = np.asarray(patients)
    suspected = np.triu(np.nan_to_num(alike) >= ALIKE, 1) & (patients[:, None] != patients[None])
    who = tuple(f"{scans[a]} = {scans[b]} ({alike[a, b]:.2f})" for a, b in np.argwhere(suspected))
    n = len(np.unique(patients))
    return Finding("alike brains", "the cohort", "other patients", n, len(scans), len(who), who)


def audit_cohorts(
    digests: Sequence[Mapping[str, str]],
    scans: Sequence[str],
    patients: np.ndarray,
    other_digests: Sequence[Mapping[str, str]],
    other_scans: Sequence[str],
    other_patients: np.ndarray,
    alike: np.ndarray,
    ids_are_related: bool = True,
) -> list[Finding]:
    """Look for patients of one cohort in another: by id, and by their images under any id.

    Parameters
    ----------
    digests, scans, patients
        Of the training cohort, as for :func:`audit_images`.
    other_digests, other_scans, other_patients
        Of the external cohort.
    alike : ndarray, (m, n)
        Likeness of every external scan with every training scan.
    ids_are_related : bool
        False where both cohorts count their patients from 001 on their own: equal ids are then noted only.
    """
    patients, other_patients = np.asarray(patients), np.asarray(other_patients)
    size = {"patients": len(np.unique(other_patients)), "scans": len(other_scans)}
    place = ("the external cohort", "the training cohort")
    both = sorted(set(patients.tolist()) & set(other_patients.tolist()))
    ours, theirs = _owners(digests), _owners(other_digests)
    pairs = sorted(
        {(other_scans[row], scans[mine]) for key, rows in theirs.items() for row in rows for mine in ours.get(key, ())}
    )
    who = tuple(f"{other} = {mine}" for other, mine in pairs)
    n_images = len(ours.keys() & theirs.keys())
    suspected = [
        f"{other_scans[row]} = {scans[mine]} ({alike[row, mine]:.2f})"
        for row, mine in np.argwhere(np.nan_to_num(alike) >= ALIKE)
        if (other_scans[row], scans[mine]) not in pairs
    ]
    return [
        Finding(
            "same patient id", *place, **size, shared=len(both), who=tuple(both), is_leak=ids_are_related and bool(both)
        ),
        Finding("same image", *place, **size, shared=n_images, who=who, is_leak=bool(who)),
        Finding("alike brains", *place, **size, shared=len(suspected), who=tuple(suspected)),
    ]


def refuse(findings: Sequence[Finding]) -> None:
    """Stop at a leak.

    Raises
    ------
    CohortError
        With every leak and whom it concerns.
    """
    leaks = [finding for finding in findings if finding.is_leak]
    if leaks:
        said = "; ".join(f"{f.check} in {f.part} and {f.against}: {', '.join(f.who)}" for f in leaks)
        raise CohortError(
            f"what is tested was trained on: {said}",
            code="leak-found",
            remedy="leave one of them out, or give all scans of a patient one id",
        )


def _shared_patients(patients: np.ndarray, a: np.ndarray, b: np.ndarray, part: str, against: str) -> Finding:
    both = np.intersect1d(patients[a], patients[b])
    return Finding(
        "same patient",
        part,
        against,
        len(np.unique(patients[a])),
        len(a),
        len(both),
        tuple(both.tolist()),
        is_leak=len(both) > 0,
    )


def _owners(digests: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    owners: dict[str, list[int]] = defaultdict(list)
    for row, of_scan in enumerate(digests):
        for digest in set(of_scan.values()):
            owners[digest].append(row)
    return owners
