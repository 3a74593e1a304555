import os

import numpy as np
import pytest
from scipy import ndimage

from relevox.engines import ants
from relevox.errors import ImageError
from relevox.imaging.crop import Grid
from relevox.imaging.jacobian import jacobian
from relevox.imaging.quality import dice
from relevox.imaging.resample import resample
from relevox.records import Volume


def head(shape=(40, 44, 36), voxel=3.0, inner_mm=16.0):
    """An ellipsoid with structure and a dark ball in the middle."""
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -voxel * (np.array(shape) - 1) / 2
    x, y, z = np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]
    outer = (x / 46) ** 2 + (y / 56) ** 2 + (z / 42) ** 2 < 1
    texture = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), 2)
    inner = x**2 + y**2 + z**2 < inner_mm**2
    data = outer * (100 + 20 * texture / texture.std() - 85 * inner)
    return Volume(ndimage.gaussian_filter(data, 0.7).astype(np.float32), affine), inner


def pose(degrees, shift, scale=1.0):
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= scale
    matrix[:3, 3] = shift
    return matrix


def moved(volume, matrix):
    """The same head after its points moved by ``matrix``, on an oblique grid of thick slices."""
    affine = pose(7, (0, 0, 0)) @ np.diag([2.0, 2.5, 5.0, 1.0])
    affine[:3, 3] = affine[:3, :3] @ (-(np.array([66, 60, 26]) - 1) / 2)
    return Volume(resample(volume, Grid((66, 60, 26), affine), np.linalg.inv(matrix)), affine)


def error_mm(found, truth):
    points = np.c_[np.random.default_rng(1).uniform(-40, 40, (200, 3)), np.ones(200)]
    return np.linalg.norm((points @ (found - truth).T)[:, :3], axis=1).mean()


def test_rigid_registration_finds_a_known_pose_and_repeats_exactly():
    fixed, _ = head()
    truth = pose(8, (3, -4, 5))
    moving = moved(fixed, truth)
    found = ants.rigid(fixed, moving)
    assert error_mm(np.eye(4), truth) > 5
    assert error_mm(found, truth) < 0.7
    assert np.allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-5)
    assert np.array_equal(ants.rigid(fixed, moving), found)


def test_affine_registration_finds_a_known_scale_from_a_start():
    fixed, _ = head()
    truth = pose(5, (3, -4, 5), scale=0.9)
    found = ants.affine(fixed, moved(fixed, truth), start=pose(0, (3, -4, 5)))
    assert error_mm(found, truth) < 1.0
    assert np.linalg.det(found[:3, :3]) == pytest.approx(0.9**3, rel=0.05)


def test_enlarged_ventricles_have_a_jacobian_below_one():
    """SPEC 2's direction, through ANTs itself: J = d(template) / d(native)."""
    template, inner = head((48, 52, 44), 2.5, inner_mm=20)
    patient, patient_inner = head((48, 52, 44), 2.5, inner_mm=26)
    warp = ants.syn(template, patient)
    grid = Grid(template.data.shape, template.affine)

    ball = jacobian(warp.inverse)[ndimage.binary_erosion(patient_inner)]
    assert ball.mean() == pytest.approx((20 / 26) ** 3, abs=0.08)

    # The forward field brings the patient's ball onto the template's; the inverse leads back.
    mask = Volume(patient_inner.astype(np.float32), patient.affine)
    after = resample(mask, grid, displacement=warp.forward) > 0.5
    assert dice(patient_inner, inner) < 0.65 < 0.9 < dice(after, inner)
    back = resample(Volume(after.astype(np.float32), grid.affine), grid, displacement=warp.inverse) > 0.5
    assert dice(back, patient_inner) > 0.93


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("ANTS_RANDOM_SEED", raising=False)
    fixed, _ = head()
    ants.rigid(fixed, fixed)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("relevox-")]
    assert "ANTS_RANDOM_SEED" not in os.environ


def test_the_callers_threads_count_whatever_the_environment_offers(monkeypatch):
    """Or a scan's transforms would depend on the number of workers."""
    name = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
    monkeypatch.setenv(name, "8")
    with ants._ants(1):
        assert os.environ[name] == "1"
    assert os.environ[name] == "8"
    monkeypatch.delenv(name)
    with ants._ants(3):
        assert os.environ[name] == "3"
    assert name not in os.environ


def test_sheared_images_are_refused():
    fixed, _ = head()
    sheared = fixed.affine.copy()
    sheared[0, 2] = 1.0
    with pytest.raises(ImageError) as refused:
        ants.rigid(Volume(fixed.data, sheared), fixed)
    assert refused.value.code == "image-sheared"
