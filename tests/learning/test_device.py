import pytest
import torch

from relevox.errors import SettingsError
from relevox.learning.device import choose_device, choose_precision, flushing_denormals


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


def test_a_grid_on_which_processors_compute_wrong_bfloat16_gradients_gets_float32():
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu, [18, 9, 4, 2]) == torch.float32
    with pytest.raises(SettingsError, match="precision-unsafe"):
        choose_precision("bfloat16", cpu, [18, 9, 4, 2])
    assert choose_precision("bfloat16", cpu, [36, 18, 9, 4]) == torch.bfloat16


@pytest.mark.parametrize("edge", [1, 3, 4, 9])
def test_on_other_grids_bfloat16_gradients_are_those_of_float32(edge):
    torch.manual_seed(0)
    conv = torch.nn.Conv3d(8, 8, 3, padding=1, bias=False).to(memory_format=torch.channels_last_3d)
    x = torch.randn(4, 8, edge, 5, 4).to(memory_format=torch.channels_last_3d)
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = conv(x).float()
        gradients.append(torch.autograd.grad((y * y).sum(), conv.weight)[0])
    difference = (gradients[1] - gradients[0]).abs().max() / gradients[0].abs().max()
    assert difference < 0.03


def test_small_numbers_are_lost_inside_only_even_after_an_error():
    tiny = torch.tensor(1e-40)
    with pytest.raises(ZeroDivisionError), flushing_denormals():
        inside = float(tiny * 0.5)
        _ = 1 / 0
    assert inside == 0 < float(tiny * 0.5)
