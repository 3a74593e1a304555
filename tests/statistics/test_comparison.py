"""Paired comparisons: published examples, slow definitions, size, and what happens at the edges."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from relevox.errors import InputError
from relevox.statistics.comparison import above_chance, corrected_t, delong, mcnemar_clustered, paired_bootstrap
from relevox.statistics.scores import MEASURES, classification_scores, patient_bootstrap


def test_delong_is_that_of_proc_on_its_own_data():
    """aSAH (Turck et al. 2010), as in the R package pROC (Robin et al. 2011), whose values these are."""
    poor, wfns, s100b = np.loadtxt(Path(__file__).with_name("asah.tsv"), skiprows=1).T
    found = delong(poor, wfns, s100b)
    assert (found.auc_a, found.auc_b) == pytest.approx((0.8236789, 0.7313686), abs=5e-8)
    assert (found.z, found.p) == pytest.approx((2.208984, 0.0271758), abs=5e-7)
    low, high = (found.auc_a - found.auc_b) + np.array([-1, 1]) * stats.norm.ppf(0.975) * found.standard_error
    assert (low, high) == pytest.approx((0.0104062, 0.1742144), abs=5e-8)


def slow_delong(y, a, b):
    """DeLong et al. 1988 by all pairs."""
    y = np.asarray(y, dtype=bool)
    components = []
    for score in (np.asarray(a, float), np.asarray(b, float)):
        pairs = np.array([[float(p > q) + 0.5 * float(p == q) for q in score[~y]] for p in score[y]])
        components.append((pairs.mean(axis=1), pairs.mean(axis=0)))
    s10 = np.cov(np.stack([c[0] for c in components]))
    s01 = np.cov(np.stack([c[1] for c in components]))
    s = s10 / y.sum() + s01 / (~y).sum()
    aucs = [c[0].mean() for c in components]
    return *aucs, (aucs[0] - aucs[1]) / np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_delong_is_its_definition_by_all_pairs_ties_included(seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([0, 1], [17, 12]))
    a = np.round(y + rng.normal(0, 1, 29), 1)
    b = np.round(0.5 * y + rng.normal(0, 1, 29), 0)
    found = delong(y, a, b)
    assert (found.auc_a, found.auc_b, found.z) == pytest.approx(slow_delong(y, a, b), rel=1e-12)
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.z)))


def test_the_areas_are_those_of_the_scores():
    rng = np.random.default_rng(1)
    y, p, q = rng.integers(0, 2, 60), rng.random(60), rng.random(60)
    found = delong(y, p, q)
    assert found.auc_a == pytest.approx(classification_scores(y, p).auc, rel=1e-12)
    assert found.auc_b == pytest.approx(classification_scores(y, q).auc, rel=1e-12)


def clustered(n, seed, most=4, effect=1.0, extra=0.0):
    """Patients with 1 to ``most`` scans, some of whom change class, and two models that share what they see."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), rng.integers(1, most + 1, n))
    y = rng.integers(0, 2, n)[patients] ^ (rng.random(len(patients)) < 0.1)
    shared = effect * y + rng.standard_normal(n)[patients] + 0.3 * rng.standard_normal(len(y))
    a = shared + extra * y + 0.7 * rng.standard_normal(n)[patients]
    return (
        y,
        1 / (1 + np.exp(0.5 - a)),
        1 / (1 + np.exp(0.5 - shared - 0.7 * rng.standard_normal(n)[patients])),
        patients,
    )


