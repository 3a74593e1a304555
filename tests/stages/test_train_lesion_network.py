"""Training the lesion network: it learns, it repeats, and what it writes can be used."""

import json

import numpy as np
import pytest
import torch

from relevox.imaging import lesion_network
from relevox.phantom.head_space import HeadGrid
from relevox.phantom.lesion_space import lesion_template
from relevox.stages import train_lesion_network as stage

GRID = HeadGrid((16, 16, 16), 3.0)
WIDTHS = (4, 8)


@pytest.fixture(scope="module")
def maps():
    """A ball of white matter with a chamber of fluid, in cortex, at 3 mm."""
    radius = 3 * np.sqrt(sum((axis - 19.5) ** 2 for axis in np.indices((40, 40, 40))))
    brain, inner, chamber = radius < 50, radius < 42, radius < 10
    below = np.indices(brain.shape)[2] < 10
    tissue = (brain & ~inner, inner & ~chamber, chamber)
    return lesion_template(*(t.astype(float) for t in tissue), brain, chamber, tissue[0], below & brain, 3.0)


def test_the_card_vouches_for_weights_that_can_be_loaded(tmp_path, maps, monkeypatch):
    monkeypatch.setattr(stage.template, "full", lambda: None)
    monkeypatch.setattr(stage, "maps_of", lambda _: maps)
    stage.run(tmp_path, seed=3, n_patches=6, device="cpu", threads=1, side=16, widths=WIDTHS)
    card = json.loads((tmp_path / "lesion_network.json").read_text())
    assert (card["seed"], card["n_patches"], card["widths"]) == (3, 6, [4, 8])
    network = lesion_network.load(tmp_path)
    assert torch.isfinite(network(torch.zeros(1, 5, 8, 8, 8))).all()


def test_the_same_seed_gives_the_same_weights_whether_or_not_painting_overlaps(tmp_path, maps):
    made = [
        stage.train(maps, GRID, tmp_path / str(n), seed, 10, overlap, WIDTHS).read_bytes()
        for n, (seed, overlap) in enumerate([(0, False), (0, True), (1, False)])
    ]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_training_brings_the_loss_down(tmp_path, maps, caplog, monkeypatch):
    one = max(stage.batches(maps, GRID, seed=0, n_patches=24), key=lambda batch: float(batch[1].sum()))
    assert one[1].sum() > 20
    monkeypatch.setattr(stage, "batches", lambda *_: [one] * 200)
    monkeypatch.setattr(stage, "LEARNING_RATE", 1e-2)
    with caplog.at_level("INFO", logger="relevox"):
        stage.train(maps, GRID, tmp_path, 0, 800, widths=(8, 16))
    first, last = (record.args[2] + record.args[3] for record in (caplog.records[0], caplog.records[-1]))
    assert last < 0.7 * first


def test_a_perfect_answer_costs_nothing_and_what_lies_outside_the_brain_does_not_count():
    lesion = torch.zeros(2, 1, 4, 4, 4)
    lesion[0, 0, 1:3, 1:3, 1:3] = 1
    mask = torch.ones_like(lesion)
    mask[..., 3:] = 0
    answer = 40 * lesion - 20
    answer[..., 3:] = 20  # wrong, outside
    entropy, overlap_loss = stage.losses(answer, lesion, mask)
    assert float(entropy) == pytest.approx(0, abs=1e-6)
    assert float(overlap_loss) == pytest.approx(0, abs=1e-6)


def test_no_lesion_anywhere_is_no_error():
    nothing = torch.zeros(1, 1, 4, 4, 4)
    entropy, overlap_loss = stage.losses(nothing - 20, nothing, torch.ones_like(nothing))
    assert float(entropy + overlap_loss) == pytest.approx(0, abs=1e-5)
