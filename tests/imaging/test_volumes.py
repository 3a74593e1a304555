import numpy as np
import pytest

from relevox.imaging.regions import REGION_INDEX
from relevox.imaging.volumes import native_volumes_ml


@pytest.fixture
def tissue():
    rng = np.random.default_rng(0)
    grey, white, csf = rng.dirichlet((1, 1, 1), (9, 8, 7)).transpose(3, 0, 1, 2)
    regions = rng.integers(1, 18, (9, 8, 7))
    return grey, white, csf, regions


def test_white_grey_and_fluid_add_up_to_the_intracranial_volume(tissue):
    grey, white, csf, regions = tissue
    lesions = np.random.default_rng(1).random(grey.shape) < 0.1
    volumes = native_volumes_ml(grey, white, csf, regions, lesions, 0.0007)
    assert volumes["intracranial"] == pytest.approx(9 * 8 * 7 * 0.0007)
    fluid = csf[~lesions].sum() * 0.0007
    assert volumes["white_matter"] + volumes["grey_matter"] + fluid == pytest.approx(volumes["intracranial"])


def test_lesions_count_as_white_matter(tissue):
    grey, white, csf, regions = tissue
    none = np.zeros(grey.shape, dtype=bool)
    before = native_volumes_ml(grey, white, csf, regions, none, 1)
    lesion = none.copy()
    lesion[4, 4, 4] = True
    after = native_volumes_ml(grey, white, csf, regions, lesion, 1)
    assert after["lesions"] == 1
    assert after["white_matter"] - before["white_matter"] == pytest.approx(1 - white[4, 4, 4])
    assert after["grey_matter"] - before["grey_matter"] == pytest.approx(-grey[4, 4, 4])


def test_volumes_follow_the_native_size_of_a_voxel(tissue):
    none = np.zeros(tissue[0].shape, dtype=bool)
    small, large = (native_volumes_ml(*tissue, none, size) for size in (0.001, 0.0014))
    for name in small:
        assert large[name] == pytest.approx(1.4 * small[name]), name


def test_regions_are_counted_by_label(tissue):
    grey, white, csf, regions = tissue
    volumes = native_volumes_ml(grey, white, csf, regions, np.zeros(grey.shape, dtype=bool), 1)
    assert volumes["lateral_ventricles"] == np.sum(regions == REGION_INDEX["lateral_ventricles"])
    below = np.isin(regions, [8, 9, 10])
    assert volumes["brainstem_cerebellum"] == pytest.approx((grey + white)[below].sum())
