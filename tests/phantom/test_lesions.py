"""Lesions: both loads are met, and places follow the prior."""

import numpy as np
import pytest

from relevox.phantom.anatomy import Anatomy
from relevox.phantom.lesions import PERIVENTRICULAR_MM, lesion_field, make_lesions

VOXEL_ML = 0.02


@pytest.fixture(scope="module")
def white_slab():
    """White matter whose distance to the ventricles grows along x."""
    shape = (30, 30, 30)
    distance = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None, None], shape)
    full, none = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    far = np.full(shape, 30, np.float32)
    return Anatomy(none, full, none, none, none, distance, far, none, full, np.zeros((3, *shape)))


@pytest.fixture(scope="module")
def slab_field():
    return lesion_field((30, 30, 30), 2.0, np.random.default_rng(0))


@pytest.mark.parametrize(("inner_ml", "outer_ml"), [(10, 5), (0, 20), (40, 2), (0.02, 0.02), (0, 0)])
def test_both_loads_are_met_to_a_voxel(white_slab, slab_field, inner_ml, outer_ml):
    lesions = make_lesions(white_slab, slab_field, inner_ml, outer_ml, VOXEL_ML)
    assert np.count_nonzero(lesions.periventricular) * VOXEL_ML == pytest.approx(inner_ml, abs=VOXEL_ML)
    assert np.count_nonzero(lesions.other) * VOXEL_ML == pytest.approx(outer_ml, abs=VOXEL_ML)


def test_the_two_kinds_divide_at_ten_millimetres(white_slab, slab_field):
    lesions = make_lesions(white_slab, slab_field, 10, 10, VOXEL_ML)
    assert white_slab.ventricle_distance_mm[lesions.periventricular].max() <= PERIVENTRICULAR_MM
    assert white_slab.ventricle_distance_mm[lesions.other].min() > PERIVENTRICULAR_MM


def test_lesions_are_in_white_matter_only(white_slab, slab_field):
    grey_half = white_slab.white.copy()
    grey_half[:, :15] = 0
    lesions = make_lesions(white_slab._replace(white=grey_half), slab_field, 10, 10, VOXEL_ML)
    assert not lesions.mask[:, :15].any()


def test_a_larger_load_contains_the_smaller_one(white_slab, slab_field):
    before = make_lesions(white_slab, slab_field, 6, 6, VOXEL_ML)
    after = make_lesions(white_slab, slab_field, 7, 7, VOXEL_ML)
    assert np.count_nonzero(before.mask & after.mask) > 0.95 * np.count_nonzero(before.mask)


def test_lesions_seek_the_ventricles_and_shun_the_tentorium(white_slab, slab_field):
    far = np.full(white_slab.white.shape, 40, np.float32)
    below = np.zeros_like(far)
    below[:, :, :15] = 1
    lesions = make_lesions(
        white_slab._replace(ventricle_distance_mm=far, infratentorial=below), slab_field, 0, 30, VOXEL_ML
    )
    assert np.count_nonzero(lesions.mask[:, :, :15]) < 0.35 * np.count_nonzero(lesions.mask)


def test_lesions_crowd_where_patients_share_a_place(white_slab):
    """Half of the patients have a lesion where the pull is full, few elsewhere at the same distance."""
    places = np.zeros_like(white_slab.white)
    places[3:7, 10:14, 10:14] = 1
    pulled = white_slab._replace(lesion_places=places)
    probability = np.mean(
        [
            make_lesions(pulled, lesion_field(places.shape, 2.0, np.random.default_rng(n)), 5, 2, VOXEL_ML).mask
            for n in range(12)
        ],
        axis=0,
    )
    assert probability[places == 1].mean() > 0.4
    assert probability[3:7][places[3:7] == 0].mean() < 0.1


def test_no_seam_shows_where_the_kinds_meet(white_slab, slab_field):
    lesions = make_lesions(white_slab, slab_field, 20, 20, VOXEL_ML).mask
    changes = (lesions[1:] != lesions[:-1]).mean(axis=(1, 2))
    assert changes[10] < 2 * changes[6:15].mean()  # between distances 10 and 11 mm
