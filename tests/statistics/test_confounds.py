"""Confounds: pairs within a scanner, leaving a scanner out, and the verdict."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from relevox.errors import InputError
from relevox.statistics.confounds import confound_verdict, leave_one_stratum_out, stratified_auc


def confounded(n=300, seed=0, scanner=3.0, brain=0.0):
    """A cohort whose scanners have different shares of class 1, and a model that reads scanner and brain."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), rng.integers(1, 3, n))
    machine = rng.integers(0, 4, n)[patients]
    share = np.array([0.1, 0.3, 0.7, 0.9])
    y = (rng.random(n)[patients] < share[machine]).astype(int)
    noise = rng.standard_normal(n)[patients] + 0.3 * rng.standard_normal(len(y))
    z = scanner * (share[machine] - 0.5) * 4 + brain * (y - 0.5) + noise
    return y, 1 / (1 + np.exp(-z)), share[machine], np.array(["GE", "Philips", "Prisma", "Trio"])[machine], patients


def test_the_stratified_area_is_its_definition_by_pairs():
    y, p, _, strata, patients = confounded(60, brain=1.0)
    p = p.round(1)
    right = pairs = 0
    for i in np.flatnonzero(y == 1):
        for j in np.flatnonzero(y == 0):
            if strata[i] == strata[j]:
                pairs += 1
                right += (p[i] > p[j]) + 0.5 * (p[i] == p[j])
    found = stratified_auc(y, p, strata, patients, n_bootstrap=50)
    assert (found.value, found.n_pairs) == (pytest.approx(right / pairs), pairs)
    assert found.n_pairs_all == (y == 1).sum() * (y == 0).sum()
    assert found.ci_low < found.value < found.ci_high


def test_with_one_stratum_it_is_the_plain_area():
    y, p, _, _, patients = confounded(60)
    found = stratified_auc(y, p, ["x"] * len(y), patients, n_bootstrap=50)
    assert found.value == pytest.approx(roc_auc_score(y, p)) and found.n_pairs == found.n_pairs_all


def test_strata_of_one_class_and_unknown_strata_give_no_pair():
    found = stratified_auc([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], ["a", "a", "b", ""], np.arange(4), n_bootstrap=20)
    assert np.isnan([found.value, found.ci_low]).all()
    assert (found.n_pairs, found.n_strata, found.n_unknown) == (0, 0, 1)
    with pytest.raises(InputError, match="confound-strata"):
        stratified_auc([0, 1], [0.1, 0.2], ["a"], [0, 1])


def test_a_purely_scanner_driven_cohort_is_called_so():
    y, p, scanner_only, strata, patients = confounded(scanner=3.0, brain=0.0)
    found = confound_verdict(y, p, scanner_only, patients, strata, n_bootstrap=500)
    assert found.model > 0.75 and found.ci_low > 0.5
    assert found.stratified.ci_low < 0.5 < found.stratified.ci_high
    assert found.within_interval and found.not_shown_better and found.chance_within_strata and found.confound_driven


def test_a_model_that_reads_the_brain_is_not():
    y, p, scanner_only, strata, patients = confounded(scanner=1.0, brain=5.0)
    found = confound_verdict(y, p, scanner_only, patients, strata, n_bootstrap=500)
    assert found.difference.difference == pytest.approx(found.model - found.confound)
    assert not (found.within_interval or found.not_shown_better or found.chance_within_strata or found.confound_driven)


def test_a_confound_that_tells_nothing_drives_nothing():
    rng = np.random.default_rng(0)
    y, p, scanner = rng.integers(0, 2, 60), rng.random(60), rng.random(60).round(1)
    found = confound_verdict(y, p, scanner, np.arange(60), scanner.astype(str), n_bootstrap=200)
    assert found.not_shown_better and found.chance_within_strata and not found.confound_driven
    assert found.confound_low < found.confound < found.confound_high


def test_where_scanner_and_class_are_the_same_nothing_can_be_shown():
    y = np.repeat([0, 1], 20)
    found = confound_verdict(y, np.where(y == 1, 0.9, 0.2), y * 0.8, np.arange(40), y.astype(str), n_bootstrap=50)
    assert found.model == found.confound == 1.0 and np.isnan(found.stratified.value)
    assert found.within_interval and found.confound_driven


def test_the_verdict_of_a_model_against_itself_is_that_nothing_is_gained():
    y, p, _, _, patients = confounded(50)
    found = confound_verdict(y, p, p, patients, measure="balanced_accuracy", n_bootstrap=100)
    assert found.difference.difference == 0 and found.within_interval and found.not_shown_better
    assert found.stratified is None and not found.confound_driven
    with pytest.raises(InputError, match="confound-measure"):
        confound_verdict(y, p, p, patients, measure="accuracy")


def test_a_left_out_scanner_shares_no_patient_with_the_training_rows():
    strata = np.array(["a", "a", "b", "b", "c", "", "a"])
    patients = np.array([1, 2, 1, 3, 4, 5, 5])
    labels = np.array([0, 1, 0, 0, 1, 1, 0])
    found = {part.stratum: part for part in leave_one_stratum_out(strata, patients, labels)}
    assert list(found) == ["a", "b", "c"]
    assert found["b"].test.tolist() == [2, 3]
    assert found["b"].train.tolist() == [1, 4, 6]  # not row 0: patient 1 is tested; not row 5: of unknown scanner
    for part in found.values():
        assert not set(patients[part.train]) & set(patients[part.test])
    assert found["b"].possible and not leave_one_stratum_out(["a", "b"], [1, 2], [0, 1])[0].possible
