import numpy as np
import pytest

from relevox.imaging.crop import crop_loss, study_grid
from relevox.imaging.regions import REGION_INDEX, REGIONS
from relevox.store import template


@pytest.fixture(scope="module")
def head():
    return template.load(1)


def ml(head, *names):
    return np.isin(head.regions, [REGION_INDEX[name] for name in names]).sum() / 1000


def test_every_grid_has_every_region_inside_the_brain_mask_only():
    for size in (1, 2, 4, 8):
        loaded = template.load(size)
        assert loaded.regions.shape == study_grid(size).shape
        assert np.array_equal(loaded.regions > 0, loaded.brain_mask)
        assert set(np.unique(loaded.regions)) == {0, *(region.index for region in REGIONS)}


def test_fractions_sum_to_one_in_the_brain(head):
    total = head.grey + head.white + head.csf
    assert np.allclose(total[head.brain_mask], 1, atol=1e-5)
    assert not total[~head.brain_mask].any()


def test_regions_have_anatomical_sizes(head):
    """Millilitres of a large average brain (MNI brains are about 1.4 times larger than a patient's)."""
    assert 1800 < head.brain_mask.sum() / 1000 < 1950
    assert 10 < ml(head, "lateral_ventricles") < 35
    assert 15 < ml(head, "thalamus") < 30
    assert 20 < ml(head, "brainstem") < 45
    assert 120 < ml(head, "cerebellar_cortex") < 200
    assert ml(head, "frontal_cortex") > ml(head, "temporal_cortex") > ml(head, "occipital_cortex")
    assert 60 < ml(head, "periventricular_white_matter") < 200


def test_regions_lie_where_anatomy_has_them(head):
    def centre(name):
        voxel = np.argwhere(head.regions == REGION_INDEX[name]).mean(axis=0)
        return head.affine[:3, :3] @ voxel + head.affine[:3, 3]

    front, back = centre("frontal_cortex"), centre("occipital_cortex")
    assert front[1] > 10 > -60 > back[1]
    assert centre("cerebellar_cortex")[2] < -20
    assert centre("parietal_cortex")[2] > 30
    assert all(abs(centre(region.name)[0]) < 6 for region in REGIONS)  # no side is preferred


def test_the_crop_is_centred_on_the_template_brain():
    assert crop_loss(template.full().brain_mask) < 0.001


def test_a_larger_shell_takes_white_matter_from_the_lobes_only():
    narrow, wide = template.load(4, 5.0), template.load(4, 15.0)
    shell = REGION_INDEX["periventricular_white_matter"]
    assert np.sum(wide.regions == shell) > np.sum(narrow.regions == shell)
    changed = narrow.regions != wide.regions
    lobar = [REGION_INDEX[f"{lobe}_white_matter"] for lobe in ("frontal", "temporal", "parietal", "occipital")]
    assert np.isin(narrow.regions[changed], [*lobar, shell, *range(1, 11)]).all()
    assert np.isin(narrow.regions[changed], lobar).mean() > 0.8


def test_the_cache_hands_out_arrays_that_cannot_be_changed(head):
    with pytest.raises(ValueError):
        head.t1[0, 0, 0] = 1
