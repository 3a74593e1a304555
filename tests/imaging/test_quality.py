import numpy as np
import pytest
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
        "mask_dice": 0.955,
        "template_correlation": 0.74,
        "volume_factor": 1.4,
        "folded_share": 0.0,
        "mask_border_voxels": 0.0,
        "crop_loss": 0.002,
        "t1w_flair_nmi": 1.1,
        "t1w_minus_flair_correlation": 0.3,
        "slice_thickness_mm": 3.0,
        "something_else": -99.0,
    }
    assert quality.flags(fine) == ()
    for name, wrong in (
        ("mask_ml", 894.0),
        ("mask_dice", 0.9),
        ("template_correlation", 0.4),
        ("volume_factor", 1.75),
        ("folded_share", 1e-6),
        ("mask_border_voxels", 3.0),
        ("crop_loss", 0.006),
        ("t1w_flair_nmi", 1.01),
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
