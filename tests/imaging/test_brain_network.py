"""The brain network: its arithmetic, its grid, its clean-up, and what it finds on scans."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch import nn

from relevox.errors import ImageError, ModelError
from relevox.imaging import brain_network
from relevox.imaging.brain_network import BrainNetwork

REAL_DATA = os.environ.get("RELEVOX_REAL_DATA", "")


def real(test):
    """Mark a test on five clinical pairs; its bounds lie a little under what was measured."""
    return pytest.mark.real(pytest.mark.skipif(not REAL_DATA, reason="RELEVOX_REAL_DATA is not set")(test))


@pytest.fixture(scope="module")
def shipped():
    return brain_network.load()


def radius_mm(shape, affine, centre=(0, 0, 0), radii=(1, 1, 1)):
    """Distance to a centre, in units of three half axes, of every voxel of a grid."""
    voxels = np.indices(shape).reshape(3, -1)
    points = affine[:3, :3] @ voxels + affine[:3, 3:]
    return np.linalg.norm((points - np.reshape(centre, (3, 1))) / np.reshape(radii, (3, 1)), axis=0).reshape(shape)


def centred_affine(shape, size, turn_deg=0.0):
    """Grid whose middle is the origin, turned about the left-right axis."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag(size)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def egg_head(shape, affine, seed=0):
    """A brain-sized egg of white and grey matter in fluid, skull and scalp; returns image and brain."""
    r = radius_mm(shape, affine, radii=(68, 85, 62))
    wrinkles = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    image = np.where(r < 1 - 0.12 + 1.5 * wrinkles, 1.0, 0.7)  # white in grey
    for inner, outer, value in ((1, 1.03, 0.2), (1.03, 1.12, 0.05), (1.12, 1.22, 1.6), (1.22, 9, 0.0)):
        image[(r >= inner) & (r < outer)] = value
    noise = np.random.default_rng(seed + 1).normal(0, 0.02, shape)
    return np.abs(image + noise).astype(np.float32), r < 1


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_blocks_become_channels_and_back():
    x = torch.rand(2, 1, 4, 6, 8)
    channels = brain_network._blocks_to_channels(x)
    assert channels.shape == (2, 8, 2, 3, 4)
    assert torch.equal(channels[1, :, 0, 1, 2], x[1, 0, 0:2, 2:4, 4:6].flatten())
    assert torch.equal(brain_network._channels_to_blocks(channels), x)


def test_the_network_answers_voxel_for_voxel():
    network = BrainNetwork((4, 8, 8))
    image = torch.rand(1, 1, 16, 24, 8)
    assert network.multiple == 8
    assert network(image).shape == image.shape


def test_normalising_forgets_the_scale_of_the_scanner():
    image = torch.rand(8, 8, 8)
    torch.testing.assert_close(brain_network.normalise(image), brain_network.normalise(1000 * image))
    assert brain_network.normalise(image).max() <= 1
    assert torch.equal(brain_network.normalise(torch.zeros(2, 2, 2)), torch.zeros(2, 2, 2))


def test_an_oblique_scan_is_carried_to_axes_along_ras():
    shape, size = (40, 40, 16), (3.0, 3.0, 7.0)
    affine = centred_affine(shape, size, turn_deg=25)
    ball = (radius_mm(shape, affine, centre=(5, 0, -4)) < 40).astype(np.float32)
    coarse = brain_network.to_network_grid(ball, affine)
    np.testing.assert_allclose(coarse.affine[:3, :3], 3 * np.eye(3))
    expected = radius_mm(coarse.data.shape, coarse.affine, centre=(5, 0, -4)) < 40
    assert dice(coarse.data > 0.5, expected) > 0.97


def test_fine_voxels_are_averaged_not_skipped():
    checkerboard = (np.indices((60, 60, 60)).sum(axis=0) % 2).astype(np.float32)
    coarse = brain_network.to_network_grid(checkerboard, centred_affine((60,) * 3, (1, 1, 1)))
    assert np.abs(coarse.data[3:-3, 3:-3, 3:-3] - 0.5).max() < 0.05


def test_otsu_agrees_with_simpleitk():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(10, 3, 4000), rng.normal(50, 8, 6000)]).clip(0)
    values = np.minimum(values, np.percentile(values, 99.5)).astype(np.float32)
    expected = sitk.OtsuThresholdImageFilter()
    expected.SetNumberOfHistogramBins(256)
    expected.Execute(sitk.GetImageFromArray(values.reshape(100, 100)))
    width = float(values.max() - values.min()) / 256
    assert brain_network.otsu_threshold(values) == pytest.approx(expected.GetThreshold(), abs=1.5 * width)


