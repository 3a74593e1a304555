import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import mutual_info_score

from relevox.imaging import quality


def test_mutual_information_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 8, 5000)
    b = (a + rng.integers(0, 3, 5000)) % 8
    information = mutual_info_score(a, b)
    entropy_a, entropy_b = mutual_info_score(a, a), mutual_info_score(b, b)
    expected = (entropy_a + entropy_b) / (entropy_a + entropy_b - information)
    assert quality.normalised_mutual_information(a, b, bins=8) == pytest.approx(expected)


def test_mutual_information_does_not_mind_the_contrast():
    a = np.random.default_rng(0).random(4000)
    assert quality.normalised_mutual_information(a, a) == pytest.approx(2)
    assert quality.normalised_mutual_information(a, 3 - 2 * a) == pytest.approx(2)
    assert np.isnan(quality.normalised_mutual_information(a, np.ones_like(a)))


def test_dice_of_the_same_of_nothing_and_of_two_halves():
    a = np.array([True, True, False, False])
    assert quality.dice(a, a) == 1
    assert quality.dice(a, ~a) == 0
    assert np.isnan(quality.dice(np.zeros(3, bool), np.zeros(3, bool)))


def test_only_measures_out_of_range_are_flagged():
    fine = {
        "mask_ml": 1400.0,
        "volume_gap": -0.007,
        "mask_dice": 0.955,
        "warped_correlation": 0.74,
        "edge_agreement": 0.7,
        "tissue_contrast": 2.5,
        "t1w_clipped_share": 0.0,
        "flair_clipped_share": 0.001,
        "volume_factor": 1.4,
        "folded_share": 0.0,
        "t1w_missing_share": 0.0,
        "flair_missing_share": 0.009,
        "crop_loss": 0.002,
        "t1w_flair_nmi": 1.1,
        "t1w_minus_flair_correlation": 0.3,
        "slice_thickness_mm": 3.0,
        "something_else": -99.0,
    }
    assert quality.flags(fine) == ()
    for name, wrong in (
        ("mask_ml", 894.0),
        ("volume_gap", -0.03),
        ("volume_gap", 0.03),
        ("mask_dice", 0.9),
        ("warped_correlation", 0.4),
        ("edge_agreement", 0.48),
        ("tissue_contrast", 0.7),
        ("t1w_clipped_share", 0.03),
        ("flair_clipped_share", 0.03),
        ("volume_factor", 1.75),
        ("folded_share", 1e-6),
        ("t1w_missing_share", 0.02),
        ("flair_missing_share", 0.02),
        ("crop_loss", 0.006),
        ("t1w_flair_nmi", 1.028),
        ("t1w_minus_flair_correlation", -0.2),
        ("slice_thickness_mm", 5.0),
    ):
        assert len(quality.flags(fine | {name: wrong})) == 1, name


def test_border_voxels_are_those_on_the_faces():
    mask = np.zeros((5, 6, 7), dtype=bool)
    mask[1:4, 1:5, 1:6] = True
    assert quality.border_voxels(mask) == 0
    mask[0, 2:4, 3] = True
    assert quality.border_voxels(mask) == 2


def blobs(seed, shape=(40, 44, 36)):
    """A brain with tissue borders, and its mask."""
    rng = np.random.default_rng(seed)
    x, y, z = (
        2 * np.arange(n)[(None,) * k + (slice(None),) + (None,) * (2 - k)] / (n - 1) - 1 for k, n in enumerate(shape)
    )
    mask = x**2 + y**2 + z**2 < 0.9
    tissue = ndimage.gaussian_filter(rng.normal(size=shape), 3) > 0
    return tissue, mask


