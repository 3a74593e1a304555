"""Integrated gradients along a straight path (Sundararajan et al. 2017, arXiv 1703.01365)."""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.gradients import EXPLAINED, in_batches, slope
from relevox.attribution.output import check_input, choose_target, evaluating, forward
from relevox.attribution.result import Attribution, scan_sums
from relevox.errors import InputError, SettingsError


def integrated_gradients(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    baseline: torch.Tensor | None = None,
    steps: int = 16,
    explained: str = "logit",
    batch_size: int | None = None,
    precision: str = "float32",
) -> Attribution:
    """Explain why a scan's output differs from that of a baseline.

    ``R = (x - baseline) * mean over alpha of grad f(baseline + alpha (x - baseline))``,
    alpha at the midpoints of ``steps`` equal intervals. The sum of R tends to
    ``f(x) - f(baseline)`` (completeness).

    Parameters
    ----------
    model : torch.nn.Module
        Differentiable, returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    baseline : torch.Tensor, optional
        ``(c, x, y, z)`` or ``(b, c, x, y, z)``: what the scan is compared with,
        in a cohort best its mean. Default: zeros.
    steps : int
        Points on the path.
    explained : {"logit", "margin", "probability"}
        f: the class's logit, its margin over the other class (the log odds), or its probability.
    batch_size : int, optional
        Points that pass the network at once; default: as many as there are scans, so that
        memory stays that of one gradient.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Returns
    -------
    Attribution
        ``start`` is ``f(x) - f(baseline)``; ``losses["path"]`` what the finite
        number of steps leaves of it.

    Raises
    ------
    InputError
        For an impossible input, target or baseline.
    SettingsError
        For options that do not exist.
    """
    if steps < 1 or (batch_size is not None and batch_size < 1) or explained not in EXPLAINED:
        raise SettingsError(
            f"expected steps and batch_size of at least 1 and explained of {', '.join(EXPLAINED)}, "
            f"but got {steps}, {batch_size} and {explained!r}",
            code="integrated-gradients-options",
        )
    x = check_input(x)
    baseline = check_baseline(x, baseline)
    explain = EXPLAINED[explained]
    with evaluating(model):
        with torch.no_grad():
            ends = forward(model, x, precision), forward(model, baseline, precision)
        chosen = choose_target(ends[0], target)
        difference = (explain(ends[0], chosen) - explain(ends[1], chosen)).double()
        gradient = torch.zeros_like(x)
        for scan, step in in_batches(len(x), steps, batch_size):
            scan = scan.to(x.device)
            alpha = ((step + 0.5) / steps).to(x).reshape(-1, *[1] * (x.ndim - 1))
            path = torch.lerp(baseline[scan], x[scan], alpha)
            gradient.index_add_(0, scan, slope(model, path, chosen[scan], explained, precision))
    relevance = (x - baseline) * gradient / steps
    return Attribution(
        relevance=relevance.contiguous(),
        target=chosen,
        start=difference,
        method="integrated_gradients",
        rule=f"straight path from the baseline, {steps} midpoint steps; explained: {explained}",
        losses={"path": difference - scan_sums(relevance)},
        signed=True,
    )


def check_baseline(x: torch.Tensor, baseline: torch.Tensor | None) -> torch.Tensor:
    """Return the baseline with the batch's shape.

    Raises
    ------
    InputError
        When it does not fit the batch or is not finite.
    """
    if baseline is None:
        return torch.zeros_like(x)
    baseline = torch.as_tensor(baseline).to(x)
    if baseline.shape not in (x.shape, x.shape[1:], (1, *x.shape[1:])):
        raise InputError(
            f"expected a baseline of shape {tuple(x.shape[1:])}, but got {tuple(baseline.shape)}",
            code="baseline-shape",
        )
    return check_input(baseline.expand(x.shape))
