"""A patient: measured volumes, carried regions, and one cause changed at a time."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.config import PhantomSettings
from relevox.phantom.atrophy import LOBES
from relevox.phantom.causes import LESIONS, REGIONS
from relevox.phantom.cohort import draw_patients
from relevox.phantom.counterfactual import CHANGES, LOSS, changed_shares
from relevox.phantom.patient import (
    Patient,
    cause_volumes,
    make_patient,
    native_volumes,
    nearest,
    pooled,
    shares_with,
    tissue_shares,
)


@pytest.fixture(scope="module")
def planned():
    return replace(draw_patients(PhantomSettings(n_patients=2), 0)[0], periventricular_ml=15.0, other_ml=15.0)


@pytest.fixture(scope="module")
def patient(maps, planned):
    return make_patient(maps, planned, 0)


@pytest.fixture(scope="module")
def changed(maps, planned, patient):
    return dict(changed_shares(maps, planned, patient))


def test_the_head_has_the_drawn_size_and_the_drawn_lesions(patient, planned):
    ml = cause_volumes(patient)
    assert ml["intracranial"] == pytest.approx(planned.intracranial_ml)
    assert ml["periventricular_lesions"] == pytest.approx(15, abs=patient.voxel_ml)
    assert ml["other_lesions"] == pytest.approx(15, abs=patient.voxel_ml)
    assert set(ml) == {*LESIONS, *REGIONS, "intracranial"}


def test_the_lobes_are_parts_of_the_grey_matter(patient):
    ml = cause_volumes(patient)
    grey = native_volumes(patient.anatomy, patient.lesions, patient.voxel_ml)["grey_matter"]
    lobes = [ml[name] for name in REGIONS if name.endswith("cortex")]
    assert min(lobes) > 0.03 * grey and 0.6 * grey < sum(lobes) < grey


def test_the_label_of_a_scan_does_not_change_the_patient(maps, planned, patient):
    labelled = replace(planned, score=6.0, scanner=3, label_draw=2, unexplained=1.0)
    again = make_patient(maps, labelled, 0)
    np.testing.assert_array_equal(again.anatomy.grey, patient.anatomy.grey)
    np.testing.assert_array_equal(again.lesions.mask, patient.lesions.mask)


def test_labels_that_nothing_displaces_stay_where_they_are():
    labels = np.arange(24).reshape(2, 3, 4)
    np.testing.assert_array_equal(nearest(labels, np.zeros((3, 2, 3, 4)), 4.0), labels)
    step = np.zeros((3, 2, 3, 4))
    step[2] = 4.4  # just over one voxel towards the end of the last axis
    np.testing.assert_array_equal(nearest(labels, step, 4.0), labels[:, :, [1, 2, 3, 3]])


def test_shares_are_one_whole_and_lesions_take_the_place_of_solid_tissue(patient):
    healthy, ill = shares_with(patient.anatomy, np.zeros_like(patient.lesions.mask)), tissue_shares(*patient[:2])
    np.testing.assert_allclose(ill.sum(axis=0), healthy.sum(axis=0), atol=1e-6)
    assert (ill[:2, patient.lesions.mask] == 0).all() and (ill[3, ~patient.lesions.mask] == 0).all()
    np.testing.assert_array_equal(ill[2], healthy[2])


def test_pooling_is_the_mean_of_every_block():
    image = np.random.default_rng(0).random((2, 4, 6, 8))
    blocks = image.reshape(2, 2, 2, 3, 2, 4, 2).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(pooled(image, 2), blocks, rtol=1e-6)
    np.testing.assert_allclose(pooled(image, 1), image, rtol=1e-6)


def test_every_cause_is_changed_once(changed):
    assert list(changed) == list(CHANGES) == [*LESIONS, *REGIONS]


@pytest.mark.parametrize(("cause", "number"), [("periventricular_lesions", 0), ("other_lesions", 1)])
def test_lesions_of_one_kind_are_gone_and_nothing_else_has_changed(patient, changed, cause, number):
    mask = patient.lesions[number]
    own, without = tissue_shares(*patient[:2]), changed[cause]
    assert (without[3, mask] == 0).all()
    np.testing.assert_array_equal(own[:, ~mask], without[:, ~mask])
    np.testing.assert_allclose(without[:2, mask].sum(axis=0), own[3, mask], atol=1e-6)


@pytest.mark.parametrize("lobe", LOBES)
def test_a_lobe_loses_cortex_to_fluid_and_nothing_else_has_changed(patient, changed, lobe):
    where = patient.regions == REGIONS.index(lobe) + 1
    own, less = tissue_shares(*patient[:2]), changed[lobe]
    np.testing.assert_array_equal(own[:, ~where], less[:, ~where])
    np.testing.assert_allclose(own[:, where].sum(axis=0), less[:, where].sum(axis=0), atol=1e-5)
    grey, white, csf = (np.log(less[tissue, where].sum() / own[tissue, where].sum()) for tissue in range(3))
    assert grey == pytest.approx(-LOSS, abs=0.005) and abs(white) < 0.01 and csf > 0


def test_growing_ventricles_grow_where_they_are(patient, changed):
    fluid = changed["lateral_ventricles"][2] - patient.anatomy.csf
    near = patient.anatomy.ventricle_distance_mm < 8
    assert fluid[near].mean() > 5 * abs(fluid[~near].mean())


def test_lesions_stay_in_their_voxels_where_a_region_changes(patient, changed):
    for region in REGIONS:
        assert ((changed[region][3] > 0) <= patient.lesions.mask).all()


def test_a_patient_is_a_named_record(patient):
    assert isinstance(patient, Patient) and patient.velocity.shape == (3, *patient.regions.shape)
