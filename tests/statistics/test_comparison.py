import numpy as np
import pytest
from scipy import stats

from relevox.errors import InputError
from relevox.statistics.comparison import above_chance, corrected_t, delong, mcnemar_clustered
from relevox.statistics.scores import classification_scores


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


def test_a_model_against_itself_differs_by_nothing():
    y, p = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.8, 0.7, 0.6, 0.9])
    assert delong(y, p, p).p == 1.0
    assert mcnemar_clustered(p > 0.5, p > 0.5, np.arange(5)).p == 1.0
    with pytest.raises(InputError):
        delong([0, 0, 1], p[:3], p[:3])


def test_delong_keeps_its_size_under_the_null():
    rng = np.random.default_rng(2)
    y = np.repeat([0, 1], 40)
    rejected = 0
    for _ in range(400):
        shared = y + rng.normal(0, 1, 80)
        rejected += delong(y, shared + rng.normal(0, 0.7, 80), shared + rng.normal(0, 0.7, 80)).p < 0.05
    assert stats.binomtest(rejected, 400, 0.05).pvalue > 0.001


def test_obuchowski_reproduces_the_published_thyroid_example():
    """21 clusters, discordant 1 and 7: 2.857143, p 0.09097 follow from sum d = 6 and sum d^2 = 12."""
    differences = [1] * 9 + [-1] * 3 + [0] * 9
    a, b, cluster = [], [], []
    for k, d in enumerate(differences):
        a += [d == 1, True]
        b += [d == -1, True]
        cluster += [k, k]
    found = mcnemar_clustered(a, b, cluster, "obuchowski")
    assert found.statistic == pytest.approx(2.857143, abs=1e-6)
    assert found.p == pytest.approx(0.09097, abs=1e-5)


def test_durkalski_weighs_patients_alike():
    a = np.array([1, 1, 1, 0, 1, 0], dtype=bool)
    b = np.array([0, 0, 1, 1, 0, 0], dtype=bool)
    cluster = np.array(["p", "p", "p", "q", "r", "r"])
    # per patient, mean of a - b: 2/3, -1, 1/2
    expected = (2 / 3 - 1 + 1 / 2) ** 2 / ((2 / 3) ** 2 + 1 + 1 / 4)
    assert mcnemar_clustered(a, b, cluster).statistic == pytest.approx(expected)


def test_with_one_scan_a_patient_it_is_mcnemars_test_without_correction():
    """794/150/86/570: 17.35593 (ORACLES: uncorrected McNemar)."""
    a = np.repeat([1, 1, 0, 0], [794, 150, 86, 570]).astype(bool)
    b = np.repeat([1, 0, 1, 0], [794, 150, 86, 570]).astype(bool)
    assert mcnemar_clustered(a, b, np.arange(1600)).statistic == pytest.approx(17.35593, abs=1e-5)
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
