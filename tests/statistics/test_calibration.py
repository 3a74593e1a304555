import numpy as np
import pytest
import statsmodels.api as sm

from relevox.statistics.calibration import calibration


def test_slope_and_intercept_are_those_of_a_logistic_regression():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, 300)
    y = rng.random(300) < p**2
    fit = sm.Logit(y.astype(float), sm.add_constant(np.log(p / (1 - p)))).fit(disp=False)
    found = calibration(y, p)
    assert (found.intercept, found.slope) == pytest.approx(tuple(fit.params), rel=1e-6)


def test_true_probabilities_have_slope_one_and_too_extreme_ones_less():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.05, 0.95, 20_000)
    y = rng.random(20_000) < p
    found = calibration(y, p)
    assert found.slope == pytest.approx(1, abs=0.06) and found.intercept == pytest.approx(0, abs=0.06)
    logit = 2 * np.log(p / (1 - p))
    assert calibration(y, 1 / (1 + np.exp(-logit))).slope == pytest.approx(found.slope / 2, rel=1e-6)


def test_classes_that_are_told_apart_perfectly_have_no_slope():
    assert np.isnan(calibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]).slope)
