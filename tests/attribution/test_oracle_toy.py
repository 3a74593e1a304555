"""A trained toy on which the literature's warning can be seen: alpha 1, beta 0 finds lesions and ignores the class.

Published for a toy of this kind (24 voxels an edge, a lesion of 0.6 % of the volume): maps of the two classes
have a cosine of 0.9992, and of 1.000 after the last layers are drawn at random; epsilon-LRP 0.934 and 0.04; both
put about a fifth of the relevance into the lesion. Epsilon-LRP without epsilon is gradient x input.
"""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from relevox.attribution import attribute
from relevox.learning import ResNet3d

EDGE = 24
LESION = (4, 4, 5)  # 0.58 % of the volume


def heads(n, seed):
    """Noise with a bright box in every second head; where it is, bool."""
    rng = np.random.default_rng(seed)
    x = (1 + 0.1 * rng.standard_normal((n, 2, EDGE, EDGE, EDGE))).astype(np.float32).clip(0)
    inside = np.zeros((n, EDGE, EDGE, EDGE), dtype=bool)
    for scan in range(1, n, 2):
        corner = [rng.integers(2, EDGE - 2 - size) for size in LESION]
        inside[(scan, *(slice(c, c + size) for c, size in zip(corner, LESION, strict=True)))] = True
    x[:, 1][inside] += 1
    return torch.from_numpy(x), torch.arange(n) % 2, inside


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    network = ResNet3d(widths=(8, 16, 16), head_widths=(16, 8)).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    x, y, _ = heads(96, seed=1)
    for step in range(60):
        rows = torch.arange(16) + 16 * (step % 6)
        loss = functional.cross_entropy(network(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="module")
def with_lesions():
    x, y, inside = heads(24, seed=2)
    return x[y == 1], inside[1::2]


def lrp(network, x, target):
    return attribute(network, x, torch.full((len(x),), target), method="lrp").relevance.sum(dim=1).detach().numpy()


def epsilon_lrp(network, x, target):
    x = x.clone().requires_grad_()
    network(x)[:, target].sum().backward()
    return (x * x.grad).sum(dim=1).detach().numpy()


def cosine(a, b):
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def with_random_head(network):
    """Draw the layers after the global pool again."""
    other = copy.deepcopy(network)
    torch.manual_seed(7)
    for module in other.head.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    return other


def test_it_learned(trained):
    x, y, _ = heads(48, seed=3)
    with torch.inference_mode():
        assert (trained(x).argmax(dim=1) == y).float().mean() >= 0.95


def test_lrp_hardly_depends_on_the_class_or_on_the_head(trained, with_lesions):
    x, _ = with_lesions
    map_ = lrp(trained, x, 1)
    assert cosine(map_, lrp(trained, x, 0)).mean() > 0.95  # 0.985 here
    assert cosine(map_, lrp(with_random_head(trained), x, 1)).mean() > 0.95  # 0.979


def test_epsilon_lrp_depends_on_both(trained, with_lesions):
    x, _ = with_lesions
    map_ = epsilon_lrp(trained, x, 1)
    assert cosine(map_, epsilon_lrp(trained, x, 0)).mean() < 0.5  # -0.91: the logits mirror each other
    assert cosine(map_, epsilon_lrp(with_random_head(trained), x, 1)).mean() < 0.5  # -0.34


@pytest.mark.parametrize("method", [lrp, epsilon_lrp])
def test_both_find_the_lesion_all_the_same(trained, with_lesions, method):
    x, inside = with_lesions
    positive = np.maximum(method(trained, x, 1), 0)
    share = [one[where].sum() / one.sum() for one, where in zip(positive, inside, strict=True)]
    assert np.mean(share) > 0.15  # 0.48 and 0.21, in 0.6 % of the volume
