"""A logit made of known causes is explained by them."""

import numpy as np
import pytest

from relevox.statistics.causes import explained_by_causes


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    n = 300
    causes = {name: rng.normal(size=n) for name in ("used", "unused", "constant")}
    causes["constant"] = np.ones(n)
    scanner = rng.choice(["a", "b", "c"], size=n)
    return causes, scanner, np.arange(n), rng


def test_the_cause_that_is_used_has_its_coefficient_and_the_decoy_none(made):
    causes, scanner, patients, rng = made
    logit = 3 * causes["used"] + rng.normal(size=300)
    found = explained_by_causes(logit, causes, scanner, patients, n_bootstrap=300)
    assert found["used"].value == pytest.approx(3 / np.sqrt(10), abs=0.03)
    assert found["unused"].ci_low < 0 < found["unused"].ci_high
    assert found["r2"].value == pytest.approx(0.9, abs=0.03)
    assert np.isnan(found["constant"].value)
    assert found["r2_added_by_scanner"].value < 0.02


def test_a_network_that_reads_the_scanner_is_found_out(made):
    causes, scanner, patients, rng = made
    logit = 2.0 * (scanner == "b") + 0.1 * rng.normal(size=300)
    found = explained_by_causes(logit, causes, scanner, patients, n_bootstrap=100)
    assert found["r2_added_by_scanner"].value > 0.95
    assert abs(found["used"].value) < 0.05


def test_the_coefficients_are_those_of_least_squares(made):
    causes, scanner, patients, rng = made
    logit = causes["used"] - 0.5 * causes["unused"] + (scanner == "c") + rng.normal(size=300)
    found = explained_by_causes(logit, causes, scanner, patients, n_bootstrap=50)
    columns = [causes["used"], causes["unused"], scanner == "b", scanner == "c", np.ones(300)]
    beta = np.linalg.lstsq(np.stack(columns, axis=1).astype(float), logit, rcond=None)[0]
    assert found["used"].value == pytest.approx(beta[0] * causes["used"].std() / logit.std())
    assert found["unused"].value == pytest.approx(beta[1] * causes["unused"].std() / logit.std())


def test_a_logit_that_never_changes_is_explained_by_nothing(made):
    causes, scanner, patients, _ = made
    found = explained_by_causes(np.ones(300), causes, scanner, patients, n_bootstrap=50)
    assert all(np.isnan(estimate.value) for estimate in found.values())
