import json
import pickle

import pytest
import torch

from relevox.errors import ModelError
from relevox.store import weights


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights.safetensors"
    weights.save(path, {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)})
    return path


def code(path, **options):
    with pytest.raises(ModelError) as caught:
        weights.load(path, **options)
    return caught.value.code


def test_what_is_saved_is_loaded(tmp_path):
    state = {"a": torch.randn(2, 3), "n": torch.tensor(3)}
    digest = weights.save(tmp_path / "w.safetensors", state)
    again = weights.load(tmp_path / "w.safetensors", digest)
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_changed_damaged_and_pickled_files_are_refused(tmp_path, file):
    assert code(tmp_path / "nowhere.safetensors") == "model-missing"
    assert code(file, sha256_expected="0" * 64) == "model-changed"
    file.write_bytes(file.read_bytes()[:-4])
    assert code(file) == "model-unreadable"
    file.write_bytes(pickle.dumps({"a": 1}))
    assert code(file) == "model-unreadable"


def test_repeated_keys_are_refused(tmp_path):
    header = (
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    )
    path = tmp_path / "twice.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    assert json.loads(header) and code(path) == "model-unreadable"


def test_weights_that_are_not_finite_are_refused(tmp_path):
    weights.save(tmp_path / "nan.safetensors", {"a": torch.tensor([1.0, float("nan")])})
    assert code(tmp_path / "nan.safetensors") == "model-not-finite"


def test_weights_of_another_shape_are_refused():
    with pytest.raises(ModelError, match="model-shape"):
        weights.load_into(torch.nn.Linear(2, 3), {"weight": torch.ones(3, 3), "bias": torch.ones(3)})
