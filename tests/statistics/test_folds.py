import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from relevox.errors import CohortError, SettingsError
from relevox.records import Cohort, Observation, ScanId
from relevox.statistics.confounds import leave_one_stratum_out
from relevox.statistics.folds import cohort_rounds, patient_folds, rounds, unseen_rows


def paper_shaped_cohort(seed=0):
    """215 patients with one negative scan; 104 with 167 positive ones (71 with 1, 30 with 3, 3 with 2)."""
    scans = [1] * 215 + [1] * 71 + [3] * 30 + [2] * 3
    labels = np.repeat([0] * 215 + [1] * 104, scans)
    patients = np.repeat([f"sub-{i:03d}" for i in range(len(scans))], scans)
    order = np.random.default_rng(seed).permutation(len(labels))
    return labels[order], patients[order]


def patients_in_several_folds(folds, patients):
    return sum(len(np.unique(folds[patients == patient])) > 1 for patient in np.unique(patients))


def test_the_papers_cohort_gives_balanced_folds_without_a_leak():
    labels, patients = paper_shaped_cohort()
    folds = patient_folds(labels, patients, n_folds=7, seed=0)
    assert sorted(np.bincount(folds).tolist()) == [54, 54, 54, 55, 55, 55, 55]
    shares = np.array([labels[folds == k].mean() for k in range(7)])
    assert np.abs(shares - labels.mean()).max() < 0.02
    assert patients_in_several_folds(folds, patients) == 0


def test_a_split_by_scans_would_leak_dozens_of_patients():
    labels, patients = paper_shaped_cohort()
    folds = np.empty(len(labels), dtype=int)
    for k, (_, test) in enumerate(StratifiedKFold(7, shuffle=True, random_state=0).split(labels, labels)):
        folds[test] = k
    assert patients_in_several_folds(folds, patients) > 24
    with pytest.raises(CohortError, match="folds-leak") as caught:
        rounds(folds, labels, patients)
    leaked = next(p for p in np.unique(patients) if len(np.unique(folds[patients == p])) > 1)
    assert leaked in str(caught.value)


def test_the_seed_decides_the_folds():
    labels, patients = paper_shaped_cohort()
    first = patient_folds(labels, patients, seed=1)
    assert np.array_equal(first, patient_folds(labels, patients, seed=1))
    assert not np.array_equal(first, patient_folds(labels, patients, seed=2))


def test_rounds_rotate_test_and_validation_and_train_on_the_rest():
    labels, patients = paper_shaped_cohort()
    folds = patient_folds(labels, patients)
    for k, fold in enumerate(rounds(folds, labels, patients)):
        assert fold.index == k
        assert set(folds[fold.test]) == {k}
        assert set(folds[fold.validation]) == {(k + 1) % 7}
        assert len(set(folds[fold.train])) == 5
        together = np.concatenate([fold.train, fold.validation, fold.test])
        assert sorted(together.tolist()) == list(range(len(labels)))


@pytest.mark.parametrize("seed", range(5))
def test_small_cohorts_get_both_classes_into_every_fold(seed):
    rng = np.random.default_rng(seed)
    patients = np.repeat([f"p{i}" for i in range(12)], rng.integers(1, 4, 12))
    label_of = dict(zip([f"p{i}" for i in range(12)], rng.permutation([0] * 8 + [1] * 4), strict=True))
    labels = np.array([label_of[p] for p in patients])
    folds = patient_folds(labels, patients, n_folds=4, seed=seed)
    assert all(len(np.unique(labels[folds == k])) == 2 for k in range(4))
    assert len(rounds(folds, labels, patients)) == 4


def test_a_patient_who_changes_class_stays_in_one_fold():
    labels = np.array([0, 1, 0, 0, 0, 1, 1, 1])
    patients = np.array(["a", "a", "b", "c", "d", "e", "f", "g"])
    folds = patient_folds(labels, patients, n_folds=3)
    assert folds[0] == folds[1]


def test_one_class_is_refused():
    with pytest.raises(CohortError, match="cohort-one-class"):
        patient_folds(np.zeros(9, dtype=int), np.arange(9), n_folds=3)


def test_too_few_patients_of_a_class_name_the_largest_number_of_folds_that_works():
    labels = np.array([0] * 20 + [1] * 4 + [1] * 6)
    patients = np.array([f"n{i}" for i in range(20)] + [f"p{i}" for i in range(4)] + ["p0"] * 6)
    with pytest.raises(CohortError, match="cohort-too-small") as caught:
        patient_folds(labels, patients, n_folds=7)
    assert "set training.n_folds to 4" in caught.value.remedy
    assert set(patient_folds(labels, patients, n_folds=4)) == {0, 1, 2, 3}


