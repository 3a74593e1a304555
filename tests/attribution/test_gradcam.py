"""Grad-CAM: a closed form, Captum, the default layer, and what is refused."""

import pytest
import torch
from torch import nn

from relevox.attribution import attribute
from relevox.errors import ModelError, SettingsError
from relevox.learning import ResNet3d


def network():
    torch.manual_seed(0)
    return ResNet3d(widths=(4, 8), head_widths=(8, 8)).eval()


def scans(n=2):
    return torch.rand(n, 2, 12, 16, 8, generator=torch.Generator().manual_seed(0))


class TwoFeatures(nn.Module):
    """Two feature maps and their weighted means: the weights are Grad-CAM's, over the positions."""

    def __init__(self):
        super().__init__()
        self.features = nn.Identity()
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight.data = torch.tensor([[1.0, -2.0], [0.5, 3.0]])

    def forward(self, x):
        return self.head(self.features(x).mean(dim=(2, 3, 4)))


@pytest.mark.parametrize("relu", [True, False])
def test_a_linear_head_is_explained_by_its_weights(relu):
    x = scans()
    result = attribute(TwoFeatures(), x, 0, "gradcam", layer="features", relu=relu)
    expected = (x[:, 0] - 2 * x[:, 1]) / x[0, 0].numel()
    torch.testing.assert_close(result.relevance.sum(1), expected.relu() if relu else expected)
    assert result.signed is not relu


def test_the_default_is_the_last_block():
    x = scans()
    default = attribute(network(), x, 1, "gradcam")
    named = attribute(network(), x, 1, "gradcam", layer="blocks.block2")
    torch.testing.assert_close(default.relevance, named.relevance)
    assert "6 x 8 x 4 positions" in default.rule


def test_the_batch_does_not_show():
    together = attribute(network(), scans(3), 1, "gradcam").relevance
    alone = torch.cat([attribute(network(), one[None], 1, "gradcam").relevance for one in scans(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-7)


def test_it_works_under_no_grad():
    with torch.no_grad():
        result = attribute(network(), scans(), 1, "gradcam")
        assert not torch.is_grad_enabled()
    torch.testing.assert_close(result.relevance, attribute(network(), scans(), 1, "gradcam").relevance)


def test_a_layer_that_does_not_exist_is_refused():
    with pytest.raises(SettingsError, match="block9"):
        attribute(network(), scans(), method="gradcam", layer="blocks.block9")


def test_a_layer_without_positions_is_refused():
    with pytest.raises(ModelError, match=r"head\.6"):
        attribute(network(), scans(), method="gradcam", layer="head.6")


def test_a_model_without_a_spatial_layer_is_refused():
    with pytest.raises(ModelError, match="more than one position"):
        attribute(nn.Sequential(nn.Flatten(), nn.Linear(8, 2)), torch.rand(1, 1, 2, 2, 2), method="gradcam")


def test_captum_gives_the_same_map():
    captum = pytest.importorskip("captum.attr")
    model, x = network(), scans()
    coarse = captum.LayerGradCam(model, model.blocks.block2).attribute(x, target=1, relu_attributions=True)
    fine = nn.functional.interpolate(coarse, size=x.shape[2:], mode="trilinear", align_corners=False)
    torch.testing.assert_close(attribute(model, x, 1, "gradcam").relevance.sum(1, keepdim=True), fine.detach())
