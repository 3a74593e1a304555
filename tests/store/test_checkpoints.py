import pickle

import pytest
import torch

from relevox.learning.checkpoint import Checkpoint
from relevox.store import checkpoints, layout

MADE_FROM = {"settings": {"learning_rate": 0.1}, "inputs": {"inputs": "abc"}}


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    tensors = {"network.w": torch.randn(3, 2), "network.n": torch.tensor(7), "random.torch": torch.get_rng_state()}
    values = {"history": [{"epoch": 1, "train_loss": 0.1}], "best_loss": float("inf"), "numpy": {"state": 2**100}}
    return Checkpoint(tensors, values)


def test_what_was_saved_is_read_back_equal(tmp_path, checkpoint):
    checkpoints.save(tmp_path, 3, checkpoint, MADE_FROM)
    back, reason = checkpoints.load(tmp_path, 3, MADE_FROM)
    assert reason == "" and back.values == checkpoint.values
    assert set(back.tensors) == set(checkpoint.tensors)
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(back.tensors[name], tensor) and back.tensors[name].dtype == tensor.dtype


def test_no_checkpoint_needs_no_reason(tmp_path):
    assert checkpoints.load(tmp_path, 0, MADE_FROM) == (None, "")


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path, checkpoint):
    checkpoints.save(tmp_path, 0, checkpoint, MADE_FROM)
    other = MADE_FROM | {"settings": {"learning_rate": 0.2}}
    assert checkpoints.load(tmp_path, 0, other) == (None, checkpoints.OTHER)


def test_any_flipped_bit_is_found(tmp_path, checkpoint):
    path = checkpoints.save(tmp_path, 0, checkpoint, MADE_FROM)
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        assert checkpoints.load(tmp_path, 0, MADE_FROM)[0] is None, place


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_half_a_file_is_refused(tmp_path, checkpoint, cut):
    path = checkpoints.save(tmp_path, 0, checkpoint, MADE_FROM)
    path.write_bytes(path.read_bytes()[:cut])
    assert checkpoints.load(tmp_path, 0, MADE_FROM) == (None, checkpoints.UNUSABLE)


def test_a_pickle_is_refused_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = layout.path(tmp_path, "checkpoint", fold=0)
    path.parent.mkdir(parents=True)
    for content in (pickle.dumps(Bomb()), b""):
        path.write_bytes(content)
        assert checkpoints.load(tmp_path, 0, MADE_FROM) == (None, checkpoints.UNUSABLE)
    torch.save({"bomb": 1}, path)
    assert checkpoints.load(tmp_path, 0, MADE_FROM) == (None, checkpoints.UNUSABLE)
    assert not (tmp_path / "exploded").exists()


def test_removing_takes_what_a_killed_process_left_too(tmp_path, checkpoint):
    path = checkpoints.save(tmp_path, 0, checkpoint, MADE_FROM)
    (path.parent / f".{path.name}.123.part").write_bytes(b"half")
    checkpoints.remove(tmp_path, 0)
    assert list(path.parent.iterdir()) == []
