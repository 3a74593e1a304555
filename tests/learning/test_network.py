import pytest
import torch
from torch import nn

from relevox.errors import InputError
from relevox.learning import Addition, ResNet3d
from relevox.learning.network import count_parameters

SHAPE = (18, 23, 19)


def small_network(seed=0):
    torch.manual_seed(seed)
    return ResNet3d(widths=(4, 4, 8, 8), head_widths=(8, 8))


def test_the_papers_network_has_915810_parameters():
    assert count_parameters(ResNet3d()) == 915_810


def test_scans_become_logits():
    assert small_network()(torch.rand(3, 2, *SHAPE)).shape == (3, 2)


def test_one_block_computes_what_the_figure_draws():
    block = small_network().blocks.block2.eval()
    for module in block.modules():  # else BN of an untrained network is the identity
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 4, 6, 5, 7)

    def normalise(h, bn):
        view = (1, -1, 1, 1, 1)
        scale = bn.weight / (bn.running_var + bn.eps) ** 0.5
        return (h - bn.running_mean.view(view)) * scale.view(view) + bn.bias.view(view)

    def leaky(h):
        return torch.where(h > 0, h, 0.01 * h)

    first, bn1, _, second, bn2 = block.main
    h = leaky(normalise(torch.conv3d(x, first.weight, padding=1), bn1))
    h = normalise(torch.conv3d(h, second.weight, padding=1), bn2)
    h = h + normalise(torch.conv3d(x, block.shortcut[0].weight), block.shortcut[1])
    torch.testing.assert_close(block(x), leaky(h))


def test_convolutions_before_a_batch_norm_have_no_bias_and_the_heads_have_one():
    network = small_network()
    assert all(m.bias is None for m in network.blocks.modules() if isinstance(m, nn.Conv3d))
    assert all(m.bias is not None for m in network.head.modules() if isinstance(m, nn.Conv3d))


def test_every_operation_is_a_module_that_runs_once():
    network, seen = small_network().eval(), []
    leaves = [m for m in network.modules() if not list(m.children())]
    for leaf in leaves:
        leaf.register_forward_hook(lambda module, _, __: seen.append(module))
    network(torch.rand(1, 2, *SHAPE))
    assert len(seen) == len(leaves) == len(set(map(id, seen)))
    kinds = {type(m) for m in leaves}
    assert kinds == {
        nn.Conv3d,
        nn.BatchNorm3d,
        nn.LeakyReLU,
        nn.ReLU,
        nn.MaxPool3d,
        nn.AdaptiveMaxPool3d,
        nn.Flatten,
        Addition,
    }
    assert sum(isinstance(m, Addition) for m in leaves) == 4


def test_in_evaluation_mode_a_scan_does_not_depend_on_its_batch_mates():
    network = small_network().eval()
    x = torch.rand(4, 2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


@pytest.mark.parametrize("shape", [(2, *SHAPE), (1, 3, *SHAPE), (1, 2, 18, 15, 19)])
def test_a_shape_that_does_not_fit_is_refused(shape):
    with pytest.raises(InputError, match="input-shape"):
        small_network()(torch.rand(*shape))
