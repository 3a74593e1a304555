"""Decision curves."""

import numpy as np
import pytest

from relevox.errors import InputError
from relevox.statistics.decision import decision_curve, net_benefit
from relevox.statistics.scores import classification_scores


def predictions(n=80, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, np.clip(0.5 + 0.25 * (y - 0.5) + 0.25 * rng.standard_normal(n), 0, 1), np.arange(n) // 2


def test_net_benefit_of_149_true_and_56_false_positives_among_440():
    y, p = np.repeat([1, 0, 0], [149, 56, 235]), np.repeat([0.9, 0.9, 0.1], [149, 56, 235])
    assert net_benefit(y, p, 0.5) == pytest.approx(0.211364, abs=1e-6)


def test_the_curve_is_the_definition_at_every_threshold():
    y, p, patients = predictions()
    curve = decision_curve(y, p, patients, n_bootstrap=20)
    for t, model, everybody in zip(curve.threshold, curve.model, curve.treat_all, strict=True):
        acted = p > t
        slow = (acted & (y == 1)).mean() - (acted & (y == 0)).mean() * t / (1 - t)
        assert model == pytest.approx(slow)
        assert everybody == pytest.approx(y.mean() - (1 - y.mean()) * t / (1 - t))
    assert (curve.treat_none == 0).all()


def test_a_perfect_model_gains_the_share_of_class_1_everywhere():
    y = np.array([0, 1, 1, 0, 0])
    curve = decision_curve(y, y.astype(float), np.arange(5), n_bootstrap=50)
    np.testing.assert_allclose(curve.model, 0.4)
    np.testing.assert_allclose(curve.gain, 0.4 - np.maximum(curve.treat_all, 0))


def test_a_model_without_a_difference_gains_nothing():
    y, _, patients = predictions()
    curve = decision_curve(y, np.full(80, y.mean()), patients, [0.1, 0.9], n_bootstrap=200)
    np.testing.assert_allclose(curve.gain, 0, atol=1e-12)


def test_at_one_half_net_benefit_is_accuracy_less_the_share_of_class_0():
    y, p, patients = predictions(seed=3)
    curve = decision_curve(y, p, patients, [0.5], n_bootstrap=400)
    assert curve.model[0] == pytest.approx(classification_scores(y, p).accuracy - (1 - y.mean()))
    assert curve.ci_low[0] < curve.model[0] < curve.ci_high[0]
    assert curve.gain_low[0] < curve.gain[0] < curve.gain_high[0]


def test_copies_of_scans_leave_the_band_as_it_is():
    y, p, patients = predictions()
    once = decision_curve(y, p, patients, [0.3, 0.6], 200)
    thrice = decision_curve(np.tile(y, 3), np.tile(p, 3), np.tile(patients, 3), [0.3, 0.6], 200)
    np.testing.assert_allclose(thrice.ci_low, once.ci_low)
    np.testing.assert_allclose(thrice.ci_high, once.ci_high)


@pytest.mark.parametrize("thresholds", [[0.0], [1.0], [np.nan], []])
def test_thresholds_that_price_nothing_are_refused(thresholds):
    with pytest.raises(InputError, match="decision-thresholds"):
        decision_curve([0, 1], [0.2, 0.8], [0, 1], thresholds)
