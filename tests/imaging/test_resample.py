import numpy as np
import pytest
from scipy import ndimage

from relevox.imaging.crop import Grid
from relevox.imaging.resample import isotropic, resample
from relevox.records import Volume


def smooth_volume(shape=(20, 22, 24), voxel=(1.0, 1.5, 3.0), seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    affine = np.diag([*voxel, 1.0])
    affine[:3, 3] = (-10, 5, 3)
    return Volume(ndimage.gaussian_filter(noise, 2).astype(np.float32), affine)


def turn(degrees, shift):
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = shift
    return matrix


def test_the_own_grid_changes_nothing():
    volume = smooth_volume()
    assert np.array_equal(resample(volume, Grid(volume.data.shape, volume.affine)), volume.data)


def test_a_voxel_is_looked_up_where_the_matrix_sends_it():
    volume, matrix = smooth_volume(), turn(20, (1, -2, 4))
    grid = Grid((8, 8, 8), np.diag([1.0, 1.0, 1.0, 1.0]) + np.array([[0, 0, 0, -4]] * 3 + [[0] * 4]))
    point = matrix @ grid.affine @ [3, 4, 5, 1]
    voxel = np.linalg.inv(volume.affine) @ point
    expected = ndimage.map_coordinates(volume.data, voxel[:3, None], order=1)[0]
    assert resample(volume, grid, matrix)[3, 4, 5] == pytest.approx(expected, abs=1e-6)


def test_a_displacement_comes_before_the_matrix():
    volume, matrix = smooth_volume(), turn(20, (1, -2, 4))
    grid = Grid(volume.data.shape, volume.affine)
    field = np.zeros((3, *grid.shape), dtype=np.float32)
    field[1] = 2.5
    shifted = np.eye(4)
    shifted[1, 3] = 2.5
    displaced = resample(volume, grid, matrix, Volume(field, grid.affine))
    assert np.allclose(displaced, resample(volume, grid, matrix @ shifted), atol=1e-4)


def test_channels_are_resampled_like_single_images():
    volume, matrix = smooth_volume(), turn(10, (0, 1, 0))
    grid = Grid((10, 10, 10), volume.affine)
    both = Volume(np.stack([volume.data, 2 * volume.data]), volume.affine)
    assert np.allclose(resample(both, grid, matrix)[1], 2 * resample(volume, grid, matrix))


def test_labels_stay_labels():
    labels = np.random.default_rng(0).integers(0, 5, (9, 9, 9)).astype(np.int32)
    moved = resample(Volume(labels, np.eye(4)), Grid((9, 9, 9), np.eye(4)), turn(15, (0.3, 0, 0)), order=0)
    assert moved.dtype == np.int32
    assert set(np.unique(moved)) <= set(range(5))


def test_cubic_voxels_cover_the_same_box_and_keep_the_mean():
    volume = smooth_volume()
    cubic = isotropic(volume, 2.0)
    assert np.allclose(cubic.voxel_size_mm, 2)
    corner = [-0.5, -0.5, -0.5, 1]
    assert np.allclose(cubic.affine @ corner, volume.affine @ corner)
    extent = np.array(cubic.data.shape) * 2 - np.array(volume.data.shape) * volume.voxel_size_mm
    assert (extent > -0.1).all() and (extent < 2).all()


def test_a_straight_ramp_survives_coarser_voxels():
    ramp = np.broadcast_to(np.arange(24.0), (20, 20, 24)).astype(np.float32)
    cubic = isotropic(Volume(ramp, np.eye(4)), 2.0)
    inside = cubic.data[4:6, 4:6, 3:9]
    assert np.allclose(inside, 2 * np.arange(3, 9) + 0.5, atol=0.01)
