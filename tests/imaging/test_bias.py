import numpy as np

from relevox.imaging.bias import head_mask, n4
from relevox.records import Volume


def shaded_ball(shape=(60, 60, 20), voxel=(2.0, 2.0, 6.0)):
    """Two tissues in a ball under a bias field that doubles from one side to the other."""
    rng = np.random.default_rng(0)
    points = [(np.arange(n) - n / 2) * size for n, size in zip(shape, voxel, strict=True)]
    x, y, z = np.meshgrid(*points, indexing="ij")
    mask = x**2 + y**2 + z**2 < 50**2
    tissue = np.where(np.sin(x / 6) + np.sin(y / 6) + np.sin(z / 9) > 0, 100.0, 160.0)
    image = mask * tissue * 2 ** (x / 100) + mask * rng.normal(0, 1, shape)
    return Volume(image.astype(np.float32), np.diag([*voxel, 1.0])), mask, tissue


def test_n4_makes_a_tissue_even_across_thick_slices():
    image, mask, tissue = shaded_ball()
    corrected = n4(image, mask)

    def unevenness(data):
        inside = data[mask & (tissue == 100)]
        return inside.std() / inside.mean()

    assert unevenness(corrected) < 0.35 * unevenness(image.data)
    assert corrected.shape == image.data.shape


def test_n4_clips_negative_voxels_and_survives_an_empty_mask():
    image, mask, _ = shaded_ball()
    dark = Volume(image.data - 50, image.affine)
    assert n4(dark, mask).min() >= 0
    assert np.array_equal(n4(image, np.zeros_like(mask)), np.clip(image.data, 0, None))


def test_the_head_is_told_from_the_air():
    image, mask, _ = shaded_ball()
    found = head_mask(np.abs(image.data))
    assert np.mean(found == mask) > 0.97
    assert not head_mask(np.zeros((4, 4, 4))).any()
