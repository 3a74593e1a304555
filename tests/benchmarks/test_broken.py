"""Scans broken on purpose must be broken in the way that their name says, and in no other."""

import numpy as np
import pytest
from benchmarks.broken import BROKEN, Pair
from scipy import ndimage

from relevox.imaging.crop import Grid
from relevox.imaging.quality import correlation, dice
from relevox.imaging.resample import resample
from relevox.records import Volume


def pair(seed):
    rng = np.random.default_rng(seed)
    shape, affine = (40, 44, 30), np.diag([2.0, 2.0, 3.0, 1.0])
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    brain = x**2 + y**2 + 1.2 * z**2 < 0.6
    image = (100 + 60 * (ndimage.gaussian_filter(rng.normal(size=shape), 2.5) > 0)) * (x**2 + y**2 + z**2 < 0.9)
    t1w = Volume(image.astype(np.float32), affine)
    moved = np.eye(4)
    moved[:3, 3] = (2, -4, 3)  # from a T1w point to the FLAIR point
    flair = Volume(resample(Volume(200 - image, affine), Grid(shape, affine), np.linalg.inv(moved)), affine)
    return Pair(t1w, flair, brain, moved)


@pytest.fixture(scope="module")
def good():
    return pair(0)


@pytest.fixture(scope="module")
def other():
    return pair(1)


def aligned(found, inside):
    """Correlation of T1w and FLAIR where the pair says that they belong together."""
    moved = resample(found.flair, Grid(found.t1w.data.shape, found.t1w.affine), found.flair_to_t1w)
    return correlation(found.t1w.data[inside], moved[inside])


@pytest.mark.parametrize("name", ["nothing", "FLAIR turned by 25 degrees", "slices of 5 mm", "no skull"])
def test_where_an_alignment_is_said_to_be_right_it_is(name, good, other):
    found = BROKEN[name](good, other)
    inside = ndimage.binary_erosion(found.brain, iterations=3)
    assert aligned(found, inside) < -0.9


def test_a_turned_flair_lies_elsewhere_by_its_header_only(good, other):
    found = BROKEN["FLAIR turned by 25 degrees"](good, other)
    assert np.array_equal(found.flair.data, good.flair.data)
    assert not np.allclose(found.flair.affine, good.flair.affine)
    turned = found.flair_to_t1w[:3, :3]
    assert np.rad2deg(np.arccos((np.trace(turned) - 1) / 2)) == pytest.approx(25)


def test_a_foreign_flair_belongs_to_nobody(good, other):
    found = BROKEN["FLAIR of another patient"](good, other)
    assert found.flair is other.flair and found.flair_to_t1w is None


@pytest.mark.parametrize("name", ["FLAIR upside down", "T1w upside down"])
def test_upside_down_twice_is_nothing(name, good, other):
    once = BROKEN[name](good, other)
    image = "flair" if name.startswith("FLAIR") else "t1w"
    assert not np.array_equal(getattr(once, image).data, getattr(good, image).data)
    twice = BROKEN[name](once, other)
    assert np.array_equal(getattr(twice, image).data, getattr(good, image).data)


def test_thick_slices_cover_the_same_head(good, other):
    found = BROKEN["slices of 5 mm"](good, other)
    assert found.t1w.voxel_size_mm == pytest.approx([2, 2, 5])
    back = resample(
        Volume(found.brain.astype(np.float32), found.t1w.affine), Grid(good.t1w.data.shape, good.t1w.affine)
    )
    assert dice(back > 0.5, good.brain) > 0.93


def test_without_skull_nothing_is_left_outside_the_brain(good, other):
    found = BROKEN["no skull"](good, other)
    assert not found.t1w.data[~good.brain].any() and found.t1w.data[good.brain].all()
    assert found.flair.data.any() and np.mean(found.flair.data > 0) < np.mean(good.flair.data > 0)


def test_a_strong_bias_is_smooth_and_strong(good, other):
    found = BROKEN["strong bias field"](good, other)
    inside = good.t1w.data > 0
    field = found.t1w.data[inside] / good.t1w.data[inside]
    assert field.max() / field.min() > 4


def test_swapped_images_keep_their_brain_and_their_alignment(good, other):
    found = BROKEN["T1w and FLAIR swapped"](good, other)
    assert found.t1w is good.flair and found.flair is good.t1w
    assert aligned(found, ndimage.binary_erosion(found.brain, iterations=3)) < -0.9
