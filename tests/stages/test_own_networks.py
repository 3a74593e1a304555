import hashlib
import json
from importlib.resources import files

import pytest

from relevox.config import preset
from relevox.stages import own_networks

DATA = files("relevox.imaging") / "data"


def settings(**changes):
    return preset("tiny").preprocessing.model_copy(update=changes)


def test_both_networks_are_needed_unless_something_else_does_their_work():
    assert own_networks.needed(settings(), {}) == ["brain_network", "lesion_network"]
    assert own_networks.needed(settings(brain_extraction="hdbet", lesions="thresholds"), {}) == []
    assert own_networks.needed(settings(lesions="lst_ai"), {"brain_mask": None}) == []
    assert own_networks.needed(settings(), {"lesion_mask": None}) == ["brain_network"]


def test_what_is_not_needed_is_not_loaded(monkeypatch):
    monkeypatch.setattr(own_networks, "_loaded", lambda name: f"the {name}")
    assert own_networks.load(settings(), {}) == {"network": "the brain_network", "lesion_network": "the lesion_network"}
    assert own_networks.load(settings(lesions="thresholds"), {"brain_mask": 1}) == dict.fromkeys(
        ("network", "lesion_network")
    )


@pytest.mark.parametrize("name", ["brain_network", "lesion_network"])
def test_the_fingerprint_is_that_of_the_weights_and_their_card_vouches_for_it(name):
    digest = hashlib.sha256((DATA / f"{name}.safetensors").read_bytes()).hexdigest()
    assert own_networks.hashes(settings(), {})[name] == digest
    assert json.loads((DATA / f"{name}.json").read_text())["sha256"] == digest


def test_the_weights_of_both_are_small():
    assert sum(len((DATA / f"{name}.safetensors").read_bytes()) for name in ("brain_network", "lesion_network")) < 5e6
