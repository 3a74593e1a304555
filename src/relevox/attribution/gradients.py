"""What the gradient methods share: the explained value, and its slope at the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from relevox.attribution.output import choose_target, class_logit, class_margin, forward
from relevox.errors import SettingsError


def class_probability(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the explained class's softmax probability, ``(b,)``."""
    return class_logit(logits.softmax(dim=1), target)


EXPLAINED: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "logit": class_logit,
    "margin": class_margin,
    "probability": class_probability,
}
"""What can be explained, by name: the class's logit, its log odds, its probability."""


def explained_value(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the function of ``(b, classes)`` logits and ``(b,)`` targets with this name.

    Raises
    ------
    SettingsError
        For a name that is not in :data:`EXPLAINED`.
    """
    if name not in EXPLAINED:
        raise SettingsError(f"expected explained of {', '.join(EXPLAINED)}, but got {name!r}", code="explained-unknown")
    return EXPLAINED[name]


def slope(
    model: nn.Module, x: torch.Tensor, target: torch.Tensor, explained: str = "logit", precision: str = "float32"
) -> torch.Tensor:
    """Return the gradient of the explained value with respect to the input, shaped as ``x``.

    The model must be in evaluation mode: scans are then independent of each other,
    and one backward pass serves the batch. Parameters get no gradient.
    """
    return logits_and_slope(model, x, target, explained, precision)[2]


def logits_and_slope(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None,
    explained: str = "logit",
    precision: str = "float32",
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits, explained classes (by default the predicted ones) and gradient of one pass."""
    point = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = forward(model, point, precision)
        chosen = choose_target(logits.detach(), target)
        (gradient,) = torch.autograd.grad(explained_value(explained)(logits, chosen).sum(), point)
    return logits.detach(), chosen, gradient


def in_batches(n_scans: int, n_points: int, batch_size: int | None) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (scan, point) of all ``n_scans * n_points`` points, scan by scan, in batches that stay full.

    Parameters
    ----------
    n_scans, n_points : int
        How many.
    batch_size : int, optional
        Points at once; default: ``n_scans``, so that memory stays that of one pass of the scans.

    Examples
    --------
    >>> [(scan.tolist(), point.tolist()) for scan, point in in_batches(1, 3, 2)]
    [([0, 0], [0, 1]), ([0], [2])]
    """
    for numbers in torch.arange(n_scans * n_points).split(batch_size or n_scans):
        yield numbers // n_points, numbers % n_points