def test_delong_with_repeated_scans_is_obuchowskis_definition_by_pairs():
    """Obuchowski 1997: sums of the pairwise components within patients."""
    y, a, b, patients = clustered(25, 0)
    components = []
    for score in (a, b):
        pairs = (score[y == 1][:, None] > score[y == 0]) + 0.5 * (score[y == 1][:, None] == score[y == 0])
        area = pairs.mean()
        of = np.unique(patients)
        x = np.array([(pairs.mean(axis=1) - area)[patients[y == 1] == k].sum() for k in of]) / (y == 1).sum()
        z = np.array([(pairs.mean(axis=0) - area)[patients[y == 0] == k].sum() for k in of]) / (y == 0).sum()
        components.append((area, x, z))
    (area_a, xa, za), (area_b, xb, zb) = components
    n1, n0, n = len(np.unique(patients[y == 1])), len(np.unique(patients[y == 0])), 25
    x, z = xa - xb, za - zb
    variance = n1 / (n1 - 1) * (x @ x) + n0 / (n0 - 1) * (z @ z) + 2 * n / (n - 1) * (x @ z)
    found = delong(y, a, b, patients)
    assert found.z == pytest.approx((area_a - area_b) / np.sqrt(variance))


def test_delong_with_repeated_scans_sees_through_copies():
    y, a, b, patients = clustered(40, 1, most=1)
    once, thrice = delong(y, a, b), delong(np.tile(y, 3), np.tile(a, 3), np.tile(b, 3), np.tile(patients, 3))
    assert delong(y, a, b, patients) == once
    assert thrice.z == pytest.approx(once.z)
    assert abs(delong(np.tile(y, 3), np.tile(a, 3), np.tile(b, 3)).z) > 1.7 * abs(once.z)


def test_a_model_against_itself_differs_by_nothing():
    y, p = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.8, 0.7, 0.6, 0.9])
    found = delong(y, p, p)
    assert (found.p, found.standard_error) == (1.0, 0.0) and np.isnan(found.z)
    assert delong(y, p, p**2).p == 1.0  # the same order
    assert mcnemar_clustered(p > 0.5, p > 0.5, np.arange(5)).p == 1.0
    assert corrected_t([0.0, 0.0, 0.0], 80, 20).p == 1.0
    for same in paired_bootstrap(y, p, p, np.arange(5), 100).values():
        assert (same.difference, same.ci_low, same.ci_high, same.p) == (0, 0, 0, 1)


def test_perfect_models_are_alike_and_better_than_chance():
    y = np.repeat([0, 1], 10)
    assert delong(y, y, y * 0.5 + 0.2).p == 1.0
    assert above_chance(y, y, 199).statistic == 1.0
    against_noise = delong(y, y, np.tile([0.2, 0.7, 0.4, 0.9], 5))
    assert against_noise.auc_a == 1.0 and against_noise.p < 0.01


def test_scores_that_all_tie_are_chance():
    y = np.repeat([0, 1], 10)
    assert above_chance(y, np.ones(20), 99).statistic == 0.5
    assert above_chance(y, np.ones(20), 99).p == 1.0
    assert delong(y, np.ones(20), np.ones(20)).auc_a == 0.5


def test_areas_that_differ_without_variance_have_no_p():
    """One model perfect, the other perfectly wrong: nothing varies."""
    y = np.array([0, 0, 1, 1])
    found = delong(y, y, 1 - y)
    assert (found.auc_a, found.auc_b) == (1.0, 0.0) and np.isnan([found.z, found.p]).all()


def test_what_cannot_be_compared_is_refused():
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4])
    for bad in (np.array([0.1, np.nan, 0.2, 0.3]), p[:3]):
        for call in (lambda b: delong(y, p, b), lambda b: above_chance(y, b, 9)):
            with pytest.raises(InputError, match="comparison-scores"):
                call(bad)
        with pytest.raises(InputError, match="scores"):
            paired_bootstrap(y, p, bad, np.arange(4), 9)
    with pytest.raises(InputError, match="delong-classes"):
        delong([0, 0, 1], p[:3], p[:3])
    with pytest.raises(InputError, match="delong-classes"):
        delong(y, p, p, ["a", "b", "c", "c"])  # one patient of class 1
    with pytest.raises(InputError, match="comparison-scores"):
        mcnemar_clustered([True], [True, False], [1, 1])
    assert np.isnan(above_chance([1, 1], [0.2, 0.4], 9).p)


