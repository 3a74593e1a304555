import numpy as np
import pytest
from scipy import ndimage

from relevox.imaging.regions import REGION_INDEX, REGIONS, template_regions

CSF, GREY, WHITE = range(3)


def build(labels, tissue, mask=None):
    fractions = [(tissue == k).astype(np.float32) for k in (GREY, WHITE, CSF)]
    mask = np.ones(labels.shape, dtype=bool) if mask is None else mask
    return template_regions(labels, *fractions, mask, 1.0, 4.0)


def test_indices_and_names_are_unique_and_start_at_one():
    assert [region.index for region in REGIONS] == list(range(1, 18))
    assert len(REGION_INDEX) == len(REGIONS)
    assert {region.group for region in REGIONS} == {"cortex", "deep_grey", "infratentorial", "white_matter", "csf"}


@pytest.mark.parametrize(
    ("parcel", "name"),
    [
        (1028, "frontal_cortex"),  # superior frontal
        (2024, "frontal_cortex"),  # precentral
        (1022, "parietal_cortex"),  # postcentral
        (2030, "temporal_cortex"),  # superior temporal
        (17, "temporal_cortex"),  # hippocampus
        (1021, "occipital_cortex"),  # pericalcarine
        (2035, "insular_cortex"),
        (49, "thalamus"),
        (12, "deep_grey"),  # putamen
        (16, "brainstem"),
        (47, "cerebellar_cortex"),
    ],
)
def test_a_parcel_of_the_atlas_keeps_its_place(parcel, name):
    labels = np.full((6, 6, 6), parcel)
    assert (build(labels, np.full(labels.shape, GREY)) == REGION_INDEX[name]).all()


def test_unlabelled_voxels_take_the_nearest_label_of_their_tissue():
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((12, 12, 12)) < 0.2, rng.choice([1028, 1022, 2, 7], (12, 12, 12)), 0)
    labels[0, 0, :4] = (1028, 1022, 2, 7)  # one of each at least
    tissue = rng.choice([GREY, WHITE], labels.shape)
    found = build(labels, tissue)
    grey_seeds = {1028: "frontal_cortex", 1022: "parietal_cortex"}
    places = np.argwhere(np.isin(labels, list(grey_seeds)))
    for voxel in np.argwhere(tissue == GREY)[::37]:
        distance = np.linalg.norm(places - voxel, axis=1)
        nearest = places[distance == distance.min()]
        assert found[tuple(voxel)] in {REGION_INDEX[grey_seeds[labels[tuple(p)]]] for p in nearest}


def test_white_matter_near_the_ventricles_is_periventricular_and_the_rest_lobar():
    labels = np.full((30, 12, 12), 2)
    tissue = np.full(labels.shape, WHITE)
    labels[:3], tissue[:3] = 4, CSF  # lateral ventricle
    labels[27:], tissue[27:] = 1028, GREY  # frontal cortex
    found = build(labels, tissue)
    names = {region.index: region.name for region in REGIONS}
    along_x = [names[label] for label in found[:, 6, 6]]
    assert along_x[:3] == ["lateral_ventricles"] * 3
    assert along_x[3:7] == ["periventricular_white_matter"] * 4  # 1 to 4 mm from the ventricle
    assert along_x[7:27] == ["frontal_white_matter"] * 20
    assert along_x[27:] == ["frontal_cortex"] * 3


def test_fluid_is_ventricular_only_beside_the_atlas_ventricles():
    labels = np.full((20, 8, 8), 2)
    tissue = np.full(labels.shape, WHITE)
    tissue[:10] = CSF
    labels[:2], labels[18:] = 4, 1028
    found = build(labels, tissue)[:, 4, 4]
    assert (found[:5] == REGION_INDEX["lateral_ventricles"]).all()  # 3 mm of reach
    assert (found[5:10] == REGION_INDEX["other_csf"]).all()


def test_regions_tile_the_brain_and_nothing_else():
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 2, 4, 7, 8, 10, 16, 1028, 1021, 2030, 1022], (16, 16, 16))
    tissue = rng.integers(0, 3, labels.shape)
    mask = ndimage.gaussian_filter(rng.normal(size=labels.shape), 2) > 0
    found = build(labels, tissue, mask)
    assert np.array_equal(found > 0, mask)
    assert found.dtype == np.int32
