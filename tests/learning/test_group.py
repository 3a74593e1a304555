"""Two real processes (gloo) train one network together; one process is the oracle."""

import socket

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing, nn

from relevox.config import TrainingSettings
from relevox.errors import SettingsError
from relevox.learning import ResNet3d
from relevox.learning.group import ALONE, Group, SharedBatchNorm3d, _share_batch_norm
from relevox.learning.training import train

SETTINGS = TrainingSettings(
    learning_rate=1e-2,
    batch_size=4,
    max_epochs=3,
    early_stopping_patience=0,
    restore_best=False,
    reestimate_batch_norm=True,
    precision="float32",
    device="cpu",
)


def trajectory(group=ALONE, **changes):
    """Train on 11 noisy scans: batches and validation scans do not divide by two."""
    rng = np.random.default_rng(0)
    y = np.arange(16) % 2
    x = rng.random((16, 2, 8, 9, 8))
    x[y == 1, 1, 2:5, 2:5] += 0.5
    torch.manual_seed(0)
    network = ResNet3d(widths=(4, 4, 8), head_widths=(4, 4))
    settings = SETTINGS.model_copy(update=changes)
    rows = np.arange(11), np.arange(11, 16)
    checkpoints = []
    trained = train(network, x.astype(np.float16), y, *rows, settings, 1, group=group, on_checkpoint=checkpoints.append)
    return trained, checkpoints


def one_of_two(rank, port, file):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    trained, _ = trajectory(Group(rank, 2))
    torch.save({"losses": losses(trained), "state": trained.network.state_dict()}, f"{file}.{rank}")
    distributed.destroy_process_group()


def losses(trained):
    return [(e.train_loss, e.validation_loss, e.validation_balanced_accuracy) for e in trained.history]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    file = tmp_path_factory.mktemp("pair") / "trained"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(one_of_two, (port, str(file)), nprocs=2)
    return [torch.load(f"{file}.{rank}", weights_only=True) for rank in (0, 1)]


def test_two_processes_train_as_one_with_the_same_batches(pair):
    alone, _ = trajectory()
    np.testing.assert_allclose(pair[0]["losses"], losses(alone), rtol=1e-5)
    for name, tensor in alone.network.state_dict().items():
        torch.testing.assert_close(pair[0]["state"][name], tensor, rtol=1e-3, atol=1e-4)


def test_both_processes_end_with_the_same_network_and_the_same_history(pair):
    assert pair[0]["losses"] == pair[1]["losses"]
    for name, tensor in pair[0]["state"].items():
        torch.testing.assert_close(pair[1]["state"][name], tensor, rtol=0, atol=0)


def test_sharing_statistics_leaves_the_network_itself_plain_and_trains_its_own_parameters():
    network = ResNet3d(widths=(4, 4, 8), head_widths=(4, 4))
    shared = _share_batch_norm(network)
    pairs = list(zip(network.modules(), shared.modules(), strict=True))
    assert {type(b) for a, b in pairs if type(a) is nn.BatchNorm3d} == {SharedBatchNorm3d}
    assert not any(isinstance(module, SharedBatchNorm3d) for module in network.modules())
    own = [*network.parameters(), *network.buffers()]
    assert all(a is b for a, b in zip(own, [*shared.parameters(), *shared.buffers()], strict=True))


def test_more_processes_than_scans_in_a_batch_are_refused():
    with pytest.raises(SettingsError, match="processes-too-many"):
        trajectory(Group(0, 8))


def test_the_scans_of_a_batch_are_shared_out_whole():
    parts = [Group(rank, 3).share(7) for rank in range(3)]
    assert np.concatenate(parts).tolist() == list(range(7))
    assert ALONE.share(4).tolist() == [0, 1, 2, 3]