def test_one_patient_tells_nothing():
    one = paired_bootstrap([0, 1], [0.2, 0.8], [0.6, 0.7], ["a", "a"], 50)["accuracy"]
    assert one.difference == 0.5 and np.isnan([one.ci_low, one.ci_high, one.p]).all()
    found = mcnemar_clustered([True, True], [False, True], ["a", "a"])
    assert found.statistic == 1.0  # d/m squared over itself: one patient never shows a difference
    assert np.isnan(corrected_t([0.1], 80, 20).p)


def test_the_paired_bootstrap_scores_both_models_on_the_same_samples():
    y, a, b, patients = clustered(30, 2)
    found = paired_bootstrap(y, a, b, patients, 300, seed=4)
    _, of = np.unique(patients, return_inverse=True)
    draws = np.random.default_rng(4).multinomial(30, np.full(30, 1 / 30), size=300)
    rows = [np.repeat(np.arange(len(y)), draw[of]) for draw in draws]
    slow = np.array(
        [classification_scores(y[r], a[r]).accuracy - classification_scores(y[r], b[r]).accuracy for r in rows]
    )
    accuracy = found["accuracy"]
    assert accuracy.value_a - accuracy.value_b == pytest.approx(accuracy.difference)
    low, high = np.quantile(slow, [0.025, 0.975])
    assert (accuracy.ci_low, accuracy.ci_high) == pytest.approx((low, high), abs=0.03)
    assert list(found) == list(MEASURES)


def test_the_interval_of_a_difference_is_shorter_than_of_either_where_models_agree():
    y, a, b, patients = clustered(120, 3)
    paired = paired_bootstrap(y, a, b, patients, 500)["auc"]
    low, high = patient_bootstrap(y, a, patients, 500)["auc"]
    assert paired.ci_high - paired.ci_low < high - low
    swapped = paired_bootstrap(y, b, a, patients, 500)["auc"]
    assert swapped.difference == -paired.difference and swapped.p == pytest.approx(paired.p, abs=0.05)


def test_delong_keeps_its_size_under_the_null():
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 40)
    rejected = 0
    for _ in range(400):
        shared = y + rng.normal(0, 1, 80)
        rejected += delong(y, shared + rng.normal(0, 0.7, 80), shared + rng.normal(0, 0.7, 80)).p < 0.05
    assert stats.binomtest(rejected, 400, 0.05).pvalue > 0.001


def test_the_published_thyroid_example_is_reproduced():
    """PET and SPECT of 51 glands of 21 patients (Obuchowski 1998); right by both, PET, SPECT, none: 39, 1, 7, 4.

    Three of the patients for whom the tests differ are printed (in the tests of the R package clust.bin.pair); the
    totals and the two published statistics leave one possibility for the others (four glands at most). What agrees
    does not enter.
    """
    differing = [(0, 0, 2, 1), (2, 0, 1, 0), (2, 0, 1, 0), (2, 0, 1, 0), (0, 0, 2, 0), (1, 1, 0, 0)]
    agreeing = [(2, 0, 0, 0)] * 14 + [(4, 0, 0, 3)]
    counts = np.array(differing + agreeing)
    assert counts.sum(axis=0).tolist() == [39, 1, 7, 4] and len(counts) == 21
    pet = np.concatenate([np.repeat([1, 1, 0, 0], row) for row in counts]).astype(bool)
    spect = np.concatenate([np.repeat([1, 0, 1, 0], row) for row in counts]).astype(bool)
    patients = np.repeat(np.arange(21), counts.sum(axis=1))
    for method, statistic, p in (("durkalski", 2.315068, 0.12813), ("obuchowski", 2.857143, 0.09097)):
        found = mcnemar_clustered(pet, spect, patients, method)
        assert found.statistic == pytest.approx(statistic, abs=1e-6)
        assert found.p == pytest.approx(p, abs=1e-5)