def test_the_head_is_told_from_noisy_air():
    shape = (64, 72, 64)
    affine = centred_affine(shape, (3, 3, 3))
    image, _ = egg_head(shape, affine)
    rng = np.random.default_rng(0)
    image = np.hypot(image + rng.normal(0, 0.15, shape), rng.normal(0, 0.15, shape))
    head = radius_mm(shape, affine, radii=(68, 85, 62)) < 1.2
    found = brain_network.head_mask(image.astype(np.float32))
    assert found[head].mean() > 0.995
    assert found.sum() < 1.4 * head.sum()


def ball_distance(shape, centre, radius):
    """Signed distance to a ball on a 3 mm grid, > 0 inside; centre in voxels."""
    steps = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return radius - 3.0 * np.linalg.norm(steps, axis=0)


def test_a_clean_prediction_stays_as_it_is():
    ball = ball_distance((40, 40, 40), (20, 20, 20), 36)
    kept = brain_network.keep_one_piece(ball)
    near = np.abs(ball) < 5
    np.testing.assert_allclose(kept[near], ball[near], atol=1e-5)
    assert np.array_equal(kept > 0, ball > 0)


def test_what_is_not_connected_in_depth_is_thrown_out():
    brain = ball_distance((60, 40, 40), (20, 20, 20), 36)
    eye = ball_distance((60, 40, 40), (50, 20, 20), 12)
    strand = np.zeros(brain.shape)
    strand[32:48, 19:21, 19:21] = 1  # touches both, but is nowhere deep
    together = np.maximum(np.maximum(brain, eye), np.where(strand > 0, 1.0, -12.0))
    kept = brain_network.keep_one_piece(together) > 0
    assert kept[brain > 0].all()
    assert not kept[36:].any()


def test_holes_are_filled():
    brain = ball_distance((40, 40, 40), (20, 20, 20), 36)
    pierced = brain.copy()
    pierced[20:22, 20, 20] = -4
    assert (brain_network.keep_one_piece(pierced) > 0)[20:22, 20, 20].all()


class Spotlight(nn.Module):
    """Stands for a network that says 'inside' exactly where the image is bright."""

    multiple = 8

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, image):
        assert all(n % self.multiple == 0 for n in image.shape[2:])
        return torch.where(image > 0.4, 10.0, -10.0)


@pytest.mark.parametrize("shape", [(21, 30, 27), (16, 16, 16), (9, 41, 33)])
def test_predictions_land_on_the_voxels_they_were_made_for(shape):
    image = np.zeros(shape, dtype=np.float32)
    image[3:7, 2:11, 4:9] = 1
    image[2, 5, 5] = 0.2
    distance = brain_network.predict_distance(image, Spotlight())
    assert np.array_equal(distance > 0, image > 0.5)


def test_the_chest_is_not_looked_at():
    image = np.ones((16, 16, 120), dtype=np.float32)
    distance = brain_network.predict_distance(image, Spotlight())
    assert (distance[..., 47:] == 10).all()
    assert (distance[..., :46] == -12).all()


@pytest.mark.parametrize(
    ("shape", "size", "turn_deg"),
    [((64, 72, 64), (3, 3, 3), 0), ((200, 220, 50), (1, 1, 4), 12)],
    ids=["as the network's grid", "thick oblique slices"],
)
def test_the_brain_is_found_in_a_head_that_is_only_an_egg(shipped, shape, size, turn_deg):
    affine = centred_affine(shape, size, turn_deg)
    image, brain = egg_head(shape, affine)
    found = brain_network.brain_mask(image, affine, shipped)
    assert not found.already_stripped
    assert found.mask.shape == found.distance_mm.shape == shape
    assert dice(found.mask, brain) > 0.93
    assert ((found.distance_mm > 0) >= found.mask).all()


def test_the_scale_of_the_scanner_does_not_matter(shipped):
    shape = (64, 72, 64)
    affine = centred_affine(shape, (3, 3, 3))
    image, _ = egg_head(shape, affine)
    first, scaled = (brain_network.brain_mask(image * s, affine, shipped).mask for s in (1, 517))
    assert dice(first, scaled) > 0.999


def test_a_scan_that_is_already_stripped_is_left_alone(shipped):
    shape = (64, 72, 64)
    affine = centred_affine(shape, (3, 3, 3))
    image, brain = egg_head(shape, affine)
    image = image * brain
    image[30, 36, 32] = 0  # fluid can be exactly zero
    found = brain_network.brain_mask(image, affine, shipped)
    assert found.already_stripped
    assert found.mask[brain].all()
    assert dice(found.mask, brain) > 0.97


