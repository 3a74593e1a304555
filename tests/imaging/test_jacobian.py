import numpy as np
import pytest

from relevox.imaging.jacobian import jacobian
from relevox.records import Volume


def linear_field(matrix, shape=(12, 14, 10), voxel=2.0, flip=False):
    """Displacements of the linear map ``x -> matrix @ x``."""
    affine = np.diag([-voxel if flip else voxel, voxel, voxel, 1.0])
    affine[:3, 3] = (5, -7, 11)
    points = np.einsum("ij,jxyz->ixyz", affine[:3, :3], np.indices(shape)) + affine[:3, 3, None, None, None]
    return Volume(np.einsum("ij,jxyz->ixyz", np.asarray(matrix) - np.eye(3), points), affine)


def test_no_displacement_means_no_change():
    assert np.array_equal(jacobian(linear_field(np.eye(3))), np.ones((12, 14, 10), dtype=np.float32))


def test_a_patient_dilated_by_a_tenth_along_each_axis_has_0_751():
    # From the patient's point to the template's: the patient is larger, so tissue is squeezed to fit.
    assert np.allclose(jacobian(linear_field(np.eye(3) / 1.1)), 1 / 1.331, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_any_linear_map_gives_its_determinant(flip):
    matrix = np.eye(3) + np.random.default_rng(0).uniform(-0.2, 0.2, (3, 3))
    assert np.allclose(jacobian(linear_field(matrix, flip=flip)), np.linalg.det(matrix), rtol=1e-4)


def test_volumes_add_up_over_a_smooth_field():
    """J takes native volume to template volume: its mean is the share of volume a warp adds."""
    shape = (40, 30, 30)
    x = np.indices(shape)[0] * np.pi / (shape[0] - 1)
    field = np.zeros((3, *shape))
    field[0] = 3 * np.sin(x)  # 0 at both ends: the box as a whole keeps its volume
    assert np.mean(jacobian(Volume(field, np.eye(4)))) == pytest.approx(1, abs=0.01)


def test_a_fold_keeps_its_sign():
    assert (jacobian(linear_field(np.diag([-0.5, 1, 1]))) < 0).all()
