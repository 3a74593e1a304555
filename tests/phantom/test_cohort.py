"""The cohort: patients and visits are drawn before anybody is labelled."""

from itertools import pairwise

import numpy as np
import pytest

from relevox.config import PhantomSettings
from relevox.phantom.cohort import draw_patients


@pytest.fixture(scope="module")
def many():
    return draw_patients(PhantomSettings(n_patients=1000, n_repeated=100), seed=4)


def column(scans, name):
    return np.array([getattr(scan, name) for scan in scans])


def test_the_same_seed_draws_the_same_cohort():
    settings = PhantomSettings(n_patients=6)
    assert draw_patients(settings, 1) == draw_patients(settings, 1)
    assert draw_patients(settings, 1) != draw_patients(settings, 2)


def test_a_patient_does_not_depend_on_the_others():
    few, more = (draw_patients(PhantomSettings(n_patients=n, n_repeated=0), 1) for n in (4, 9))
    assert [s.periventricular_ml for s in few] == [s.periventricular_ml for s in more[:4]]


def test_scans_are_sorted_and_repeated_as_asked(many):
    keys = [scan.id.key for scan in many]
    assert keys == sorted(keys) and len(set(keys)) == 1100


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


def test_patients_do_not_depend_on_the_label():
    few = PhantomSettings(n_patients=6)
    other = few.model_copy(update={"label": "paper", "label_draw": 3, "confounding": 0.2, "prevalence": 0.5})
    assert draw_patients(few, 1) == draw_patients(other, 1)
