"""The cohort: causes are drawn first, place independent of amount."""

from itertools import pairwise

import numpy as np
import pytest

from relevox.config import PhantomSettings, phantom_preset
from relevox.phantom.cohort import draw_cohort


@pytest.fixture(scope="module")
def many():
    return draw_cohort(PhantomSettings(n_patients=1000, n_repeated=100, confounding=0.0), seed=4)


def column(scans, name):
    return np.array([getattr(scan, name) for scan in scans])


def test_the_same_seed_draws_the_same_cohort():
    settings = PhantomSettings(n_patients=6)
    assert draw_cohort(settings, 1) == draw_cohort(settings, 1)
    assert draw_cohort(settings, 1) != draw_cohort(settings, 2)


def test_a_patient_does_not_depend_on_the_others():
    few, more = (draw_cohort(PhantomSettings(n_patients=n, n_repeated=0), 1) for n in (4, 9))
    assert [s.periventricular_ml for s in few] == [s.periventricular_ml for s in more[:4]]


def test_scans_are_sorted_and_repeated_as_asked(many):
    keys = [scan.id.key for scan in many]
    assert keys == sorted(keys) and len(set(keys)) == 1100


def test_where_lesions_lie_says_nothing_about_how_many(many):
    label, total = column(many, "label"), column(many, "periventricular_ml") + column(many, "other_ml")
    assert abs(np.corrcoef(label, np.sqrt(total))[0, 1]) < 0.08
    share = column(many, "periventricular_ml") / total
    assert np.corrcoef(label, share)[0, 1] > 0.6


def test_the_load_label_follows_the_total():
    scans = draw_cohort(PhantomSettings(n_patients=800, label="load"), 0)
    total = column(scans, "periventricular_ml") + column(scans, "other_ml")
    assert np.corrcoef(column(scans, "label"), np.log(total))[0, 1] > 0.6


def test_the_label_is_edss_of_three_and_the_prevalence_is_met(many):
    assert column(many, "label").mean() == pytest.approx(0.437, abs=0.04)
    np.testing.assert_array_equal(column(many, "score") >= 3, column(many, "label") == 1)


def test_scores_are_dated_within_the_window_after_the_scan(many):
    days = np.array([(scan.score_date - scan.scan_date).days for scan in many])
    assert days.min() == 0 and days.max() == 183


def test_a_second_scan_is_later_and_worse(many):
    pairs = [(a, b) for a, b in pairwise(many) if a.id.participant == b.id.participant]
    assert len(pairs) == 100
    for first, second in pairs:
        assert second.scan_date > first.score_date
        assert second.periventricular_ml >= first.periventricular_ml
        assert second.change["lateral_ventricles"] > first.change["lateral_ventricles"]
        assert second.age_years > first.age_years and second.sex == first.sex


def test_confounding_ties_scanners_to_classes():
    settings = PhantomSettings(n_patients=1000, n_repeated=0)
    tied = draw_cohort(settings, 0)
    label, trio = column(tied, "label"), column(tied, "scanner") == 4
    assert trio[label == 0].mean() - trio[label == 1].mean() == pytest.approx(133 / 215 - 60 / 167, abs=0.06)
    free = draw_cohort(settings.model_copy(update={"confounding": 0.0}), 0)
    label, trio = column(free, "label"), column(free, "scanner") == 4
    assert abs(trio[label == 0].mean() - trio[label == 1].mean()) < 0.07


def test_an_external_cohort_has_other_patients_other_scanners_and_half_of_either_class():
    here, there = (draw_cohort(phantom_preset(name), 0) for name in ("demo", "demo_external"))
    assert not {s.id.participant for s in here} & {s.id.participant for s in there}
    assert not {s.intracranial_ml for s in here} & {s.intracranial_ml for s in there}
    assert {s.scanner for s in here} <= set(range(5)) and {s.scanner for s in there} == set(range(5, 9))
    assert set(column(there, "score")) <= set(range(9))
    large = phantom_preset("demo_external").model_copy(update={"n_patients": 1000})
    assert column(draw_cohort(large, 0), "label").mean() == pytest.approx(0.5, abs=0.04)


def test_later_scores_rise_and_say_more_with_the_image_than_without():
    settings = PhantomSettings(n_patients=1500, n_repeated=0, follow_up_years=3, confounding=0.0)
    scans = [scan for scan in draw_cohort(settings, 0) if scan.later]
    days = np.array([(on - scan.scan_date).days for scan in scans for on, _ in scan.later])
    assert days.min() >= 305 and days.max() <= 3 * 366 + 60
    assert 0.86 < len(days) / (3 * 1500) < 0.94  # every tenth visit is missed
    last = np.array([scan.later[-1][1] for scan in scans])
    now, latent = column(scans, "score"), column(scans, "latent")
    assert last.mean() > now.mean() + 0.3
    X = np.column_stack([np.ones(len(scans)), now])
    without = np.linalg.lstsq(X, last, rcond=None)[1][0]
    with_image = np.linalg.lstsq(np.column_stack([X, latent]), last, rcond=None)[1][0]
    assert with_image < 0.9 * without
    assert draw_cohort(settings.model_copy(update={"follow_up_years": 0}), 0)[0].later == ()
