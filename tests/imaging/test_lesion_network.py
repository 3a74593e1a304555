import hashlib
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy import ndimage

from relevox.errors import ModelError
from relevox.imaging import lesion_network
from relevox.imaging.lesion_network import (
    LesionNetwork,
    find_lesions,
    large_pieces,
    lesion_probability,
    load,
    network_input,
)
from relevox.imaging.quality import dice
from relevox.store import template


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return LesionNetwork((4, 8)).eval()


@pytest.fixture
def scan():
    """T1w, FLAIR, mask, grey matter, priors of white matter and CSF."""
    rng = np.random.default_rng(0)
    shape = (20, 24, 18)
    mask = np.zeros(shape, dtype=bool)
    mask[2:18, 2:20, 4:15] = True
    t1w, flair = (mask * rng.uniform(80, 120, shape) for _ in range(2))
    grey = mask & (np.indices(shape)[2] < 8)
    return t1w, flair, mask, grey.astype(float), 0.9 * mask, 0.05 * mask


def test_blocks_go_to_channels_and_back():
    x = torch.arange(4 * 6 * 8, dtype=torch.float32).reshape(1, 1, 4, 6, 8)
    there = lesion_network._blocks_to_channels(x)
    assert there.shape == (1, 8, 2, 3, 4)
    assert torch.equal(lesion_network._channels_to_blocks(there), x)


def test_the_answer_has_the_shape_of_the_input(network):
    assert network(torch.zeros(2, 5, 8, 12, 16)).shape == (2, 1, 8, 12, 16)


def test_an_untrained_network_expects_few_lesions(network):
    assert float(torch.sigmoid(network(torch.zeros(1, 5, 8, 8, 8)).detach()).mean()) < 0.2


def test_scanner_units_do_not_matter(network, scan):
    t1w, flair, *rest = scan
    first = lesion_probability(t1w, flair, *rest, network)
    assert np.allclose(first, lesion_probability(7 * t1w, 0.3 * flair, *rest, network), atol=1e-5)
    assert not first[~scan[2]].any()
    assert first[scan[2]].min() > 0


def test_a_mirrored_scan_gets_the_mirrored_answer(network, scan):
    found = lesion_probability(*scan, network)
    mirrored = lesion_probability(*(np.ascontiguousarray(image[::-1]) for image in scan), network)
    assert np.allclose(mirrored[::-1], found, atol=1e-5)


def test_without_white_or_grey_matter_nothing_is_found(network, scan):
    t1w, flair, mask, grey, white, csf = scan
    assert not lesion_probability(t1w, flair, mask, grey, 0 * white, csf, network).any()
    assert not lesion_probability(t1w, flair, mask, 0 * grey, white, csf, network).any()
    assert not lesion_probability(t1w, 0 * flair, mask, grey, white, csf, network).any()


def test_hot_voxels_are_clipped_before_the_network_sees_them():
    x = network_input(torch.full((2, 2, 2, 2), 1e6), torch.full((2, 2, 2), 1e6), torch.zeros(2, 2, 2, 2))
    assert float(x[:2].max()) == lesion_network.HIGHEST - 1
    assert float(x[2].max()) == lesion_network.HIGHEST_Z / lesion_network.Z_UNIT


def test_small_pieces_are_left_out():
    probability = np.zeros((9, 9, 9))
    probability[1:3, 1:3, 1:3] = 0.9
    probability[6, 6, 6] = 0.9
    found = large_pieces(probability)
    assert found.sum() == 8 and found[1, 1, 1]


def _write(folder, network, widths):
    content = safetensors.torch.save({k: v.contiguous() for k, v in network.state_dict().items()})
    (folder / "lesion_network.safetensors").write_bytes(content)
    card = {"sha256": hashlib.sha256(content).hexdigest(), "widths": widths}
    (folder / "lesion_network.json").write_text(json.dumps(card))


def test_weights_are_read_where_their_card_vouches_for_them(tmp_path, network, scan):
    _write(tmp_path, network, [4, 8])
    again = load(tmp_path)
    assert np.array_equal(lesion_probability(*scan, again), lesion_probability(*scan, network))
    file = tmp_path / "lesion_network.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelError) as changed:
        load(tmp_path)
    assert changed.value.code == "model-changed"


def test_a_folder_without_weights_says_how_to_make_them(tmp_path):
    with pytest.raises(ModelError) as missing:
        load(tmp_path)
    assert missing.value.code == "model-missing"
    assert "train-lesion-network" in missing.value.remedy


@pytest.fixture(scope="module")
def template_piece():
    """T1w, mask, grey, priors of a piece of the template's brain, and spheres of white matter in it."""
    head = template.full()
    box = (slice(60, 140), slice(80, 160), slice(70, 134))
    t1w, mask, grey, white, csf = (m[box] for m in (head.t1, head.brain_mask, head.grey, head.white, head.csf))
    x, y, z = np.indices(mask.shape)
    spheres = np.zeros(mask.shape, dtype=bool)
    centres = np.argwhere(ndimage.distance_transform_edt(white > 0.9) > 5)
    for a, b, c in centres[:: len(centres) // 5]:
        spheres |= (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 16
    return t1w, mask.astype(bool), grey, white, csf, spheres


def test_the_weights_in_the_package_find_bright_spheres_and_leave_a_healthy_brain_alone(template_piece):
    t1w, mask, grey, white, csf, spheres = template_piece
    healthy = mask * (1.15 * grey + white + 0.2 * csf)
    with_lesions = np.where(spheres, 1.5, healthy)
    packaged = load()
    found = find_lesions(t1w, with_lesions, mask, grey, white, csf, packaged)
    assert dice(found, spheres) > 0.75
    assert find_lesions(t1w, healthy, mask, grey, white, csf, packaged).sum() < 0.1 * spheres.sum()
