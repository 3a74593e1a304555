"""Every map of some scans: all methods, and maps that know no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from relevox.attribution import METHODS, attribute, options_of
from relevox.config import Settings

BASELINES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "absolute_input": lambda x, mean: np.abs(x),
    "absolute_difference": lambda x, mean: np.abs(x - mean),
}
"""Maps that know no network: what a method has to beat. ``(c, x, y, z)`` each."""


def baseline_maps(x: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """Return the maps of one scan ``(c, x, y, z)`` that know no network, ``(x, y, z)`` each."""
    return {name: make(x, mean).sum(axis=0) for name, make in BASELINES.items()}


def method_maps(
    network: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor,
    mean: torch.Tensor,
    regions: torch.Tensor,
    settings: Settings,
    at_once: int,
    methods: Sequence[str] = tuple(METHODS),
) -> dict[str, np.ndarray]:
    """Explain some scans by every method.

    Parameters
    ----------
    network : Module
        On the device of ``x``.
    x : Tensor, (b, c, x, y, z)
        Scans.
    target : int or (b,) of int
        Explained class.
    mean : Tensor, (c, x, y, z)
        The mean training scan.
    regions : Tensor, (x, y, z) of int
        Of the template; 0 is no region.
    settings : Settings
        ``attribution`` (options of the methods) and ``seed``.
    at_once : int
        Scans that pass the network together.
    methods : sequence of str
        Keys of ``METHODS``.

    Returns
    -------
    dict of str to ndarray, (b, x, y, z)
        Summed over the channels. A map with both signs stands there a second time, ``..._absolute``:
        a cause may be found by what speaks against the class.
    """
    maps = {}
    for method in methods:
        options = options_of(method, settings.attribution, mean, at_once, settings.seed)
        if method == "occlusion":
            options["labels"] = regions
        result = attribute(network, x, target, method, **options)
        maps[method] = result.relevance.sum(1).cpu().numpy()
        if result.signed:
            maps[f"{method}_absolute"] = np.abs(maps[method])
    return maps
