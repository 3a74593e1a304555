"""Layer-wise relevance propagation, alpha 1 beta 0 (Bach et al. 2015; paper 2.6).

BatchNorm is folded into the preceding convolution on the fly, residual
additions split by positive parts, max-pools give all to the winner,
activations pass. The rules stand in :mod:`relevox.attribution.rules`.
"""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.output import check_input, choose_target, class_logit
from relevox.attribution.result import Attribution, scan_sums
from relevox.attribution.trace import trace
from relevox.errors import ModelError, SettingsError

STARTS = ("probability", "logit", "one")


def lrp(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    start: str = "probability",
) -> Attribution:
    """Explain a class by layer-wise relevance propagation, alpha 1 beta 0.

    Parameters
    ----------
    model : torch.nn.Module
        Any model of supported layers that returns ``(b, classes)``. It runs in
        evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    start : {"probability", "logit", "one"}
        What is distributed: the class's softmax probability (as in the paper's
        Fig. 1), its logit (a negative one turns the whole map negative) or 1.

    Returns
    -------
    Attribution
        ``losses`` holds, per layer, the relevance that found no receiver.

    Raises
    ------
    ModelError
        For a layer without a rule.
    InputError
        For an impossible input or target.
    SettingsError
        For an unknown start.

    Notes
    -----
    Relevance is only lost where a unit is won by its bias alone (z = 0) or
    where both parts of an addition are negative: mostly in the background.
    """
    if start not in STARTS:
        raise SettingsError(f"expected a start of {', '.join(STARTS)}, but got {start!r}", code="lrp-start")
    x = check_input(x)
    forward = trace(model, x)
    chosen = choose_target(forward.logits, target)
    value = _start_value(forward.logits, chosen, start)

    relevance = {forward.output: torch.zeros_like(forward.logits).scatter_(1, chosen[:, None], value[:, None])}
    losses: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for step in reversed(forward.steps):
            received = relevance.pop(step.output, None)
            if received is None:
                continue  # a side road that does not lead to the logits
            step.rule.check_unchanged()
            passed = step.rule.share(received)
            losses[step.rule.name] = scan_sums(received) - sum(scan_sums(part) for part in passed)
            for number, part in zip(step.inputs, passed, strict=True):
                relevance[number] = relevance[number] + part if number in relevance else part
    if 0 not in relevance:
        raise ModelError("the model's output does not depend on its input", code="model-output-constant")
    return Attribution(
        relevance=relevance[0].contiguous(),
        target=chosen,
        start=value.double(),
        method="lrp",
        rule=f"alpha 1, beta 0; BatchNorm folded; additions by positive parts; max-pools to the winner; start: {start}",
        losses=losses,
    )


def _start_value(logits: torch.Tensor, target: torch.Tensor, start: str) -> torch.Tensor:
    if start == "probability":
        return class_logit(logits.softmax(dim=1), target)
    if start == "logit":
        return class_logit(logits, target)
    return torch.ones_like(logits[:, 0])