def test_nothing_is_found_where_nothing_was_scanned(shipped):
    shape = (64, 72, 64)
    affine = centred_affine(shape, (3, 3, 3))
    image, _ = egg_head(shape, affine)
    image[:, :, 40:] = 0
    assert not brain_network.brain_mask(image, affine, shipped).mask[:, :, 43:].any()


@pytest.mark.parametrize("value", [0.0, -3.0, np.nan])
def test_an_empty_image_is_refused(shipped, value):
    with pytest.raises(ImageError) as caught:
        brain_network.brain_mask(np.full((20, 20, 20), value), np.diag([4, 4, 4, 1]), shipped)
    assert caught.value.code == "brain-not-found"
    assert caught.value.remedy


def test_a_scan_without_a_brain_is_refused(shipped):
    small = (radius_mm((40, 40, 40), centred_affine((40,) * 3, (3, 3, 3))) < 25).astype(np.float32)
    with pytest.raises(ImageError, match="brain-not-found"):
        brain_network.brain_mask(small, centred_affine((40,) * 3, (3, 3, 3)), shipped)


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path, monkeypatch):
    source = Path(brain_network.__file__).parent / "data"
    (tmp_path / "data").mkdir()
    content = bytearray((source / "brain_network.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "data" / "brain_network.safetensors").write_bytes(content)
    (tmp_path / "data" / "brain_network.json").write_bytes((source / "brain_network.json").read_bytes())
    monkeypatch.setattr(brain_network, "files", lambda package: tmp_path)
    with pytest.raises(ModelError) as caught:
        brain_network.load()
    assert caught.value.code == "model-changed"


def test_the_shipped_weights_are_small_and_say_how_they_were_made():
    folder = Path(brain_network.__file__).parent / "data"
    assert (folder / "brain_network.safetensors").stat().st_size < 5_000_000
    card = json.loads((folder / "brain_network.json").read_text())
    assert card["n_heads"] == card["n_heads_planned"]  # the training went to its end
    assert card["voxel_size_mm"] == brain_network.VOXEL_SIZE_MM
    assert "no real scan" in card["trained_on"]


@pytest.fixture(scope="module")
def real_masks(shipped):
    """Per scan and modality: mask, volume in ml, and the reference on the T1w's grid."""
    from relevox.store import images

    results = {}
    root = Path(REAL_DATA) / "ms"
    for session in sorted(root.glob("sub-*/ses-*")):
        key = f"{session.parent.name}_{session.name}"
        reference = root / "derivatives" / "reference" / session.relative_to(root) / "anat"
        results[key] = {"reference": images.read_labels(reference / f"{key}_desc-brain_mask.nii.gz").data > 0}
        for kind in ("T1w", "FLAIR"):
            scan = images.read(session / "anat" / f"{key}_{kind}.nii.gz")
            mask = brain_network.brain_mask(scan.data, scan.affine, shipped).mask
            results[key][kind] = mask, mask.sum() * scan.voxel_volume_ml
    assert len(results) == 5
    return results


@real
def test_masks_agree_with_the_reference(real_masks):
    scores = [dice(scan["T1w"][0], scan["reference"]) for scan in real_masks.values()]
    assert np.mean(scores) > 0.943  # measured: 0.948
    assert min(scores) > 0.939  # measured: 0.9446


@real
def test_noise_as_large_as_a_fifth_of_the_signal_does_little_harm(shipped, real_masks):
    from relevox.store import images

    key = "sub-04_ses-1"
    scan = images.read(Path(REAL_DATA) / "ms" / "sub-04" / "ses-1" / "anat" / f"{key}_T1w.nii.gz")
    rng = np.random.default_rng(0)
    size = 0.2 * np.percentile(scan.data[real_masks[key]["reference"]], 90)
    noisy = np.hypot(scan.data + rng.normal(0, size, scan.data.shape), rng.normal(0, size, scan.data.shape))
    mask = brain_network.brain_mask(noisy, scan.affine, shipped).mask
    assert dice(mask, real_masks[key]["reference"]) > 0.935  # measured: 0.942


@real
def test_t1w_and_flair_of_a_patient_agree(real_masks):
    ratios = [scan["FLAIR"][1] / scan["T1w"][1] for scan in real_masks.values()]
    np.testing.assert_allclose(ratios, 1, atol=0.08)  # measured: 0.956 to 1.068


@real
def test_a_stripped_scan_is_recognised(shipped):
    from relevox.store import images

    path = Path(REAL_DATA) / "ms-mni" / "sub-26" / "anat" / "sub-26_space-MNI_desc-brain_T1w.nii.gz"
    scan = images.read(path)
    found = brain_network.brain_mask(scan.data, scan.affine, shipped)
    assert found.already_stripped
    assert found.mask[scan.data > 0].all()
