"""The leak audit finds what is put in two places, and names it."""

import numpy as np
import pytest

from relevox.errors import CohortError
from relevox.records import Fold
from relevox.statistics import leaks
from relevox.statistics.folds import rounds

PATIENTS = np.array(["a", "a", "b", "c", "d", "e", "f"])
FOLDS = np.array([0, 0, 0, 1, 1, 2, 2])
LABELS = np.array([0, 0, 1, 0, 1, 0, 1])
SCANS = ["a1", "a2", "b1", "c1", "d1", "e1", "f1"]


def distinct():
    return [{"t1w": f"t{n}", "flair": f"f{n}"} for n in range(7)]


def found(findings, check, **where):
    return [f for f in findings if f.check == check and all(getattr(f, k) == v for k, v in where.items())]


def test_clean_folds_are_counted_and_share_nobody():
    findings = leaks.audit_folds(rounds(FOLDS, LABELS, PATIENTS), PATIENTS)
    (train,) = found(findings, "size", part="fold 2, train")
    assert (train.patients, train.scans) == (2, 2)  # folds 0 and 1 test and validate around it
    (test,) = found(findings, "size", part="fold 0, test")
    assert (test.patients, test.scans) == (2, 3)
    pairs = found(findings, "same patient")
    assert len(pairs) == 3 * 3 + 3 and not any(f.shared for f in pairs)
    leaks.refuse(findings)


def test_a_patient_on_two_sides_and_in_two_test_folds_is_named():
    rows = [np.array(part) for part in ([2, 3], [4], [0, 1])]
    one, two = Fold(0, rows[0], rows[1], rows[2]), Fold(1, np.array([1, 2]), np.array([3]), np.array([0, 4]))
    findings = leaks.audit_folds([one, two], PATIENTS)
    (sides,) = found(findings, "same patient", part="fold 1, train", against="fold 1, test")
    assert sides.is_leak and sides.who == ("a",)
    (tests,) = found(findings, "same patient", part="fold 0, test", against="fold 1, test")
    assert tests.is_leak and tests.who == ("a",)
    with pytest.raises(CohortError, match=r"leak-found.*fold 1, train and fold 1, test: a"):
        leaks.refuse(findings)


@pytest.mark.parametrize(
    ("rows", "where", "is_leak"),
    [((0, 1), "one patient", False), ((0, 2), "two patients of a fold", True), ((1, 5), "two folds", True)],
)
def test_one_image_in_two_scans_is_found_whatever_it_is_called(rows, where, is_leak):
    digests = distinct()
    digests[rows[0]]["t1w"] = digests[rows[1]]["preprocessed_flair"] = "the same"
    findings = leaks.audit_images(digests, SCANS, PATIENTS, FOLDS)
    (hit,) = [f for f in findings if f.shared]
    assert hit.against == where and hit.is_leak == is_leak
    assert hit.who == (SCANS[rows[0]], SCANS[rows[1]])
    assert hit.row["verdict"] == ("leak" if is_leak else "to be looked at")


def test_different_images_are_not_found():
    assert not any(f.shared for f in leaks.audit_images(distinct(), SCANS, PATIENTS, FOLDS))


def test_alike_brains_of_two_patients_are_suspected_and_of_one_are_not():
    alike = np.eye(7)
    alike[0, 1] = alike[1, 0] = 0.97
    assert leaks.audit_likeness(alike, SCANS, PATIENTS).shared == 0
    alike[2, 6] = alike[6, 2] = 0.91
    finding = leaks.audit_likeness(alike, SCANS, PATIENTS)
    assert finding.who == ("b1 = f1 (0.91)",) and not finding.is_leak


def cohorts(other, others, alike=None, **options):
    alike = np.zeros((len(other), 7)) if alike is None else alike
    digests = [{"t1w": f"x{n}"} if n else {"t1w": "x0", "flair": "f4"} for n in range(len(other))]
    if not options.pop("share", False):
        digests[0].pop("flair")
    return leaks.audit_cohorts(distinct(), SCANS, PATIENTS, digests, other, np.array(others), alike, **options)


def test_a_patient_of_both_cohorts_is_found_by_id():
    findings = cohorts(["z1", "b9"], ["z", "b"])
    assert [f.is_leak for f in findings] == [True, False, False] and findings[0].who == ("b",)
    assert not any(f.is_leak for f in cohorts(["z1", "b9"], ["z", "b"], ids_are_related=False))


def test_a_patient_of_both_cohorts_is_found_by_image_and_by_likeness_under_another_id():
    alike = np.zeros((2, 7))
    alike[0, 4], alike[1, 5] = 0.99, 0.85
    _, image, brains = cohorts(["z1", "y1"], ["z", "y"], alike, share=True)
    assert image.is_leak and image.who == ("z1 = d1",)
    assert brains.who == ("y1 = e1 (0.85)",)  # what is the same image anyway is not said twice


def test_a_scan_of_the_unseen_scanner_that_trains_is_named_and_one_of_unknown_scanner_too():
    scanners = ["A", "B", "B", "B", "", "B", "B"]
    fold = Fold(0, np.array([0, 2]), np.array([3, 4]), np.array([5, 6]))
    (finding,) = leaks.audit_scanner([fold], scanners, PATIENTS, SCANS, "A")
    assert finding.is_leak and finding.who == ("a1", "d1") and (finding.scans, finding.shared) == (4, 2)
    with pytest.raises(CohortError, match=r"leak-found.*unseen scanner.*a1, d1"):
        leaks.refuse([finding])
    clean = Fold(0, np.array([1, 2]), np.array([3]), np.array([0, 4]))
    (finding,) = leaks.audit_scanner([clean], scanners, PATIENTS, SCANS, "A")
    assert not finding.is_leak and finding.row["verdict"] == "none"
