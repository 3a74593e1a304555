"""Calibration: published numbers, library fits and identities."""

import numpy as np
import pytest
from scipy import special, stats
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from relevox.errors import InputError
from relevox.statistics.calibration import (
    brier_parts,
    calibration,
    expected_calibration_error,
    reliability_curve,
    temperature,
    with_temperature,
)
from relevox.statistics.scores import classification_scores

CONFIDENCE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
TRUTH = [0, 0, 1, 0, 1, 1, 0, 1, 1, 1]


def drawn(n=300, seed=0, power=2.0):
    """Probabilities whose truth is another one."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, n)
    return (rng.random(n) < p**power).astype(int), p


def test_slope_and_intercept_are_those_of_a_logistic_regression():
    y, p = drawn()
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(special.logit(p)[:, None], y)
    found = calibration(y, p)
    assert (found.intercept, found.slope) == pytest.approx((fit.intercept_[0], fit.coef_[0, 0]), rel=1e-4)


def test_true_probabilities_have_slope_one_and_too_extreme_ones_less():
    y, p = drawn(20_000, seed=1, power=1.0)
    found = calibration(y, p)
    assert found.slope_low < 1 < found.slope_high and found.intercept_low < 0 < found.intercept_high
    extreme = special.expit(2 * special.logit(p))
    assert calibration(y, extreme).slope == pytest.approx(found.slope / 2, rel=1e-6)


def test_copies_of_scans_leave_the_intervals_of_the_slope_as_they_are():
    y, p = drawn(120)
    once = calibration(y, p, np.arange(120))
    thrice = calibration(np.tile(y, 3), np.tile(p, 3), np.tile(np.arange(120), 3))
    as_if_independent = calibration(np.tile(y, 3), np.tile(p, 3))
    assert thrice.slope == pytest.approx(once.slope)
    width = once.slope_high - once.slope_low
    assert thrice.slope_high - thrice.slope_low == pytest.approx(width, rel=0.01)
    assert as_if_independent.slope_high - as_if_independent.slope_low == pytest.approx(width / np.sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9]),
        ([0, 0, 1, 1], [0.1, 0.5, 0.5, 0.9]),
        ([1, 1, 1], [0.1, 0.5, 0.9]),
        ([0, 1, 1], [0.5, 0.5, 0.5]),
    ],
)
def test_without_a_finite_slope_all_is_nan(y, p):
    assert np.isnan(list(vars(calibration(y, p)).values())).all()


def test_probabilities_of_exactly_0_and_1_can_be_calibrated():
    assert np.isfinite(calibration([0, 1, 0, 1, 1, 0], [0.0, 1.0, 1.0, 0.0, 0.7, 0.4]).slope)


def test_ece_says_on_which_side_bins_are_closed():
    assert expected_calibration_error(TRUTH, CONFIDENCE, 5, "right") == pytest.approx(0.215)
    assert expected_calibration_error(TRUTH, CONFIDENCE, 5, "left") == pytest.approx(0.135)


@pytest.mark.parametrize("closed", ["right", "left"])
def test_ece_is_its_definition_bin_by_bin(closed):
    y, p = drawn(200, seed=3)
    p = p.round(1)
    total = 0.0
    for k in range(10):
        low, high = k / 10, (k + 1) / 10
        if closed == "right":
            inside = (p > low) & (p <= high) if k else p <= high
        else:
            inside = (p >= low) & (p < high) if k < 9 else p >= low
        if inside.any():
            total += inside.mean() * abs(p[inside].mean() - y[inside].mean())
    assert expected_calibration_error(y, p, 10, closed) == pytest.approx(total)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_the_reliability_curve_is_scikit_learns_with_wilson_intervals(strategy):
    y, p = drawn(400, seed=4)
    found = reliability_curve(y, p, 7, strategy)
    observed, predicted = calibration_curve(y, p, n_bins=7, strategy=strategy)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.predicted, predicted)
    assert found.n.sum() == 400
    low, high = stats.binomtest(round(observed[0] * found.n[0]), int(found.n[0])).proportion_ci(0.95, "wilson")
    assert (found.ci_low[0], found.ci_high[0]) == pytest.approx((low, high))


def test_empty_bins_are_not_listed_and_equal_probabilities_stay_together():
    assert reliability_curve([0, 1, 1], [0.05, 0.95, 0.95]).n.tolist() == [1, 2]
    assert reliability_curve([0, 1] * 10, [0.3] * 20, 5, "quantile").n.tolist() == [20]


def test_the_parts_of_the_brier_score_add_up_to_it():
    y, p = drawn(250, seed=5)
    parts = brier_parts(y, p, 10)
    assert parts.total == pytest.approx(classification_scores(y, p).brier, rel=1e-12)
    assert parts.uncertainty == pytest.approx(y.var())
    centres = np.clip(p, 0.1, 1).round(1) - 0.05  # one probability a bin: Murphy's three parts are all
    exact = brier_parts(y, centres, 10)
    assert exact.within == pytest.approx(0, abs=1e-12)
    assert exact.total == pytest.approx(classification_scores(y, centres).brier)


def test_the_temperature_of_equal_logits_is_known():
    """All logits of size a, accuracy q: T = a / ln(q / (1 - q)); a = 3, q = 0.8: 2.164043."""
    y = np.array([0, 1] * 50)
    right = np.arange(100) % 5 > 0
    p = special.expit(np.where(y == right, 3.0, -3.0))
    assert temperature(y, p) == pytest.approx(2.164043, abs=1e-6)


def test_the_temperature_has_the_largest_likelihood_and_leaves_argmax_and_auc():
    y, p = drawn(200, seed=6)
    t = temperature(y, p)

    def likelihood(at):
        q = with_temperature(p, at)
        return np.log(np.where(y == 1, q, 1 - q)).sum()

    assert likelihood(t) > max(likelihood(t * 1.01), likelihood(t / 1.01), likelihood(1.0))
    before, after = classification_scores(y, p), classification_scores(y, with_temperature(p, t))
    assert after.auc == before.auc and after.accuracy == before.accuracy
    assert temperature(y, with_temperature(p, t)) == pytest.approx(1, abs=1e-6)


def test_temperatures_without_a_finite_optimum_say_so():
    assert np.isnan(temperature([0, 1], [0.2, 0.9]))  # never wrong: ever more extreme is ever more likely
    assert temperature([0, 1], [0.9, 0.2]) == np.inf  # always wrong: nothing is better than 0.5
    assert with_temperature(np.array([0.2, 0.9]), np.inf).tolist() == [0.5, 0.5]
    with pytest.raises(InputError, match="temperature-value"):
        with_temperature(np.array([0.2]), 0.0)
