from dataclasses import asdict

import numpy as np
import pytest
from scipy import stats

from relevox.statistics.novelty import FALSE_ALARMS, compare, training_range

NAMES = tuple("abcdef")


def people(n):
    return [f"p{i}" for i in range(n)]


def cohort(seed=0, n=220, p=6):
    """Correlated normal measures, one scan a patient, and a function that draws more."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(p, p)) + 2 * np.eye(p)
    return rng.normal(size=(n, p)) @ mix, lambda m: rng.normal(size=(m, p)) @ mix


def judged(training, row):
    return compare(training, dict(zip(NAMES, row, strict=False)))


def test_scans_like_the_training_scans_are_rarely_warned_of():
    single = joint = total = 0
    for seed in range(4):
        values, more = cohort(seed, n=110)
        training = training_range(NAMES, values, people(110))
        for row in more(250):
            found = judged(training, row)
            single, joint, total = single + bool(found.outside), joint + found.is_outside_jointly, total + 1
    highest = stats.binom.isf(1e-4, total, 2 * FALSE_ALARMS)  # quantiles of 110 know the spread to 10 %
    assert 0 < single <= highest and joint <= highest


def test_the_share_of_training_patients_warned_of_is_that_of_leaving_each_out():
    values, _ = cohort(n=14, p=2)
    values[7] = 1000.0
    values[8, 0] = np.nan
    owners = people(14)
    owners[1] = owners[0]
    training = training_range(("a", "b"), values, owners)
    warned = []
    for patient in dict.fromkeys(owners):
        out = np.array(owners) == patient
        others = training_range(("a", "b"), values[~out], np.array(owners)[~out])
        warned.append(any(judged(others, row).is_outside for row in values[out]))
    assert training.false_alarms == np.mean(warned) > 0


def test_each_measure_far_out_is_named_with_its_direction():
    values, _ = cohort()
    training = training_range(NAMES, values, people(220))
    row = np.median(values, axis=0)
    row[2] = values[:, 2].mean() - 10 * values[:, 2].std()
    found = judged(training, row)
    assert [m.range.name for m in found.outside] == ["c"]
    assert found.outside[0].distance == pytest.approx(-10, rel=0.25)
    assert not judged(training, np.median(values, axis=0)).is_outside


def test_measures_that_never_go_together_are_found_although_each_is_usual():
    rng = np.random.default_rng(1)
    a = rng.normal(size=300)
    values = np.stack([a, a + 0.1 * rng.normal(size=300)], axis=1)
    training = training_range(("a", "b"), values, people(300))
    found = compare(training, {"a": 2.0, "b": -2.0})
    assert not found.outside and found.is_outside_jointly
    assert not compare(training, {"a": 2.0, "b": 2.0}).is_outside


def test_the_joint_distance_is_the_definitions():
    values, more = cohort(n=200)
    training = training_range(NAMES, values, people(200))
    row = more(1)[0]
    found = judged(training, row)
    away = []
    for name, value, column in zip(NAMES, row, values.T, strict=True):
        low, middle, high = np.quantile(column, (0.05, 0.5, 0.95))
        side = high if value > middle else low
        away.append((value - middle) / abs(side - middle) * 1.6448536269514722)
        assert next(m for m in found.measures if m.range.name == name).distance == pytest.approx(away[-1])
    away = np.array(away) - training.joint_mean
    assert found.squared_distance == pytest.approx(away @ np.linalg.inv(training.joint_covariance) @ away)
    rest = {name: value for name, value in zip(NAMES, row, strict=True) if name != "d"}
    assert found.measures[3].squared_without == pytest.approx(compare(training, rest).squared_distance)
    p, n = 6, 200
    assert found.squared_limit == pytest.approx(p * (n**2 - 1) / (n * (n - p)) * stats.f.ppf(0.99, p, n - p))


def test_a_few_failed_training_scans_do_not_hide_a_failed_scan():
    values, _ = cohort()
    values[:4] += 500
    training = training_range(NAMES, values, people(220))
    found = judged(training, np.median(values, axis=0) + 500)
    assert len(found.outside) == 6 and found.is_outside_jointly


def test_a_value_that_all_training_scans_share_allows_no_other():
    values = np.stack([np.full(30, 1.0), np.arange(30.0)], axis=1)
    training = training_range(("thickness", "other"), values, people(30))
    assert not compare(training, {"thickness": 1.0}).outside
    assert [m.range.name for m in compare(training, {"thickness": 3.0}).outside] == ["thickness"]
    assert np.isnan(compare(training, {"thickness": 3.0}).measures[0].distance)


def test_a_mostly_constant_measure_still_has_a_spread():
    values = np.zeros((100, 1))
    values[:3] = 7
    training = training_range(("border",), values, people(100))
    assert training.joint == ()
    assert not compare(training, {"border": 0.0}).outside
    assert compare(training, {"border": 50.0}).outside


def test_volumes_are_judged_on_a_log_scale():
    rng = np.random.default_rng(2)
    values = np.exp(rng.normal(2.5, 1, (300, 1)))
    linear, logarithmic = (training_range(("v",), values, people(300), names) for names in ((), ("v",)))
    large = {"v": float(np.exp(2.5 + 2.3))}
    assert compare(linear, large).outside
    assert not compare(logarithmic, large).outside


def test_what_was_not_measured_is_not_compared():
    values, more = cohort()
    training = training_range(NAMES, values, people(220))
    row = dict(zip(NAMES, more(1)[0], strict=True))
    del row["c"]
    found = compare(training, row)
    assert np.isnan(found.measures[2].distance) and not found.measures[2].is_outside
    assert np.isfinite(found.squared_distance)
    assert not compare(training, {}).is_outside and np.isnan(compare(training, {}).squared_distance)


def test_small_cohorts_give_moments_only_and_no_joint_distance():
    values, _ = cohort(n=9)
    training = training_range(NAMES, values, people(9))
    assert training.joint == () and np.isnan(training.false_alarms)
    assert all(measure.levels == () for measure in training.measures)
    assert training_range(NAMES, values[:4], people(4)).measures == ()


def test_no_training_scans_value_is_kept():
    values, _ = cohort(n=60)
    training = training_range(NAMES, values, people(60))
    kept = np.array([q for measure in training.measures for q in measure.quantiles])
    assert len(kept) == 18 and not np.isin(kept, values).any()


def test_percentiles_are_between_those_that_are_kept():
    training = training_range(("a",), np.arange(200.0)[:, None], people(200))
    (measure,) = training.measures
    assert measure.percentile(-5) == (0.0, 5.0) and measure.percentile(500) == (95.0, 100.0)
    assert measure.percentile(np.median(np.arange(200))) == (50.0, 50.0)
    assert asdict(training)["measures"][0]["name"] == "a"
