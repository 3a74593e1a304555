"""Signs of disease: what goes with what, and what is left to chance."""

import numpy as np
import pytest

from relevox.phantom.atrophy import LOBES, TISSUES, VENTRICLES
from relevox.phantom.disease import (
    NORMALS,
    OTHER_ROOM_ML,
    PERIVENTRICULAR_ROOM_ML,
    TEMPLATE_HEAD_ML,
    TEMPLATE_ML,
    divided,
    signs,
)


@pytest.fixture(scope="module")
def normals():
    return np.random.default_rng(3).standard_normal((10_000, len(NORMALS)))


@pytest.fixture(scope="module")
def drawn(normals):
    return signs(normals)


def test_a_patient_does_not_depend_on_the_others(normals, drawn):
    alone = signs(normals[4:5])
    assert alone.periventricular_ml[0] == drawn.periventricular_ml[4]
    assert all(alone.change[name][0] == drawn.change[name][4] for name in TISSUES)


def test_the_place_of_lesions_says_nothing_about_the_rest(drawn):
    odds, load = np.log(drawn.periventricular_ml / drawn.other_ml), drawn.periventricular_ml + drawn.other_ml
    others = (load, drawn.years, drawn.intracranial_ml, *drawn.change.values())
    free = load < PERIVENTRICULAR_ROOM_ML  # a larger load may not fit near the ventricles
    assert all(abs(np.corrcoef(odds[free], values[free])[0, 1]) < 0.05 for values in others)


def test_severity_goes_into_every_sign(drawn):
    load = np.sqrt(drawn.periventricular_ml + drawn.other_ml)
    assert all(np.corrcoef(load, drawn.change[name])[0, 1] > 0.2 for name in TISSUES)
    assert np.corrcoef(load, drawn.years)[0, 1] > 0.4


def test_the_difference_of_lobes_is_not_in_the_total(drawn):
    frontotemporal = drawn.change["frontal_cortex"] + drawn.change["temporal_cortex"]
    elsewhere = drawn.change["parietal_cortex"] + drawn.change["occipital_cortex"]
    assert abs(np.corrcoef(frontotemporal - elsewhere, drawn.change["white_matter"])[0, 1]) < 0.05


def test_every_head_keeps_room_for_fluid(drawn):
    filled = sum(TEMPLATE_ML[name] * np.exp(-drawn.change[name]) for name in TISSUES if name != VENTRICLES)
    filled = (filled + TEMPLATE_ML[VENTRICLES] * np.exp(drawn.change[VENTRICLES])) / TEMPLATE_HEAD_ML
    assert filled.min() > 0.69 and filled.max() < 0.956


def test_what_does_not_fit_near_the_ventricles_lies_elsewhere():
    inner, outer = divided(np.array([10.0, 200.0, 0.0]), np.array([5.0, 50.0, 0.0]))
    np.testing.assert_allclose(inner[:2], [10, PERIVENTRICULAR_ROOM_ML])
    np.testing.assert_allclose(outer[:2], [5, 250 - PERIVENTRICULAR_ROOM_ML])
    assert inner[2] > 0 and outer[2] > 0 and outer.max() <= OTHER_ROOM_ML


def test_a_larger_effect_spreads_lesions_and_cortex_further(normals, drawn):
    strong = signs(normals, effect=2.0)
    load, place = ([f(s.periventricular_ml, s.other_ml) for s in (drawn, strong)] for f in (np.add, np.divide))
    assert np.sqrt(load[1]).std() > 1.6 * np.sqrt(load[0]).std()
    assert np.log(place[1]).std() > 1.3 * np.log(place[0]).std()
    for lobe in LOBES:
        assert strong.change[lobe].std() > 1.3 * drawn.change[lobe].std()