def test_durkalski_weighs_patients_alike():
    a = np.array([1, 1, 1, 0, 1, 0], dtype=bool)
    b = np.array([0, 0, 1, 1, 0, 0], dtype=bool)
    cluster = np.array(["p", "p", "p", "q", "r", "r"])
    # per patient, mean of a - b: 2/3, -1, 1/2
    expected = (2 / 3 - 1 + 1 / 2) ** 2 / ((2 / 3) ** 2 + 1 + 1 / 4)
    assert mcnemar_clustered(a, b, cluster).statistic == pytest.approx(expected)


def test_with_one_scan_a_patient_it_is_mcnemars_test_without_correction():
    """794/150/86/570 (Agresti): 17.35593, R's mcnemar.test without correction."""
    a = np.repeat([1, 1, 0, 0], [794, 150, 86, 570]).astype(bool)
    b = np.repeat([1, 0, 1, 0], [794, 150, 86, 570]).astype(bool)
    found = mcnemar_clustered(a, b, np.arange(1600))
    assert found.statistic == pytest.approx(17.35593, abs=1e-5)
    table = [[794, 150], [86, 570]]
    assert found.p == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue)
    # neighbours of the same table, so that nobody takes ours for them
    assert mcnemar(table, exact=False).statistic == pytest.approx(16.81780, abs=1e-5)
    assert mcnemar(table, exact=True).pvalue == pytest.approx(3.7159e-5, rel=1e-4)
    with pytest.raises(InputError, match="durkalski"):
        mcnemar_clustered(a, b, np.arange(1600), "yates")


def test_corrected_t_reproduces_scikit_learns_example():
    """100 folds of 90 / 10 %, uncorrected t 2.611: corrected 0.750, one-sided p 0.227."""
    d = np.random.default_rng(0).standard_normal(100)
    d = (d - d.mean()) / d.std(ddof=1) + 2.611 / 10
    assert stats.ttest_1samp(d, 0).statistic == pytest.approx(2.611)
    found = corrected_t(d, n_train=90, n_test=10)
    assert found.t == pytest.approx(0.750, abs=5e-4)
    assert found.p / 2 == pytest.approx(0.227, abs=5e-4)
    assert np.isnan(corrected_t([0.1, 0.1], 80, 20).t)


def test_the_permutation_test_keeps_its_size_and_sees_a_signal():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 20)
    null = [above_chance(y, rng.random(40), 99, seed).p <= 0.05 for seed in range(300)]
    assert stats.binomtest(int(np.sum(null)), 300, 0.05).pvalue > 0.001
    signal = above_chance(y, y + rng.random(40), 999)
    assert signal.statistic == 1.0 and signal.p == pytest.approx(0.001)


def test_a_patient_of_both_classes_only_exchanges_the_own_rows():
    """Two changing patients and two others: every arrangement by hand."""
    y, patients = np.array([0, 1, 0, 1, 0, 1]), np.array(["a", "a", "b", "b", "c", "d"])
    score = np.array([0.1, 0.6, 0.5, 0.4, 0.2, 0.9])
    ranks = stats.rankdata(score)
    sums = [
        sum(pair) + single
        for pair in ((i, j) for i in ranks[[0, 1]] for j in ranks[[2, 3]])
        for single in ranks[[4, 5]]
    ]
    expected = np.mean(np.array(sums) >= ranks[y == 1].sum() - 1e-9)
    found = above_chance(y, score, 20_000, patients=patients)
    assert found.p == pytest.approx(expected, abs=0.01)
    with pytest.raises(InputError, match="by_patient"):
        above_chance(y, score, 9, patients=["a", "a", "a", "b", "c", "d"])


def test_one_row_a_patient_permutes_the_same_with_and_without_names():
    rng = np.random.default_rng(6)
    y, score = rng.integers(0, 2, 30), rng.random(30)
    assert above_chance(y, score, 99) == above_chance(y, score, 99, patients=np.arange(30))
