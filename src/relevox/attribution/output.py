"""The network's answer, and which part of it is explained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from relevox.errors import InputError, ModelError


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a model into evaluation mode and give every module its own mode back.

    Without it BatchNorm would use, and change, the statistics of the batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, mode in modes:
            module.training = mode


def check_input(x: torch.Tensor) -> torch.Tensor:
    """Return the batch as a tensor, images with their channels last: convolutions are then a third faster.

    Raises
    ------
    InputError
        For anything but a non-empty batch of finite numbers.
    """
    x = torch.as_tensor(x)
    if x.ndim < 2 or x.shape[0] == 0:
        raise InputError(
            f"expected a batch (scan, channel, x, y, z), but got the shape {tuple(x.shape)}", code="input-shape"
        )
    if not torch.isfinite(x).all():
        raise InputError("expected finite voxels, but got NaN or infinite ones", code="input-not-finite")
    return channels_last(x.detach())


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Lay images out as the convolutions want them, other arrays in order; copies only where it must."""
    return x.contiguous(memory_format=torch.channels_last_3d) if x.ndim == 5 else x.contiguous()


def check_logits(logits: object, n_scans: int) -> torch.Tensor:
    """Return the network's output when it is one row of class scores a scan.

    Raises
    ------
    ModelError
        When it is not.
    """
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or logits.shape[0] != n_scans:
        got = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(f"expected a model that returns (batch, classes), but got {got}", code="model-output-shape")
    return logits


def choose_target(logits: torch.Tensor, target: int | torch.Tensor | None = None) -> torch.Tensor:
    """Return the explained class per scan.

    Parameters
    ----------
    logits : torch.Tensor
        ``(b, classes)``.
    target : int or (b,) of int, optional
        Default: the predicted class; an exact tie goes to the lowest (SPEC 3).

    Raises
    ------
    InputError
        For a class that the model does not have.

    Examples
    --------
    >>> choose_target(torch.tensor([[0.0, 1.0], [2.0, 2.0]]))
    tensor([1, 0])
    """
    n_scans, n_classes = logits.shape
    if target is None:
        classes = torch.arange(n_classes, device=logits.device).expand_as(logits)
        is_maximum = logits == logits.amax(dim=1, keepdim=True)
        return classes.masked_fill(~is_maximum, n_classes).amin(dim=1)
    chosen = torch.as_tensor(target, device=logits.device)
    wrong_kind = chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool
    if wrong_kind or chosen.ndim > 1 or (chosen.ndim == 1 and len(chosen) != n_scans):
        raise InputError(
            f"expected one class, or one for each of the {n_scans} scans, but got {target!r}", code="target-invalid"
        )
    if chosen.numel() and (int(chosen.min()) < 0 or int(chosen.max()) >= n_classes):
        raise InputError(f"expected classes from 0 to {n_classes - 1}, but got {target!r}", code="target-invalid")
    return chosen.long().expand(n_scans).clone()


def class_logit(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the explained class's logit, ``(b,)``."""
    return logits.gather(1, target[:, None])[:, 0]


def class_margin(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the explained class's logit minus the log-sum-exp of the others', ``(b,)``.

    It is the log odds of the class. With two classes: the one logit minus the other.

    Examples
    --------
    >>> class_margin(torch.tensor([[1.0, 4.0]]), torch.tensor([1]))
    tensor([3.])
    """
    others = torch.ones_like(logits, dtype=torch.bool).scatter_(1, target[:, None], False)
    rest = torch.where(others, logits, torch.full_like(logits, -torch.inf))
    return class_logit(logits, target) - torch.logsumexp(rest, dim=1)


def forward(model: nn.Module, x: torch.Tensor, precision: str = "float32") -> torch.Tensor:
    """Return the logits in float32 or better, ``(b, classes)``.

    ``precision="bfloat16"`` runs the convolutions in bfloat16: several times
    faster where the processor has the instructions, with errors of a few percent
    of a region's effect on the margin.
    """
    if x.ndim == 5:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    if precision == "float32":
        return check_logits(model(x), len(x))
    with torch.autocast(x.device.type, torch.bfloat16):
        logits = model(x)
    return check_logits(logits, len(x)).float()
