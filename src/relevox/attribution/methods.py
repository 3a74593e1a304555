"""One call for every method."""

from __future__ import annotations

import difflib

import torch
from torch import nn

from relevox.attribution.gradcam import gradcam
from relevox.attribution.gradient_input import gradient_input
from relevox.attribution.integrated_gradients import integrated_gradients
from relevox.attribution.lrp import lrp
from relevox.attribution.occlusion import occlusion
from relevox.attribution.result import Attribution
from relevox.attribution.smoothgrad import smoothgrad
from relevox.config import AttributionSettings
from relevox.errors import SettingsError

METHODS = {
    "lrp": lrp,
    "integrated_gradients": integrated_gradients,
    "gradient_input": gradient_input,
    "smoothgrad": smoothgrad,
    "gradcam": gradcam,
    "occlusion": occlusion,
}
"""Methods that give a map, by name."""


def attribute(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    method: str = "lrp",
    **options: object,
) -> Attribution:
    """Explain a model's answer for a batch of scans.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    method : str
        A key of :data:`METHODS`.
    **options
        Passed on: see the function of the method's name, in the module of its name.

    Raises
    ------
    SettingsError
        For an unknown method.
    ModelError
        For a layer without a rule (``lrp``), with its dotted name.

    Examples
    --------
    >>> model = nn.Linear(3, 2, bias=False)
    >>> _ = nn.init.constant_(model.weight, 1.0)
    >>> attribute(model, torch.tensor([[1.0, 3.0, -2.0]]), target=1, start="one").relevance
    tensor([[0.2500, 0.7500, 0.0000]])
    """
    if method not in METHODS:
        near = difflib.get_close_matches(method, METHODS, n=1, cutoff=0.4)
        raise SettingsError(
            f"unknown attribution method {method!r}; expected one of {', '.join(METHODS)}",
            code="attribution-method-unknown",
            remedy=f"did you mean {near[0]!r}?" if near else None,
        )
    return METHODS[method](model, x, target, **options)


def options_of(
    method: str, settings: AttributionSettings, baseline: torch.Tensor, batch_size: int, seed: int = 0
) -> dict[str, object]:
    """Return a method's options as a study has them; gradients explain the log odds, which the decision depends on.

    Parameters
    ----------
    method : str
        A key of :data:`METHODS`; ``occlusion`` needs labels besides.
    settings : AttributionSettings
        Of the study.
    baseline : torch.Tensor
        ``(c, x, y, z)``: the mean of the training scans.
    batch_size : int
        What may pass the network at once.
    seed : int
        Of the study.
    """
    zero = settings.baseline == "zero"
    return {
        "lrp": {"start": settings.lrp_start},
        "integrated_gradients": {
            "baseline": torch.zeros_like(baseline) if zero else baseline,
            "steps": settings.integrated_gradients_steps,
            "explained": "margin",
            "batch_size": batch_size,
        },
        "gradient_input": {"explained": "margin"},
        "smoothgrad": {
            "noise": settings.smoothgrad_noise,
            "samples": settings.smoothgrad_samples,
            "explained": "margin",
            "seed": seed,
            "batch_size": batch_size,
        },
        "gradcam": {"explained": "margin", "layer": settings.gradcam_layer or None},
        "occlusion": {"baseline": baseline, "batch_size": batch_size},
    }[method]
