"""The random-intercept model against lme4, statsmodels and least squares."""

from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm

from relevox.statistics.mixed import random_intercept


def repeated_measures(seed, patient_sd):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(40), rng.integers(1, 5, size=40))
    X = np.column_stack([np.ones(patients.size), rng.integers(0, 2, patients.size)])
    y = X @ [3.0, 1.0] + rng.normal(0, patient_sd, 40)[patients] + rng.normal(0, 1, patients.size)
    return y, X, patients


def test_sleepstudy_is_that_of_lme4():
    # reaction times in ms, one row a subject, one column a day (Belenky et al. 2003, as in lme4)
    reaction = np.loadtxt(Path(__file__).with_name("sleepstudy.tsv"))
    assert reaction.shape == (18, 10)
    subjects = np.repeat(np.arange(18), 10)
    days = np.tile(np.arange(10.0), 18)
    fit = random_intercept(reaction.ravel(), np.column_stack([np.ones(180), days]), subjects)
    np.testing.assert_allclose(fit.coefficients, [251.405105, 10.467286], atol=1e-6)
    np.testing.assert_allclose(fit.standard_errors, [9.74672, 0.804221], rtol=1e-5)
    assert fit.patient_variance == pytest.approx(1378.18, abs=0.01)
    assert fit.residual_variance == pytest.approx(960.457, abs=0.001)
    assert fit.converged


def test_agrees_with_statsmodels_reml():
    y, X, patients = repeated_measures(1, 1.5)
    fit = random_intercept(y, X, patients)
    reference = sm.MixedLM(y, X, groups=patients).fit(reml=True)
    np.testing.assert_allclose(fit.coefficients, reference.fe_params, rtol=1e-4)
    # statsmodels takes its errors from the joint Hessian, lme4 and we from generalised least squares.
    np.testing.assert_allclose(fit.standard_errors, reference.bse_fe, rtol=0.03)
    assert fit.residual_variance == pytest.approx(reference.scale, rel=1e-3)
    assert fit.patient_variance == pytest.approx(float(reference.cov_re[0, 0]), rel=1e-3)


def test_standard_errors_are_those_of_generalised_least_squares():
    y, X, patients = repeated_measures(4, 1.0)
    fit = random_intercept(y, X, patients)
    same_patient = patients[:, None] == patients[None, :]
    covariance = fit.patient_variance * same_patient + fit.residual_variance * np.eye(y.size)
    precision = np.linalg.inv(covariance)
    information = X.T @ precision @ X
    np.testing.assert_allclose(fit.coefficients, np.linalg.solve(information, X.T @ precision @ y))
    np.testing.assert_allclose(fit.standard_errors, np.sqrt(np.diag(np.linalg.inv(information))))


def test_balanced_one_way_layout_gives_the_anova_estimates():
    rng = np.random.default_rng(2)
    patients = np.repeat(np.arange(12), 3)
    y = rng.normal(0, 2, 12)[patients] + rng.normal(0, 1, 36)
    table = y.reshape(12, 3)
    within = table.var(axis=1, ddof=1).mean()
    between = 3 * table.mean(axis=1).var(ddof=1)
    fit = random_intercept(y, np.ones((36, 1)), patients)
    assert fit.residual_variance == pytest.approx(within, rel=1e-5)
    assert fit.patient_variance == pytest.approx((between - within) / 3, rel=1e-5)
    assert fit.standard_errors[0] == pytest.approx(np.sqrt(between / 36), rel=1e-5)


def test_without_variance_between_patients_it_is_least_squares():
    rng = np.random.default_rng(3)
    patients = np.repeat(np.arange(10), 2)
    y = np.tile([1.0, -1.0], 10) + rng.normal(0, 0.01, 20)  # all spread is within patients
    X = np.column_stack([np.ones(20), rng.normal(size=20)])
    fit = random_intercept(y, X, patients)
    assert fit.patient_variance == 0
    np.testing.assert_allclose(fit.coefficients, np.linalg.lstsq(X, y, rcond=None)[0])


def test_without_variance_within_patients_there_is_no_optimum():
    means = np.array([1.0, 2.0, 4.0, 7.0])
    assert not random_intercept(np.repeat(means, 3), np.ones((12, 1)), np.repeat(np.arange(4), 3)).converged


def test_with_hardly_any_variance_within_patients_only_their_means_count():
    means = np.array([1.0, 2.0, 4.0, 7.0])
    y = np.repeat(means, 3) + 1e-4 * np.tile([-1.0, 0.0, 1.0], 4)
    fit = random_intercept(y, np.ones((12, 1)), np.repeat(np.arange(4), 3))
    assert fit.converged
    assert fit.coefficients[0] == pytest.approx(means.mean())
    assert fit.standard_errors[0] == pytest.approx(means.std(ddof=1) / 2, rel=1e-4)


def test_a_fit_that_breaks_down_says_so():
    y = np.array([1.0, 2.0, 3.0, np.inf])
    assert not random_intercept(y, np.ones((4, 1)), np.array([0, 0, 1, 1])).converged
