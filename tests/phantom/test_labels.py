"""Labels: scores follow the causes, scanners the classes, and another draw is another draw."""

import numpy as np
import pytest

from relevox.config import PhantomSettings, phantom_preset
from relevox.phantom.causes import LABEL_MODELS
from relevox.phantom.labels import draw_cohort


@pytest.fixture(scope="module")
def many():
    return draw_cohort(PhantomSettings(n_patients=1000, n_repeated=100, confounding=0.0), seed=4)


def column(scans, name):
    return np.array([getattr(scan, name) for scan in scans])


def test_where_lesions_lie_says_nothing_about_how_many(many):
    label, total = column(many, "label"), column(many, "periventricular_ml") + column(many, "other_ml")
    # not quite nothing: of the largest loads, what does not fit near the ventricles lies elsewhere (r = -0.05)
    assert abs(np.corrcoef(label, np.sqrt(total))[0, 1]) < 0.12
    share = column(many, "periventricular_ml") / total
    assert np.corrcoef(label, share)[0, 1] > 0.6


def test_the_load_label_follows_the_total():
    scans = draw_cohort(PhantomSettings(n_patients=800, label="load"), 0)
    total = column(scans, "periventricular_ml") + column(scans, "other_ml")
    assert np.corrcoef(column(scans, "label"), np.log(total))[0, 1] > 0.6


def test_the_label_is_edss_of_three_and_the_prevalence_is_met(many):
    assert column(many, "label").mean() == pytest.approx(0.437, abs=0.04)
    np.testing.assert_array_equal(column(many, "score") >= 3, column(many, "label") == 1)


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


def test_another_draw_gives_the_same_patients_other_labels_and_scanners():
    settings = PhantomSettings(n_patients=400, label_noise=1.0)
    one, two = (draw_cohort(settings.model_copy(update={"label_draw": n}), 0) for n in (0, 1))
    np.testing.assert_array_equal(column(one, "latent"), column(two, "latent"))
    assert abs(np.corrcoef(column(one, "unexplained"), column(two, "unexplained"))[0, 1]) < 0.15
    assert 0.1 < (column(one, "label") != column(two, "label")).mean() < 0.5
    assert (column(one, "scanner") != column(two, "scanner")).mean() > 0.3


def test_a_patient_s_visits_share_what_the_causes_do_not_explain(many):
    own = {}
    for scan in many:
        own.setdefault(scan.id.participant, set()).add(scan.unexplained)
    assert all(len(values) == 1 for values in own.values()) and len(own) == 1000


@pytest.mark.parametrize("label", LABEL_MODELS)
def test_every_label_model_has_its_noise_unless_another_is_asked_for(label):
    settings = PhantomSettings(n_patients=500, n_repeated=0, label=label)
    certain = draw_cohort(settings.model_copy(update={"label_noise": 0.0}), 0)
    assert set(column(certain, "probability")) == {0.0, 1.0}
    p = column(draw_cohort(settings, 0), "probability")
    assert 0 < np.minimum(p, 1 - p).mean() < 0.3


def test_weights_of_one_s_own_decide_the_label():
    settings = PhantomSettings(n_patients=800, n_repeated=0, weights={"occipital_cortex": -1.0}, label_noise=0.2)
    scans = draw_cohort(settings, 0)
    lost = np.array([scan.change["occipital_cortex"] for scan in scans])
    assert np.corrcoef(lost, column(scans, "latent"))[0, 1] == pytest.approx(1)
    assert np.corrcoef(lost, column(scans, "label"))[0, 1] > 0.7
