"""Training the brain network: it learns, it repeats, and it says how it was made."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from relevox.imaging.brain_network import BrainNetwork
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.head_template import head_template
from relevox.stages import train_brain_network as stage

TINY = HeadGrid((16, 16, 16), 12.0)
WIDTHS = (4, 8)


@pytest.fixture(scope="module")
def ball_images():
    """A coarse brain: fluid, grey, white, mask, affine."""
    affine = np.diag([8.0, 8.0, 8.0, 1.0])
    affine[:3, 3] = (-96, -114, -90)
    axes = [np.arange(24) * 8.0 - 92 for _ in range(3)]
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(*axes, indexing="ij")))
    brain, white = radius < 64, radius < 48
    return SimpleNamespace(csf=np.zeros(brain.shape), grey=brain & ~white, white=white, brain_mask=brain, affine=affine)


@pytest.fixture(scope="module")
def ball_template_coarse(ball_images):
    b = ball_images
    return head_template(b.csf, b.grey, b.white, b.brain_mask, b.affine, factor=1)


def test_the_card_vouches_for_weights_that_can_be_loaded(tmp_path, ball_images, monkeypatch):
    monkeypatch.setattr(stage.template, "full", lambda: ball_images)
    path = stage.run(tmp_path, seed=3, n_heads=3, device="cpu", threads=1, shape=(16, 16, 16), widths=WIDTHS)
    card = json.loads((tmp_path / "brain_network.json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card["seed"], card["n_heads"], card["widths"]) == (3, 3, [4, 8])
    state = safetensors.torch.load(path.read_bytes())
    assert all(tensor.dtype == torch.float16 for tensor in state.values())
    BrainNetwork(WIDTHS).load_state_dict({name: tensor.float() for name, tensor in state.items()})


def test_the_same_seed_gives_the_same_weights_whether_or_not_painting_overlaps(tmp_path, ball_template_coarse):
    made = [
        stage.train(ball_template_coarse, TINY, tmp_path / str(n), seed, 5, overlap=overlap, widths=WIDTHS).read_bytes()
        for n, (seed, overlap) in enumerate([(0, False), (0, True), (1, False)])
    ]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_heads_come_in_order_and_none_is_lost(ball_template_coarse):
    plain, ahead = (
        list(stage.batches(ball_template_coarse, TINY, seed=2, n_heads=5, overlap=overlap)) for overlap in (False, True)
    )
    assert [len(batch.image) for batch in plain] == [2, 2, 1]
    for a, b in zip(plain, ahead, strict=True):
        assert torch.equal(a.image, b.image)
    assert plain[0].image.max() <= 1


def test_training_brings_the_loss_down(tmp_path, ball_template_coarse, caplog, monkeypatch):
    one = next(stage.batches(ball_template_coarse, TINY, seed=0, n_heads=2))
    monkeypatch.setattr(stage, "batches", lambda *args: [one] * 200)
    with caplog.at_level("INFO", logger="relevox"):
        stage.train(ball_template_coarse, TINY, tmp_path, 0, 400, widths=WIDTHS)
    first, last = (record.args[2] + record.args[3] for record in (caplog.records[0], caplog.records[-1]))
    assert last < 0.7 * first


def _batch(distance_mm, valid=None):
    valid = torch.ones_like(distance_mm) if valid is None else valid
    return stage.Batch(torch.zeros_like(distance_mm), distance_mm, valid)


def test_a_perfect_prediction_costs_nothing():
    truth = torch.linspace(-11, 11, 512).reshape(1, 1, 8, 8, 8)
    distance_loss, overlap_loss = stage.losses(truth, _batch(truth))
    assert float(distance_loss) == 0
    assert float(overlap_loss) == pytest.approx(0, abs=1e-6)


def test_far_distances_are_all_the_same():
    truth = torch.full((1, 1, 4, 4, 4), -40.0)
    distance_loss, _ = stage.losses(torch.full_like(truth, -12.0), _batch(truth))
    assert float(distance_loss) == 0


def test_an_error_at_the_surface_weighs_more_than_one_far_from_it():
    truth = torch.full((1, 1, 4, 4, 4), -10.0)
    truth[..., :2] = 0.0
    at_surface, far = truth.clone(), truth.clone()
    at_surface[..., 0] += 1.5
    far[..., 3] += 1.5
    assert stage.losses(at_surface, _batch(truth))[0] > 2 * stage.losses(far, _batch(truth))[0]


def test_what_was_not_scanned_does_not_count():
    truth = torch.linspace(-11, 11, 512).reshape(1, 1, 8, 8, 8)
    wrong = truth.clone()
    wrong[..., 4:] = -3
    valid = torch.ones_like(truth)
    valid[..., 4:] = 0
    distance_loss, overlap_loss = stage.losses(wrong, _batch(truth, valid))
    assert float(distance_loss) == 0
    assert float(overlap_loss) == pytest.approx(0, abs=1e-6)
