import numpy as np
import pytest
import SimpleITK as sitk

from relevox.errors import TableError
from relevox.store.transforms import read_affine, write_affine


@pytest.fixture
def matrix():
    rng = np.random.default_rng(0)
    matrix = np.eye(4)
    matrix[:3] = np.eye(3, 4) + rng.uniform(-0.3, 0.3, (3, 4))
    matrix[:3, 3] *= 100
    return matrix


def test_a_transform_survives_the_disk(matrix, tmp_path):
    assert np.allclose(read_affine(write_affine(tmp_path / "a_xfm.txt", matrix)), matrix, atol=1e-12)


def test_itk_reads_the_same_map_in_its_own_convention(matrix, tmp_path):
    transform = sitk.ReadTransform(str(write_affine(tmp_path / "a_xfm.txt", matrix)))
    point = np.array([12.0, -34.0, 56.0])
    flip = np.array([-1, -1, 1])
    itk = flip * transform.TransformPoint((flip * point).tolist())
    assert np.allclose(itk, (matrix @ [*point, 1])[:3])


def test_a_centre_of_rotation_is_read(matrix, tmp_path):
    lps = np.diag([-1, -1, 1, 1]) @ matrix @ np.diag([-1, -1, 1, 1])
    transform = sitk.AffineTransform(lps[:3, :3].ravel().tolist(), lps[:3, 3].tolist(), [10.0, 20.0, 30.0])
    sitk.WriteTransform(transform, str(tmp_path / "c.txt"))
    found = read_affine(tmp_path / "c.txt")
    expected = -np.array(transform.TransformPoint((0.0, 0.0, 0.0))) * [1, 1, -1]
    assert np.allclose(found[:3, 3], expected)


@pytest.mark.parametrize("text", ["", "Parameters: 1 2 3\nFixedParameters: 0 0 0\n", "Parameters: a\n"])
def test_anything_else_is_refused(text, tmp_path):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(TableError):
        read_affine(tmp_path / "x.txt")
