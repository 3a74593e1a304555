"""Input x gradient (Shrikumar et al. 2016, arXiv 1605.01713)."""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.gradients import explained_value, logits_and_slope
from relevox.attribution.output import check_input, evaluating
from relevox.attribution.result import Attribution, scan_sums


def gradient_input(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    explained: str = "logit",
    precision: str = "float32",
) -> Attribution:
    """Explain a class by ``R = x * grad f(x)``.

    It is exact for a linear model without bias, and equals epsilon-LRP with
    epsilon 0 where the activations are ReLUs and no layer has a bias.

    Parameters
    ----------
    model : torch.nn.Module
        Differentiable, returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    explained : {"logit", "margin", "probability"}
        f: the class's logit, its log odds or its probability.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Returns
    -------
    Attribution
        ``start`` is ``f(x)``; ``losses["beyond first order"]`` what the tangent at x leaves of it.

    Raises
    ------
    InputError
        For an impossible input or target.
    SettingsError
        For an unknown option.
    """
    x = check_input(x)
    explain = explained_value(explained)
    with evaluating(model):
        logits, chosen, gradient = logits_and_slope(model, x, target, explained, precision)
    relevance = x * gradient
    start = explain(logits, chosen).double()
    return Attribution(
        relevance=relevance.contiguous(),
        target=chosen,
        start=start,
        method="gradient_input",
        rule=f"input times gradient; explained: {explained}",
        losses={"beyond first order": start - scan_sums(relevance)},
        signed=True,
    )
