import pytest
import torch

from relevox.errors import SettingsError
from relevox.learning.device import choose_device, choose_precision


def test_the_processor_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(SettingsError, match="device-unavailable"):
        choose_device(name)


def test_a_named_precision_is_taken_and_auto_is_one_of_the_two():
    cpu = torch.device("cpu")
    assert choose_precision("float32", cpu) == torch.float32
    assert choose_precision("bfloat16", cpu) == torch.bfloat16
    assert choose_precision("auto", cpu) in (torch.float32, torch.bfloat16)
