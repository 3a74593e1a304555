"""Does a map depend on what the network has learned (Adebayo et al. 2018, arXiv 1810.03292)?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn

from relevox.attribution.checks.similarity import Similarity, brain_values, similarity
from relevox.attribution.methods import attribute
from relevox.attribution.output import evaluating, forward
from relevox.errors import ModelError

Group = Callable[[str], str]
"""Dotted name of a layer to the name of its group; the layers of a group are drawn together."""


def by_block(name: str) -> str:
    """Group the layers of a block, and those of the head.

    Examples
    --------
    >>> by_block("blocks.block4.main.0"), by_block("head.5")
    ('blocks.block4', 'head')
    """
    parts = name.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]


def layers_from_output(model: nn.Module, x: torch.Tensor, group: Group = by_block) -> dict[str, list[str]]:
    """Group the layers that have weights, in the order from the output to the input.

    Parameters
    ----------
    model : torch.nn.Module
        Left as found.
    x : torch.Tensor
        ``(b, c, x, y, z)``: one pass tells the order.
    group : callable
        Name of a layer to that of its group; ``str`` draws layer by layer.

    Returns
    -------
    dict of str to list of str
        Group to the dotted names of its layers.
    """
    called: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in model.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        with evaluating(model), torch.no_grad():
            forward(model, x[:1])
    finally:
        for handle in handles:
            handle.remove()
    groups: dict[str, list[str]] = {}
    for name in reversed(called):
        members = groups.setdefault(group(name), [])
        if name not in members:
            members.append(name)
    return groups


def cascade(
    model: nn.Module, x: torch.Tensor, seed: int = 0, group: Group = by_block
) -> Iterator[tuple[str, nn.Module]]:
    """Yield the model with ever more layers drawn again, the last layer first.

    Parameters
    ----------
    model : torch.nn.Module
        Every layer with weights must have ``reset_parameters``, as torch's own have. It is not changed.
    x, group
        As for :func:`layers_from_output`.
    seed : int
        Of the weights.

    Yields
    ------
    str
        The group that was drawn last.
    torch.nn.Module
        One copy of the model; the next step changes it further.

    Raises
    ------
    ModelError
        For a layer that cannot draw its weights again, by its dotted name.
    """
    other = copy.deepcopy(model)
    modules = dict(other.named_modules())
    for step, (drawn, names) in enumerate(layers_from_output(model, x, group).items()):
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(1_000_003 * seed + step)
            for name in names:
                if not hasattr(modules[name], "reset_parameters"):
                    raise ModelError(
                        f"expected layers that can draw their weights again, but {name!r} "
                        f"({type(modules[name]).__name__}) has no reset_parameters",
                        code="model-not-resettable",
                    )
                modules[name].reset_parameters()
        yield drawn, other


def randomisation(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor,
    brain: np.ndarray,
    method: str = "lrp",
    seed: int = 0,
    group: Group = by_block,
    trained: torch.Tensor | None = None,
    **options: object,
) -> list[tuple[str, list[Similarity]]]:
    """Compare the maps of ever more randomised networks with the map of the trained one.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int
        Explained class.
    brain : array-like of bool, (b, x, y, z)
        The voxels that are compared.
    method : str
        As for :func:`relevox.attribution.attribute`.
    seed, group
        As for :func:`cascade`.
    trained : torch.Tensor, optional
        The trained network's maps, where they are known, ``(b, c, x, y, z)``.
    **options
        Of the method.

    Returns
    -------
    list of (str, list of Similarity)
        Per step: the group that was drawn last, and each scan's map against the trained
        network's. NaN where the randomised network gives an empty map.
    """
    if trained is None:
        trained = attribute(model, x, target, method, **options).relevance
    before = brain_values(trained, brain)
    steps = []
    for name, other in cascade(model, x, seed, group):
        after = brain_values(attribute(other, x, target, method, **options).relevance, brain)
        steps.append((name, [similarity(a, b) for a, b in zip(before, after, strict=True)]))
    return steps
