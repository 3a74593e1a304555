"""Layer-wise relevance propagation (Bach et al. 2015; paper 2.6).

Rules stand in :mod:`relevox.attribution.rules`, their names and combinations
in :mod:`relevox.attribution.composites`.
"""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.composites import RuleChoice, composite
from relevox.attribution.options import Options
from relevox.attribution.output import check_input, choose_target, class_logit
from relevox.attribution.result import Attribution, scan_sums
from relevox.attribution.trace import Step, trace
from relevox.errors import InputError, ModelError


def lrp(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    rule: RuleChoice = "alpha1-beta0",
    start: str = "probability",
    batchnorm: str = "fold",
    addition: str = "positive",
    bias: str = "ignore",
    pool_mask: torch.Tensor | None = None,
    sparse: bool = True,
) -> Attribution:
    """Explain a class by layer-wise relevance propagation; alpha 1, beta 0 as the paper does.

    Parameters
    ----------
    model : torch.nn.Module
        Any model of supported layers that returns ``(b, classes)``. It runs in
        evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    rule : str, Rule or mapping
        Of all layers (``"alpha2-beta1"``, ``"epsilon"``, ``"gamma=0.5"``, ...),
        a composite (``"epsilon-gamma"``, ...), or rules by layer
        (:class:`relevox.attribution.composites.Composite`).
    start : {"probability", "logit", "one"}
        What is distributed: the class's softmax probability (as in the paper's
        Fig. 1), its logit (a negative one turns the whole map negative) or 1.
    batchnorm : {"fold", "pass"}
        BatchNorm is folded into the convolution before it, or passes relevance
        unchanged (as Pytorch-LRP does: the signs of its factors are ignored).
    addition : {"positive", "norm"}
        Residual additions are split by the positive parts of their inputs, or
        by the inputs themselves with their signs.
    bias : {"ignore", "absorb"}
        ``absorb`` counts the bias (of a folded BatchNorm too) among the products
        that relevance is divided by, so that it takes a share (Zennit's default).
    pool_mask : (x, y, z) or (b, x, y, z) of bool, optional
        A brain mask: max-pool winners are looked for inside it first. In the
        background units win by their bias alone, and what they get is lost.
    sparse : bool
        Compute only at units that carry relevance where it pays (processors
        only; behind a max-pool one unit in eight does). The map is the same to
        rounding.

    Returns
    -------
    Attribution
        ``losses`` holds, per layer, the relevance that found no receiver.

    Raises
    ------
    ModelError
        For a layer without a rule.
    InputError
        For an impossible input, target or mask.
    SettingsError
        For an unknown rule or option.

    Notes
    -----
    With alpha 1, beta 0 relevance is only lost where a unit is won by its bias
    alone (z = 0) or where both parts of an addition are negative: mostly in the
    background. Epsilon and ``bias="absorb"`` lose some everywhere.
    """
    options = Options(composite(rule), start, batchnorm, addition, bias, pool_mask, sparse)
    x = check_input(x)
    if x.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"expected scans in single or double precision, but got {x.dtype}",
            code="lrp-precision",
            remedy="call .float() on the scans and the model: half precision changes the map by several percent",
        )
    steps, output, logits = trace(model, x, options)
    options.composite.check_used()
    chosen = choose_target(logits, target)
    value = _start_value(logits, chosen, start)
    with torch.no_grad():
        first = torch.zeros_like(logits).scatter_(1, chosen[:, None], value[:, None])
        relevance, losses = _backwards(steps, output, first)
    return Attribution(
        relevance=(relevance + 0.0).contiguous(),  # no -0.0
        target=chosen,
        start=value.double(),
        method="lrp",
        rule=str(options),
        losses=losses,
    )


def _backwards(steps: list[Step], output: int, start: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Carry relevance from the logits to the input; the list is emptied, so that memory is freed on the way."""
    relevance, sums = {output: start}, {output: scan_sums(start)}
    losses: dict[str, torch.Tensor] = {}
    while steps:
        step = steps.pop()
        if step.output not in relevance:
            continue  # a side road that does not lead to the logits
        step.layer.check_unchanged()
        passed = step.layer.share(relevance.pop(step.output))
        received = lost = sums.pop(step.output)
        for number, part in zip(step.inputs, passed, strict=True):
            part_sum = received if step.layer.passes_all else scan_sums(part)
            lost = lost - part_sum
            relevance[number] = relevance[number] + part if number in relevance else part
            sums[number] = sums[number] + part_sum if number in sums else part_sum
        losses[step.layer.name] = lost
        del step, passed, part
    if 0 not in relevance:
        raise ModelError("the model's output does not depend on its input", code="model-output-constant")
    return relevance[0], losses


def _start_value(logits: torch.Tensor, target: torch.Tensor, start: str) -> torch.Tensor:
    if start == "probability":
        return class_logit(logits.softmax(dim=1), target)
    if start == "logit":
        return class_logit(logits, target)
    return torch.ones_like(logits[:, 0])
