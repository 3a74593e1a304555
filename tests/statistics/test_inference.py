"""Simulated studies with repeated scans: small versions of ``benchmarks/inference.py``, which prints the numbers."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import special, stats

from relevox.statistics import comparison
from relevox.statistics.confounds import confound_verdict
from relevox.statistics.scores import MEASURES, by_patient, patient_bootstrap

N_STUDIES = 200
IMPROBABLE = 0.001
"""Of a binomial count, under the claim that is tested."""


def study(rng, n, accuracy, most=4):
    """Classes, patients with 1 to ``most`` scans, and models of given accuracies that share what they see."""
    patients = np.repeat(np.arange(n), rng.integers(1, most + 1, n))
    y = np.zeros(n, dtype=bool)
    y[rng.permutation(n)[: int(0.4 * n)]] = True
    y = y[patients]

    def noise():
        return np.sqrt(0.7) * rng.standard_normal(n)[patients] + np.sqrt(0.3) * rng.standard_normal(len(y))

    shared = noise()
    signal = np.where(y, 1, -1)
    return y, patients, [special.expit(stats.norm.ppf(a) * signal + (shared + noise()) / np.sqrt(2)) for a in accuracy]


@pytest.fixture(scope="module")
def held():
    """Whether each study's intervals hold the truth, resampling patients and (wrongly) scans."""
    rng, found = np.random.default_rng(0), defaultdict(list)
    m = stats.norm.ppf(0.75)
    truth = dict.fromkeys(MEASURES, 0.75)
    truth["auc"] = stats.norm.cdf(np.sqrt(2) * m)
    truth["brier"] = stats.norm(m).expect(lambda z: (1 - special.expit(z)) ** 2)
    for _ in range(N_STUDIES):
        y, patients, (p,) = study(rng, 50, [0.75])
        for unit, of in (("patients", patients), ("scans", np.arange(len(y)))):
            intervals = patient_bootstrap(y, p, of, 500)
            found[unit].append([low <= truth[name] <= high for name, (low, high) in intervals.items()])
    return {unit: np.array(rows) for unit, rows in found.items()}


@pytest.mark.parametrize("measure", MEASURES)
def test_95_percent_intervals_hold_the_truth_in_95_percent_of_studies(held, measure):
    hits = int(held["patients"][:, MEASURES.index(measure)].sum())
    assert stats.binomtest(hits, N_STUDIES, 0.95).pvalue > IMPROBABLE


@pytest.mark.parametrize("measure", ["accuracy", "auc", "brier"])
def test_resampling_scans_pretends_to_know_more(held, measure):
    hits = int(held["scans"][:, MEASURES.index(measure)].sum())
    assert stats.binomtest(hits, N_STUDIES, 0.95, "less").pvalue < IMPROBABLE


def rejections(rng, n, accuracy, most, n_studies):
    """How often each test rejects at 0.05."""
    found = defaultdict(int)
    for _ in range(n_studies):
        y, patients, (a, b) = study(rng, n, accuracy, most)
        folds = rng.permutation(n)[patients] % 7
        labels, mean_a, _, _ = by_patient(y.astype(int), a, patients)
        mean_b = by_patient(y.astype(int), b, patients)[1]
        right_a, right_b = (a > 0.5) == y, (b > 0.5) == y
        bootstrap = comparison.paired_bootstrap(y, a, b, patients, 300)
        gain = [(right_a - 1.0 * right_b)[folds == k].mean() for k in range(7)]
        for name, p in {
            "delong": comparison.delong(labels, mean_a, mean_b).p,
            "delong clustered": comparison.delong(y, a, b, patients).p,
            "durkalski": comparison.mcnemar_clustered(right_a, right_b, patients, "durkalski").p,
            "obuchowski": comparison.mcnemar_clustered(right_a, right_b, patients, "obuchowski").p,
            "corrected t": comparison.corrected_t(gain, 5, 1).p,
            "bootstrap accuracy": bootstrap["accuracy"].p,
            "bootstrap auc": bootstrap["auc"].p,
            "delong, scans as if independent": comparison.delong(y, a, b).p,
            "mcnemar, scans as if independent": comparison.mcnemar_clustered(right_a, right_b, np.arange(len(y))).p,
        }.items():
            found[name] += p < 0.05
    return found


@pytest.fixture(scope="module")
def null():
    return rejections(np.random.default_rng(1), 100, (0.75, 0.75), 4, N_STUDIES)


@pytest.mark.parametrize(
    "test", ["delong", "delong clustered", "durkalski", "obuchowski", "bootstrap accuracy", "bootstrap auc"]
)
def test_models_that_are_alike_are_told_apart_in_5_percent_of_studies(null, test):
    assert stats.binomtest(null[test], N_STUDIES, 0.05).pvalue > IMPROBABLE


def test_the_corrected_t_does_not_reject_too_often(null):
    """It expects training sets to matter; here no model is trained, so it rejects more rarely."""
    assert stats.binomtest(null["corrected t"], N_STUDIES, 0.05, "greater").pvalue > IMPROBABLE


@pytest.mark.parametrize("test", ["delong, scans as if independent", "mcnemar, scans as if independent"])
def test_without_patients_as_clusters_it_would_reject_too_often(null, test):
    assert stats.binomtest(null[test], N_STUDIES, 0.05, "greater").pvalue < IMPROBABLE


def test_a_network_of_0_79_is_told_from_a_baseline_of_0_70():
    found = rejections(np.random.default_rng(2), 319, (0.79, 0.70), 1, 40)
    for name in ("delong", "durkalski", "obuchowski", "bootstrap accuracy", "bootstrap auc"):
        assert found[name] > 24  # power of more than 0.6


def test_cohorts_driven_by_their_scanners_are_called_so_and_others_are_not():
    rng, share = np.random.default_rng(3), np.array([0.1, 0.3, 0.7, 0.9])
    called = {0.0: 0, 2.0: 0}
    for brain in called:
        for _ in range(25):
            machine = rng.integers(0, 4, 200)
            y = (rng.random(200) < share[machine]).astype(int)
            p = special.expit(6 * (share[machine] - 0.5) + brain * (y - 0.5) + rng.standard_normal(200))
            found = confound_verdict(y, p, share[machine], np.arange(200), machine.astype(str), n_bootstrap=200)
            called[brain] += found.confound_driven
            assert found.model > 0.7
    assert called[0.0] >= 20 and called[2.0] == 0
