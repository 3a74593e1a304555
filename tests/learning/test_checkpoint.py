import json

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from relevox.config import TrainingSettings
from relevox.learning import ResNet3d
from relevox.learning.checkpoint import Checkpoint
from relevox.learning.training import train

SHAPE = (8, 9, 8)
QUICK = TrainingSettings(
    optimiser="adamw",
    learning_rate=1e-2,
    batch_size=4,
    schedule="one_cycle",
    max_epochs=4,
    early_stopping_patience=0,
    restore_best=False,
    precision="float32",
    device="cpu",
)
RECIPES = {
    "annealed, statistics measured again": {"reestimate_batch_norm": True},
    "plateau, best weights": {
        "schedule": "plateau",
        "plateau_patience": 1,
        "optimiser": "adam",
        "restore_best": True,
        "reestimate_batch_norm": True,
    },
    "early stopping": {"early_stopping_patience": 1, "restore_best": True, "learning_rate": 0.1, "max_epochs": 9},
}


def trained(resume=None, **changes):
    """Train a tiny network on noise, and return it with all its checkpoints."""
    rng = np.random.default_rng(0)
    x = rng.random((14, 2, *SHAPE)).astype(np.float16)
    y = np.arange(14) % 2
    torch.manual_seed(0)
    network = ResNet3d(widths=(4, 4, 8), head_widths=(4, 4))
    checkpoints = []
    settings = QUICK.model_copy(update=changes)
    rows = np.arange(10), np.arange(10, 14)
    result = train(network, x, y, *rows, settings, seed=3, on_checkpoint=checkpoints.append, resume=resume)
    return result, checkpoints


def bits(network):
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


def as_if_from_disk(checkpoint):
    return Checkpoint(dict(checkpoint.tensors), json.loads(json.dumps(checkpoint.values)))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_resumed_after_any_epoch_ends_with_the_same_bits(recipe):
    whole, checkpoints = trained(**RECIPES[recipe])
    assert len(checkpoints) == len(whole.history) > 1
    for number, checkpoint in enumerate(checkpoints, start=1):
        torch.randn(number)  # another process has drawn other numbers
        again, later = trained(as_if_from_disk(checkpoint), **RECIPES[recipe])
        assert bits(again.network) == bits(whole.network), f"after epoch {number}"
        assert len(later) == len(checkpoints) - number
        assert (again.epoch, again.stopped) == (whole.epoch, whole.stopped)
        losses = [row.train_loss for row in again.history]
        assert losses == [row.train_loss for row in whole.history]


def test_early_stopping_was_met_in_the_recipe_above():
    assert trained(**RECIPES["early stopping"])[0].stopped == "early stopping"


def test_a_checkpoint_does_not_change_while_the_training_goes_on():
    _, checkpoints = trained()
    first = checkpoints[0].tensors["network.head.1.weight"]
    assert not torch.equal(first, checkpoints[-1].tensors["network.head.1.weight"])


def test_the_optimisers_moments_return_to_the_order_in_memory_they_had():
    _, checkpoints = trained()
    seen = {}

    def look(optimiser, *_):
        for group in optimiser.param_groups:
            for p in group["params"]:
                for moment in optimiser.state[p].values():
                    if moment.shape == p.shape:
                        seen[id(moment)] = (moment.stride(), p.stride())

    hook = register_optimizer_step_post_hook(look)
    try:
        trained(checkpoints[0])
    finally:
        hook.remove()
    assert seen and all(moment == parameter for moment, parameter in seen.values())
