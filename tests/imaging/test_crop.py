import numpy as np
import pytest

from relevox.errors import ImageError
from relevox.imaging import crop
from relevox.records import Volume


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_every_grid_covers_the_same_box(size):
    grid = crop.study_grid(size)
    first = grid.affine @ [-0.5, -0.5, -0.5, 1]
    last = grid.affine @ [*(np.array(grid.shape) - 0.5), 1]
    assert grid.shape == tuple(n // size for n in (144, 184, 152))
    assert first[:3].tolist() == [-72.5, -109.5, -71.5]
    assert (last - first)[:3].tolist() == [144, 184, 152]


def test_the_crop_takes_the_voxels_its_grid_says():
    whole = np.zeros(crop.TEMPLATE_SHAPE)
    whole[30, 40, 50] = 1
    where = np.argwhere(crop.crop(whole))[0]
    in_world = crop.study_grid(1).affine @ [*where, 1]
    assert in_world.tolist() == (crop.template_grid().affine @ [30, 40, 50, 1]).tolist()


def test_crop_loss_counts_what_lies_outside():
    mask = np.zeros(crop.TEMPLATE_SHAPE, dtype=bool)
    mask[26:36, 100, 50] = True
    assert crop.crop_loss(mask) == 0
    mask[25, 100, 50] = True
    assert crop.crop_loss(mask) == pytest.approx(1 / 11)
    assert np.isnan(crop.crop_loss(np.zeros(crop.TEMPLATE_SHAPE, dtype=bool)))


def test_block_means_keep_the_mean_and_agree_with_a_loop():
    image = np.random.default_rng(0).random((8, 4, 6))
    small = crop.block_mean(image, 2)
    assert small.mean() == pytest.approx(image.mean())
    assert small[3, 1, 2] == pytest.approx(image[6:8, 2:4, 4:6].mean())
    assert np.array_equal(crop.block_mean(image, 1), image.astype(np.float32))


def test_block_majority_leaves_background_out():
    labels = np.random.default_rng(1).integers(0, 4, (4, 4, 8))
    labels[:2, :2, :2] = 0
    small = crop.block_majority(labels, 2)
    assert small[0, 0, 0] == 0
    for x, y, z in np.ndindex(small.shape):
        block = labels[2 * x : 2 * x + 2, 2 * y : 2 * y + 2, 2 * z : 2 * z + 2]
        counts = np.bincount(block[block > 0], minlength=2)
        assert small[x, y, z] == (counts.argmax() if counts.any() else 0)


def test_images_in_template_space_are_placed_without_interpolation():
    whole = Volume(np.random.default_rng(0).random(crop.TEMPLATE_SHAPE), crop.template_grid().affine)
    cut = crop.onto_study_grid(whole, 1)
    assert np.array_equal(cut, crop.crop(whole.data).astype(np.float32))
    small = crop.onto_study_grid(whole, 8)
    assert np.allclose(small, crop.block_mean(cut, 8))
    assert np.allclose(crop.onto_study_grid(Volume(cut, crop.study_grid(1).affine), 8), small)
    assert np.array_equal(crop.onto_study_grid(Volume(small, crop.study_grid(8).affine), 8), small)


def test_coarser_shifted_and_foreign_grids_are_refused():
    coarse = crop.study_grid(8)
    shifted = coarse.affine.copy()
    shifted[0, 3] += 1
    for affine, size in ((coarse.affine, 4), (shifted, 8)):
        with pytest.raises(ImageError) as refused:
            crop.onto_study_grid(Volume(np.zeros(coarse.shape), affine), size)
        assert refused.value.code == "image-grid"