def test_two_patients_of_a_class_are_too_few_for_any_study():
    with pytest.raises(CohortError, match="cohort-too-small") as caught:
        patient_folds(np.array([0] * 9 + [1] * 2), np.arange(11), n_folds=7)
    assert "add patients" in caught.value.remedy


@pytest.mark.parametrize(
    ("folds", "code"),
    [([0, 0, 1, 1, 0, 1], "folds-invalid"), ([0, 0, 1, 1, 3, 3], "folds-invalid"), ([0, 1, 1, 0, 2, 2], "folds-one")],
)
def test_folds_that_cannot_be_used_are_refused(folds, code):
    with pytest.raises(CohortError, match=code):
        rounds(np.array(folds), np.array([0, 1, 0, 1, 0, 1])[[0, 1, 3, 2, 4, 5]], np.arange(6))


def scanned_cohort(*scans):
    """Make a cohort of (patient, class, scanner)."""
    observations = [
        Observation(ScanId(f"sub-{patient}", f"ses-{n:02d}"), 4.0 if label else 1.0, label, scanner=scanner)
        for n, (patient, label, scanner) in enumerate(scans)
    ]
    return Cohort(tuple(sorted(observations, key=lambda o: o.id)))


def many_scanners(seed=0):
    """Forty patients with one to three scans on A, B or C; a few on several, a few on an unknown one."""
    rng = np.random.default_rng(seed)
    return scanned_cohort(
        *(
            (f"{patient:02d}", patient % 2, str(rng.choice(["A", "B", "C", ""], p=[0.2, 0.4, 0.35, 0.05])))
            for patient in range(40)
            for _ in range(rng.integers(1, 4))
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_nobody_learns_from_an_unseen_scanner_but_every_scan_is_tested(seed):
    cohort = many_scanners(seed)
    scanners, patients = np.array([o.scanner for o in cohort]), cohort.patients
    folds = patient_folds(cohort.labels, patients, n_folds=4)
    unseen = unseen_rows(cohort, "A")
    assert unseen.sum() > (scanners == "A").sum() + (scanners == "").sum()  # patients on A and elsewhere
    plain = rounds(folds, cohort.labels, patients)
    for fold, before in zip(cohort_rounds(cohort, folds, "A"), plain, strict=True):
        np.testing.assert_array_equal(fold.test, before.test)
        for side in ("train", "validation"):
            rows = getattr(fold, side)
            assert set(rows.tolist()) == {row for row in getattr(before, side).tolist() if not unseen[row]}
            assert set(scanners[rows]) <= {"B", "C"}
            assert not set(patients[rows]) & set(patients[scanners == "A"])


def test_what_stays_unseen_is_what_the_refitted_regressions_do_not_see():
    cohort = many_scanners()
    for part in leave_one_stratum_out([o.scanner for o in cohort], cohort.patients, cohort.labels):
        np.testing.assert_array_equal(np.flatnonzero(~unseen_rows(cohort, part.stratum)), part.train)


def test_all_scans_of_a_patient_on_two_scanners_stay_unseen():
    cohort = scanned_cohort(("1", 0, "A"), ("1", 0, "B"), ("2", 1, "B"), ("3", 1, ""), ("4", 0, "B"))
    assert unseen_rows(cohort, "A").tolist() == [True, True, False, True, False]
    assert not unseen_rows(cohort, "").any()


def test_without_an_unseen_scanner_the_rounds_are_the_same():
    cohort = many_scanners()
    folds = patient_folds(cohort.labels, cohort.patients, n_folds=4)
    for fold, plain in zip(cohort_rounds(cohort, folds), rounds(folds, cohort.labels, cohort.patients), strict=True):
        for side in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(fold, side), getattr(plain, side))


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_side_that_loses_a_class_with_the_scanner_is_refused(side):
    labels, patients = np.array([0, 1] * 4), np.arange(8)
    folds = np.repeat(range(4), 2)
    unseen = np.zeros(8, dtype=bool)
    unseen[[3, 5] if side == "validation" else [4, 6]] = True  # of one class: of fold 1 and another; of both that train
    with pytest.raises(CohortError, match=f"unseen-one-class.*{side} scans") as caught:
        rounds(folds, labels, patients, unseen)
    assert "training.n_folds" in caught.value.remedy


def test_an_unknown_scanner_is_refused_and_the_known_ones_are_named():
    with pytest.raises(SettingsError, match="scanner-unknown") as caught:
        unseen_rows(many_scanners(), "Z")
    assert caught.value.row == "training.unseen_scanner" and "use one of A, B, C" in caught.value.remedy
