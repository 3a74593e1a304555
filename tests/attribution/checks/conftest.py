"""A small network that has learned to find a bright box."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from relevox.learning import ResNet3d

EDGE = 16


def heads(n, seed):
    """Noise in a brain with an empty border; every second one has a bright box in the second channel."""
    rng = np.random.default_rng(seed)
    brain = np.zeros((EDGE,) * 3, dtype=bool)
    brain[2:-2, 2:-2, 2:-2] = True
    x = ((1 + 0.1 * rng.standard_normal((n, 2, *brain.shape))) * brain).astype(np.float32)
    inside = np.zeros((n, *brain.shape), dtype=bool)
    for scan in range(1, n, 2):
        corner = rng.integers(2, EDGE - 5, 3)
        inside[(scan, *(slice(c, c + 3) for c in corner))] = True
    x[:, 1][inside] += 1
    return torch.from_numpy(x), torch.arange(n) % 2, inside, np.broadcast_to(brain, (n, *brain.shape))


@pytest.fixture(scope="session")
def trained():
    torch.manual_seed(0)
    network = ResNet3d(widths=(8, 16), head_widths=(16, 8)).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    x, y, *_ = heads(96, seed=1)
    for step in range(36):
        rows = torch.arange(16) + 16 * (step % 6)
        loss = functional.cross_entropy(network(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="session")
def lesions():
    """Scans with the box, ``(12, 2, x, y, z)``; where it is; the brains; the mean scan of others."""
    x, y, inside, brain = heads(24, seed=2)
    mean = heads(48, seed=3)[0].mean(0)
    return x[y == 1], inside[1::2], brain[1::2], mean
