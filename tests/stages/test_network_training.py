"""The loop that our own networks share: schedule, averaged weights, batches painted ahead."""

import numpy as np
import pytest
import torch

from relevox.stages import network_training as shared


def test_the_learning_rate_rises_then_falls_to_its_floor():
    rates = [shared.learning_rate(step, 1000) for step in range(1000)]
    peak = int(np.argmax(rates))
    assert 50 <= peak <= 70
    assert np.all(np.diff(rates[:peak]) > 0)
    assert np.all(np.diff(rates[peak + 1 :]) <= 0)
    assert rates[-1] == shared.LAST_LEARNING_RATE


@pytest.mark.parametrize("overlap", [False, True])
def test_batches_hold_every_item_once_in_order(overlap):
    assert list(shared.batched(iter(range(7)), 3, tuple, overlap)) == [(0, 1, 2), (3, 4, 5), (6,)]


@pytest.mark.parametrize("overlap", [False, True])
def test_an_error_while_painting_is_not_swallowed(overlap):
    def items():
        yield 1
        raise ValueError("cannot paint")

    with pytest.raises(ValueError, match="cannot paint"):
        list(shared.batched(items(), 1, tuple, overlap))


def test_averaged_weights_follow_slowly_and_so_do_the_running_means_of_a_normalisation():
    average, network = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(network.weight, 2.0)
    network.running_mean.fill_(1.0)
    network.num_batches_tracked.fill_(5)
    for step in range(3000, 3100):
        shared.follow(average, network, step)
    share = 1 - shared.EMA_DECAY**100
    assert average.weight.tolist() == pytest.approx([1 + share] * 2, rel=1e-4)
    assert average.running_mean.tolist() == pytest.approx([share] * 2, rel=1e-4)
    assert int(average.num_batches_tracked) == 0


def test_early_weights_hardly_count_in_the_average():
    average, network = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    torch.nn.init.constant_(network.weight, 3.0)
    for step in range(100):
        shared.follow(average, network, step)
    assert average.weight.item() == pytest.approx(3.0, abs=0.01)
