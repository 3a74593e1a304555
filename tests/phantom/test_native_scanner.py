"""The scanner of native heads: slices, orientation, noise."""

import nibabel as nib
import numpy as np
import pytest

from relevox.phantom import native_scanner as scanning
from relevox.phantom.contrast import ALL_SCANNERS, SCANNERS


@pytest.mark.parametrize("codes", ["PSR", "LAS", "LPS", "RAS", "ILA"])
def test_turning_the_axes_moves_no_voxel(codes):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3, 4, 5))
    affine = np.eye(4)
    affine[:3] = [[1, 0.1, 0, 5], [-0.1, 0.9, 0.05, -7], [0, -0.05, 2, 3]]
    turned = scanning.stored(data, affine, codes)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    for index in np.ndindex(*turned.data.shape):
        world = turned.affine @ [*index, 1]
        old = np.rint(np.linalg.solve(affine, world))[:3].astype(int)
        assert turned.data[index] == data[tuple(old)]


def test_a_thick_slice_is_the_mean_over_its_profile():
    geometry = scanning.Protocol("axial", (2.0, 2.0, 4.0), (3, 3, 8), 1, ((-0.25, 0.5), (0.25, 0.5)), 0.0)
    placement = scanning.place(geometry, np.eye(3), np.array([1.0, 2.0, 3.0]))
    middle = placement.affine @ [1, 1, 3.5, 1]
    np.testing.assert_allclose(middle[:3], [1, 2, 3])
    image = scanning.expose(lambda world: world[2] ** 2, geometry, placement, np.random.default_rng(0))
    z = placement.affine[2, 2] * np.arange(8) + placement.affine[2, 3]
    np.testing.assert_allclose(image[1, 1], ((z - 1) ** 2 + (z + 1) ** 2) / 2, rtol=1e-5)


def test_patients_move_between_the_packages_of_a_2d_sequence_and_not_on_average():
    geometry = scanning.Protocol("axial", (2.0, 2.0, 3.0), (4, 4, 6), 1, ((0.0, 1.0),), 1.0)
    placement = scanning.place(geometry, np.eye(3), np.zeros(3))
    image = scanning.expose(lambda world: world[0], geometry, placement, np.random.default_rng(1))
    even, odd = image[:, :, 0::2].mean(axis=2), image[:, :, 1::2].mean(axis=2)
    assert np.abs(even - odd).min() > 0.1
    np.testing.assert_allclose(
        (even + odd) / 2, np.broadcast_to(np.array([-3, -1, 1, 3.0])[:, None], (4, 4)), atol=1e-5
    )


def test_zero_filling_keeps_acquired_voxels_and_their_places():
    x = np.arange(16)
    image = (3 + np.cos(2 * np.pi * x / 16)[:, None, None] + np.zeros((16, 12, 2))).astype(np.float32)
    wide = scanning.zero_filled(image, 2)
    assert wide.shape == (32, 24, 2)
    np.testing.assert_allclose(wide[::2, ::2], image, atol=1e-5)
    np.testing.assert_allclose(wide[1, 0, 0], 3 + np.cos(np.pi / 16), atol=1e-5)
    affine = scanning.zero_filled_affine(np.diag([1.0, 1, 3, 1]), 2)
    np.testing.assert_allclose(affine @ [2, 4, 1, 1], [1, 2, 3, 1])


@pytest.mark.parametrize("factor", [1, 2])
def test_noise_is_rician_and_never_negative(factor):
    empty = np.zeros((24, 24, 8), dtype=np.float32)
    data = scanning.detect(empty, 0.1, 1000, factor, np.random.default_rng(0))
    assert data.dtype == np.int16 and data.min() >= 0
    # a magnitude of pure noise follows Rayleigh's law
    np.testing.assert_allclose(data.mean(), 100 * np.sqrt(np.pi / 2), rtol=0.05)


def test_the_coil_is_smooth_positive_and_darker_below():
    field = scanning.coil_sensitivity((30, 40, 50), 0.15, np.random.default_rng(3))
    assert field.min() > 0
    assert np.abs(np.diff(np.log(field), axis=0)).max() < 0.1
    assert field[:, :, :5].mean() < field[:, :, 25:].mean()
    flat = scanning.coil_sensitivity((30, 40, 50), 0.0, np.random.default_rng(3))
    np.testing.assert_allclose(flat, 1)


def test_protocols_have_the_voxels_of_table_1():
    by_name = {scanner.name: scanner for scanner in ALL_SCANNERS}
    stored = {}
    for name, scanner in by_name.items():
        for kind in ("t1w", "flair"):
            geometry = scanning.protocol(scanner, kind, 48)
            affine = scanning.zero_filled_affine(np.diag([*geometry.voxel_mm, 1.0]), geometry.interpolation)
            stored[name, kind] = tuple(np.diag(affine)[:3])
    assert all(stored[s.name, "t1w"] == ((1.2, 1, 1) if s.name == "Symphony" else (1, 1, 1)) for s in SCANNERS)
    assert stored["Avanto", "flair"] == stored["Symphony Tim", "flair"] == (0.97, 0.97, 3)
    assert stored["Tim Trio", "flair"] == (0.485, 0.485, 3)
    assert stored["Skyra", "flair"] == (1, 1, 1)
