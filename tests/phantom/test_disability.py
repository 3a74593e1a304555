"""Disability: the chance of class 1 is known, and EDSS >= 3 is exactly the label."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from relevox.config import CohortSettings
from relevox.phantom.disability import (
    SCANNER_COUNTS,
    bayes,
    class_probability,
    ladder,
    latent_score,
    scanner_frequencies,
    threshold_for,
)


@pytest.fixture(scope="module")
def latent_of_many():
    rng = np.random.default_rng(0)
    return latent_score({"a": rng.gamma(2, 1, 2000), "b": rng.normal(size=2000)}, {"a": 1.0, "b": -1.0})


def test_the_latent_score_is_standardised_and_signed():
    a = np.arange(10.0)
    score = latent_score({"a": a, "b": np.zeros(10)}, {"a": -2.0, "b": 5.0})
    assert score.mean() == pytest.approx(0) and score.std() == pytest.approx(1)
    assert np.corrcoef(score, a)[0, 1] == pytest.approx(-1)


def test_equal_weights_are_equal_shares_whatever_the_units():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5000))
    score = latent_score({"a": 1000 * a + 7, "b": 0.01 * b}, {"a": 1.0, "b": 1.0})
    assert np.corrcoef(score, a)[0, 1] == pytest.approx(np.corrcoef(score, b)[0, 1])


def test_causes_that_are_alike_in_all_scans_give_no_score():
    assert np.isnan(latent_score({"a": np.ones(4)}, {"a": 1.0})).all()


@pytest.mark.parametrize("noise", [0.0, 0.25, 1.0])
def test_the_threshold_gives_the_prevalence(latent_of_many, noise):
    threshold = threshold_for(latent_of_many, noise, 0.437)
    assert class_probability(latent_of_many, threshold, noise).mean() == pytest.approx(0.437, abs=1e-3)


def test_labels_drawn_with_the_noise_follow_the_probability(latent_of_many):
    noise = 0.5
    threshold = threshold_for(latent_of_many, noise, 0.4)
    p = class_probability(latent_of_many, threshold, noise)
    drawn = latent_of_many + noise * np.random.default_rng(1).standard_normal((200, latent_of_many.size)) > threshold
    np.testing.assert_allclose(drawn.mean(axis=0), p, atol=0.17)
    best = bayes(p)
    assert ((p > 0.5) == drawn).mean() == pytest.approx(best.accuracy, abs=0.003)
    assert np.mean([roc_auc_score(y, p) for y in drawn[:40]]) == pytest.approx(best.auc, abs=0.003)


def test_edss_reaches_three_exactly_above_the_threshold(latent_of_many):
    scores = ladder(latent_of_many, 0.2)(latent_of_many)
    np.testing.assert_array_equal(scores >= 3, latent_of_many > 0.2)
    assert set(scores) <= set(CohortSettings().valid_scores)
    assert (np.diff(scores[np.argsort(latent_of_many)]) >= 0).all()
    assert np.median(scores[scores < 3]) == 1.5 and np.median(scores[scores >= 3]) == 5.0


def test_edss_of_one_class_only_is_fine():
    few = np.array([1.0, 2.0, 3.0])
    assert (ladder(few, 0.0)(few) >= 3).all()
    assert ladder(few, 0.0)(np.array([-5.0, 0.0])).tolist() == [2.5, 2.5]  # next to the threshold


def test_pdds_has_table_3_s_medians_and_ranges(latent_of_many):
    scores = ladder(latent_of_many, 0.0, "PDDS")(latent_of_many)
    assert set(scores) <= set(CohortSettings(score="PDDS").valid_scores)
    low, high = scores[scores < 3], scores[scores >= 3]
    assert (low.min(), low.max(), high.min(), np.median(high), high.max()) == (0, 2, 3, 5, 7)
    assert np.median(low) in (0.0, 0.5, 1.0)  # half of them have 0


def test_scanner_frequencies_are_those_of_table_2_or_alike():
    full, none = scanner_frequencies(1.0), scanner_frequencies(0.0)
    np.testing.assert_allclose(full[1], np.array(SCANNER_COUNTS[1]) / 167)
    np.testing.assert_allclose(none[0], none[1])
    np.testing.assert_allclose(scanner_frequencies(0.3).sum(axis=1), 1)


def test_bayes_of_certain_and_of_blind_classes():
    assert bayes([0.0, 1.0, 1.0]) == (1.0, 1.0)
    assert bayes([0.5, 0.5]) == (0.5, 0.5)
