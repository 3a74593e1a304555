"""One scan: images of one anatomy differ only where tissue does, and what a scale leaks of the lesion load."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.config import PhantomSettings
from relevox.imaging.intensity import normalise
from relevox.phantom.cohort import draw_patients
from relevox.phantom.labels import draw_cohort
from relevox.phantom.patient import make_patient
from relevox.phantom.simulated_scan import disease_jacobian, render, scan_anatomy


@pytest.fixture(scope="module")
def planned():
    scan = draw_patients(PhantomSettings(n_patients=2), 0)[0]
    return replace(scan, periventricular_ml=15.0, other_ml=15.0, scanner=1)


@pytest.fixture(scope="module")
def head(maps, planned):
    return scan_anatomy(maps, planned, 2, 0, counterfactuals=True)


def test_maps_lie_on_the_coarser_grid_and_volumes_are_those_of_the_finer(maps, planned, head):
    shape = tuple(n // 2 for n in maps.grey.shape)
    assert head.shares.shape == (4, *shape) and head.shares.dtype == np.float16
    assert head.causes.shape == head.regions.shape == head.jacobian.shape == shape
    assert head.causes_ml["intracranial"] == pytest.approx(planned.intracranial_ml)
    assert head.volumes_ml["lesions"] == pytest.approx(30, abs=0.2)
    assert set(np.unique(head.causes)) == {0, 1, 2} and (head.regions.max(), head.regions.min()) == (6, 0)


def test_the_disease_s_part_of_j_is_one_in_the_average_patient_and_above_one_where_tissue_was_lost(maps, planned):
    average = make_patient(maps, replace(planned, change={}), 0)
    np.testing.assert_allclose(disease_jacobian(maps, average), 1, atol=1e-6)
    ill = make_patient(maps, replace(planned, change={"frontal_cortex": 0.3}), 0)
    change = np.log(disease_jacobian(maps, ill))
    frontal, occipital = (ill.regions == label for label in (1, 4))
    assert change[frontal].mean() > 0.05 > abs(change[occipital].mean())


def test_the_same_scan_is_the_same_image_and_another_draw_is_another(head, planned):
    one, two = (render(head.shares, head.brain_mask, planned, 8, 0) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    other = render(head.shares, head.brain_mask, replace(planned, label_draw=1), 8, 0)
    assert not np.array_equal(one[0], other[0])


def test_noise_is_never_below_zero_and_the_background_is_zero(head, planned):
    for scanner in range(9):
        for image in render(head.shares, head.brain_mask, replace(planned, scanner=scanner), 8, 0):
            assert image.min() == 0 and (image[~head.brain_mask] == 0).all() and (image[head.brain_mask] > 0).all()


def test_removed_lesions_change_the_image_in_their_own_voxels_only(head, planned):
    own = render(head.shares, head.brain_mask, planned, 8, 0)
    for cause, share in (("periventricular_lesions", head.periventricular), ("other_lesions", head.other)):
        without = render(head.changed[cause], head.brain_mask, planned, 8, 0)
        for channel, sign in ((0, 1), (1, -1)):  # healthy tissue is brighter on T1w, darker on FLAIR
            difference = without[channel] - own[channel]
            assert (difference[share == 0] == 0).all()
            assert sign * difference[(share > 0.5) & head.brain_mask].mean() > 0


@pytest.fixture(scope="module")
def loads_and_flairs(maps):
    """FLAIR images on one grid with their brains, and the lesion load of each."""
    loads, scans = [], []
    for planned in draw_cohort(PhantomSettings(n_patients=60, n_repeated=0, label="paper", confounding=0.0), 0):
        head = scan_anatomy(maps, planned, 2, 0)
        scans.append((render(head.shares, head.brain_mask, planned, 8, 0)[1], head.brain_mask))
        loads.append(np.log(head.volumes_ml["lesions"]))
    return np.array(loads), scans


def leak(loads_and_flairs, scale):
    """Correlation of the mean FLAIR intensity of the brain with the logarithm of the lesion load."""
    loads, scans = loads_and_flairs
    means = [normalise(image, brain, scale)[brain].mean() for image, brain in scans]
    return np.corrcoef(loads, means)[0, 1]


def test_under_min_max_the_lesion_load_darkens_the_whole_flair(loads_and_flairs):
    assert leak(loads_and_flairs, "minmax") < -0.7


def test_by_the_median_less_than_half_of_it_is_left_the_fluid_that_lost_tissue_leaves(loads_and_flairs):
    assert abs(leak(loads_and_flairs, "median")) < 0.5 * abs(leak(loads_and_flairs, "minmax"))


def test_percentiles_are_no_remedy_lesions_are_more_than_half_a_percent_of_a_brain(loads_and_flairs):
    assert leak(loads_and_flairs, "percentile") < -0.7
