import pytest
import torch

from relevox.config import preset
from relevox.errors import ModelError, StudyError
from relevox.store import layout, models, tables
from relevox.store.models import ModelCard

SHAPE = (18, 23, 19)


@pytest.fixture
def saved_model(tmp_path):
    card = ModelCard.of(preset("tiny"), 1, {"epochs": 2, "class_weights": (0.8, 1.2)})
    torch.manual_seed(0)
    network = card.build().to(memory_format=torch.channels_last_3d)
    network(torch.rand(2, 2, *SHAPE))
    models.save(tmp_path, card, network)
    return tmp_path, network.eval(), card


def test_what_is_saved_is_loaded(saved_model):
    study, network, card = saved_model
    loaded, loaded_card = models.load(study, 1)
    x = torch.rand(1, 2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), network(x))
    assert loaded_card.sha256 and loaded_card.training == {"epochs": 2, "class_weights": [0.8, 1.2]}
    assert (loaded_card.widths, loaded_card.shape) == (card.widths, card.shape)


def test_a_fold_that_was_not_trained_is_named(tmp_path):
    with pytest.raises(StudyError, match="fold-0"):
        models.load(tmp_path, 0)


@pytest.mark.parametrize("change", [{"architecture": "VGG"}, {"extra": 1}])
def test_a_card_of_another_kind_is_refused(saved_model, change):
    study, _, _ = saved_model
    file = layout.path(study, "model", fold=1)
    tables.write_json(file, tables.read_json(file) | change)
    with pytest.raises(ModelError, match="model-card"):
        models.load(study, 1)


def test_weights_that_do_not_fit_the_card_are_refused(saved_model):
    study, _, _ = saved_model
    file = layout.path(study, "model", fold=1)
    tables.write_json(file, tables.read_json(file) | {"widths": [4, 8, 8, 16]})
    with pytest.raises(ModelError, match="model-shape"):
        models.load(study, 1)
