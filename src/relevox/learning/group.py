"""Several processes that train one network together.

Every process sees its share of each batch. Gradients are averaged by torch's
DistributedDataParallel, losses and BatchNorm statistics are those of the whole
batch, and mirrors, order and noise are drawn alike everywhere; so any number
of processes computes the same training, up to rounding.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Group:
    """A process and its fellows (torch's process group must be set up where there are any)."""

    rank: int = 0
    """Number of this process; 0 writes and speaks."""
    size: int = 1
    """Processes."""

    @property
    def leads(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def share(self, n: int) -> np.ndarray:
        """Return which of n things belong to this process."""
        return np.array_split(np.arange(n), self.size)[self.rank]

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up what every process has."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Go on when all have come so far."""
        if self.size > 1:
            distributed.barrier()

    def parallel(self, network: nn.Module) -> nn.Module:
        """Return a module that trains the network's own parameters together with the fellows'."""
        if self.size == 1:
            return network
        device = next(network.parameters()).device
        on_gpu = device.type == "cuda"
        # torch's SyncBatchNorm knows GPUs only
        shared = nn.SyncBatchNorm.convert_sync_batchnorm(_alias(network)) if on_gpu else _share_batch_norm(network)
        with warnings.catch_warnings():
            # its new name is not known to every torch that we accept
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                shared, device_ids=[device.index] if on_gpu else None, broadcast_buffers=False
            )


ALONE = Group()
"""One process."""


class SharedBatchNorm3d(nn.BatchNorm3d):
    """BatchNorm whose statistics, in training mode, are those of all processes' voxels together."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise ``(b, c, x, y, z)``."""
        if not self.training:
            return super().forward(x)
        dims, view = (0, 2, 3, 4), (1, -1, 1, 1, 1)
        wide = x.float()
        count = torch.tensor([float(wide[:, 0].numel())], device=x.device)
        n = _Sum.apply(count)
        mean = _Sum.apply(wide.sum(dims)) / n
        deviation = wide - mean.view(view)
        variance = _Sum.apply((deviation**2).sum(dims)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (deviation * scale.view(view) + self.bias.view(view)).to(x.dtype)


class _Sum(torch.autograd.Function):
    """Sum over the processes, and of their gradients on the way back."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        distributed.all_reduce(tensor)
        return tensor

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient


def _alias(network: nn.Module) -> nn.Module:
    """Copy the modules, not the parameters and buffers."""
    same = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, same)


def _share_batch_norm(network: nn.Module) -> nn.Module:
    """Return the network with shared BatchNorms around the very parameters and buffers of its own."""
    shared = _alias(network)
    for module in shared.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SharedBatchNorm3d
    return shared
