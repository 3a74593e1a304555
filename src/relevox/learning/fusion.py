"""Clinical covariates fused into the head of the network (the paper's future work).

The head's first convolution sees the pooled features and the covariates beside
them. Its weights on the covariates are a module of their own here, which adds
the same: W [h, z] + b = W_h h + W_z z + b. So the image part stays the plain
network, and with a scan's covariates given it *is* one, whose first bias holds
them: every map of the image can then be made as without covariates.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from relevox.errors import InputError
from relevox.learning.network import ResNet3d
from relevox.records import Observation

SEXES = {"F": 1.0, "M": 0.0}


def covariate_values(observations: Sequence[Observation], names: Sequence[str]) -> np.ndarray:
    """Return the named covariates, ``(n, k)``, one row a scan; NaN where unknown.

    ``age`` and ``disease_duration`` in years; ``sex`` 1 female, 0 male.
    """
    read = {
        "age": lambda o: o.age_years,
        "sex": lambda o: SEXES.get(o.sex, np.nan),
        "disease_duration": lambda o: o.disease_duration_years,
    }
    return np.array([[read[name](o) for name in names] for o in observations], dtype=np.float64)


class FusedResNet3d(nn.Module):
    """A residual network that is also told a scan's covariates.

    Parameters
    ----------
    image : ResNet3d
        The image part.
    names : sequence of str
        Covariates, in their order.

    Notes
    -----
    Means and standard deviations of the training scans are kept with the weights;
    an unknown value becomes the mean, and one that never varied is ignored.
    """

    def __init__(self, image: ResNet3d, names: Sequence[str]) -> None:
        super().__init__()
        self.image = image
        self.names = tuple(names)
        self.fusion = nn.Linear(len(self.names), image.head[1].out_channels, bias=False)
        self.register_buffer("mean", torch.zeros(len(self.names)))
        self.register_buffer("sd", torch.ones(len(self.names)))

    @torch.no_grad()
    def standardise_by(self, values: np.ndarray) -> None:
        """Take means and standard deviations (ddof 0) from the training scans, ``(t, k)``, NaN where unknown."""
        known = np.isfinite(values)
        n = np.maximum(1, known.sum(axis=0))
        mean = np.where(known, values, 0).sum(axis=0) / n
        sd = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=0) / n)
        self.mean.copy_(torch.from_numpy(mean))
        self.sd.copy_(torch.from_numpy(sd))

    def forward(self, x: torch.Tensor, covariates: torch.Tensor | None = None) -> torch.Tensor:
        """Map scans ``(b, c, x, y, z)`` and raw covariates ``(b, k)`` to logits ``(b, 2)``.

        Raises
        ------
        InputError
            Without covariates, or with another number of them.
        """
        # shape[0], not len: an exported graph would take the batch for a constant
        if covariates is None or covariates.shape != (x.shape[0], len(self.names)):
            came = "none" if covariates is None else f"an array {tuple(covariates.shape)}"
            raise InputError(
                f"this network needs the covariates {', '.join(self.names)} of each scan, but got {came}",
                code="covariates-missing",
                remedy="bind the network to a scan's covariates first",
            )
        pool, first, *rest = self.image.head
        h = first(pool(self.image.features(x)))  # (b, first width, 1, 1, 1)
        h = h + self.fusion(self._standardised(covariates))[:, :, None, None, None]
        for layer in rest:
            h = layer(h)
        return h

    @torch.no_grad()
    def bind(self, covariates: np.ndarray) -> ResNet3d:
        """Return the network of the image alone for one scan's raw covariates, ``(k,)``."""
        given = torch.as_tensor(covariates, dtype=torch.float32, device=self.mean.device)
        bound = copy.deepcopy(self.image)
        bound.head[1].bias += self.fusion(self._standardised(given))
        return bound.train(self.training)

    def _standardised(self, covariates: torch.Tensor) -> torch.Tensor:
        z = (covariates - self.mean) / torch.where(self.sd > 0, self.sd, 1)
        return torch.where(torch.isfinite(z) & (self.sd > 0), z, 0).to(self.fusion.weight.dtype)


def image_only(network: nn.Module, observation: Observation) -> nn.Module:
    """Return the network that answers for this scan from its image: itself where it has no covariates."""
    if not isinstance(network, FusedResNet3d):
        return network
    return network.bind(covariate_values([observation], network.names)[0])