def test_edges_agree_whatever_the_contrast_and_disagree_between_heads():
    tissue, mask = blobs(0)
    other, _ = blobs(1)
    rng = np.random.default_rng(2)

    def scanned(image, low, high):
        return (np.where(image, high, low) + rng.normal(0, 5, mask.shape)) * mask

    t1w, flair, foreign = scanned(tissue, 100, 180), scanned(tissue, 200, 120), scanned(other, 200, 120)
    same, wrong = (quality.edge_agreement(t1w, image, mask, 3) for image in (flair, foreign))
    assert same > 0.8 and wrong < 0.2
    moved = quality.edge_agreement(t1w, np.roll(flair, 4, axis=1), mask, 3)
    assert wrong - 0.1 < moved < 0.5
    assert np.isnan(quality.edge_agreement(t1w, flair, np.zeros_like(mask)))


def test_lesions_that_t1w_hardly_shows_do_not_spoil_the_agreement_of_edges():
    white, mask = blobs(0)
    places = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=mask.shape), 4) > 0.02
    lesions = white & mask & blobs(5)[0] & places
    rng = np.random.default_rng(2)
    t1w = (np.where(white, 180, 100) + rng.normal(0, 5, mask.shape)) * mask
    healthy = (np.where(white, 120, 150) + rng.normal(0, 3, mask.shape)) * mask
    ill = np.where(lesions, 260, healthy)
    assert 0.03 < lesions[mask].mean() < 0.05
    whole, spoilt = (quality.edge_agreement(t1w, image, mask, 3) for image in (healthy, ill))
    assert whole > 0.8 and spoilt > 0.85 * whole
    foreign = np.where(lesions, 260, np.where(blobs(1)[0], 120, 150) * mask)
    assert quality.edge_agreement(t1w, foreign, mask, 3) < 0.2


def test_tissue_contrast_is_the_distance_in_standard_deviations():
    rng = np.random.default_rng(0)
    white = np.arange(8000).reshape(20, 20, 20) % 2 == 0
    t1w = np.where(white, 130.0, 100.0) + rng.normal(0, 10, white.shape)
    assert quality.tissue_contrast(t1w, 1.0 - white, 1.0 * white) == pytest.approx(3, abs=0.1)
    assert quality.tissue_contrast(t1w, 1.0 * white, 1.0 - white) == pytest.approx(-3, abs=0.1)
    assert np.isnan(quality.tissue_contrast(t1w, 0.5 * white, 0.5 * white))


def test_robust_z_is_that_of_a_normal_sample_and_one_wild_scan_does_not_change_it():
    values = np.random.default_rng(0).normal(50, 4, 4001)
    usual = quality.robust_z(values)
    assert usual == pytest.approx((values - 50) / 4, abs=0.2)
    with_wild = quality.robust_z(np.append(values, 1e9))
    assert with_wild[:-1] == pytest.approx(usual, abs=0.01)
    assert np.isnan(quality.robust_z(values[:9])).all()
    assert np.isnan(quality.robust_z(np.full(20, 3.0))).all()


def test_only_the_scan_that_differs_is_flagged_in_its_cohort():
    rng = np.random.default_rng(0)
    scans = [{"mask_ml": float(v), "same": 1.0} for v in rng.normal(1400, 50, 20)]
    assert not any(quality.cohort_flags(scans))
    scans[7] |= {"mask_ml": 700.0}
    found = quality.cohort_flags(scans)
    assert [bool(flags) for flags in found] == [n == 7 for n in range(20)]
    assert found[7][0].startswith("mask ml 700: unusual")
    assert not any(quality.cohort_flags(scans[:8]))  # too few to say


def test_what_the_network_sees_is_measured_the_same_for_any_scale_of_intensities():
    template, mask = blobs(3)
    t1w, flair = mask * (1.0 + template), mask * (3.0 - template)
    one = quality.placed_measures(t1w, flair, mask, 1.0 + template, mask)
    assert one["mask_dice"] == 1 and one["template_correlation"] == pytest.approx(1)
    assert one["t1w_minus_flair_correlation"] == pytest.approx(2)
    assert quality.placed_measures(90 * t1w, 7 * flair, mask, 1.0 + template, mask) == pytest.approx(one)
