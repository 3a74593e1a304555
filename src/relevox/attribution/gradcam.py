"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391): which features of one layer speak for the class."""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.gradients import explained_value
from relevox.attribution.output import check_input, choose_target, evaluating, forward
from relevox.attribution.result import Attribution
from relevox.errors import ModelError, SettingsError

_POOLS = (nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool3d)


def gradcam(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    layer: str | None = None,
    relu: bool = True,
    explained: str = "logit",
    precision: str = "float32",
) -> Attribution:
    """Explain a class by the features of one layer.

    ``w_k = mean over positions of df/dA_k``, map ``sum over k of w_k A_k``, cut
    at 0 and upsampled trilinearly to the scan. It is as coarse as the layer: at
    the default layer of the paper's network one value for 8 x 8 x 8 voxels.

    Parameters
    ----------
    model : torch.nn.Module
        Differentiable, returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    layer : str, optional
        Dotted name of the layer, for example ``"blocks.block4"``; default: the last layer that is
        no pool and has more than one position.
    relu : bool
        Keep what speaks for the class only (as published).
    explained : {"logit", "margin", "probability"}
        f.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Returns
    -------
    Attribution
        ``start`` is NaN: nothing is distributed. The map has no channels of its
        own: each channel holds an equal part, so that their sum is the map.

    Raises
    ------
    InputError
        For an impossible input or target.
    ModelError
        When no layer, or not the named one, has an output of ``(b, k, x, y, z)``.
    SettingsError
        For an unknown layer or option.
    """
    x = check_input(x)
    explain = explained_value(explained)
    modules = dict(model.named_modules())
    if layer is not None and layer not in modules:
        raise SettingsError(f"the model has no layer {layer!r}", code="gradcam-layer-unknown")
    with evaluating(model):
        with torch.no_grad():
            name = layer if layer is not None else _last_layer(model, x[:1])
        features, logits = _features(model, modules[name], x, precision)
        if features is None or features.ndim != 5:
            raise ModelError(
                f"expected layer {name!r} to give (b, k, x, y, z)",
                code="gradcam-layer",
                remedy="name a convolution, an activation or a block that the scan passes",
            )
        chosen = choose_target(logits.detach(), target)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(explain(logits, chosen).sum(), features)
    with torch.no_grad():
        weights = gradient.mean(dim=(2, 3, 4), keepdim=True)  # (b, k, 1, 1, 1)
        coarse = (weights * features).sum(dim=1, keepdim=True)  # (b, 1, x', y', z')
        if relu:
            coarse = coarse.relu()
        fine = nn.functional.interpolate(coarse.float(), size=x.shape[2:], mode="trilinear", align_corners=False)
    return Attribution(
        relevance=(fine / x.shape[1]).expand(x.shape).contiguous(),
        target=chosen,
        start=torch.full((len(x),), torch.nan, dtype=torch.float64, device=x.device),
        method="gradcam",
        rule=f"Grad-CAM at {name}, {' x '.join(str(n) for n in coarse.shape[2:])} positions, upsampled trilinearly"
        f"{'' if relu else ', signed'}; explained: {explained}",
        signed=not relu,
    )


def _features(model: nn.Module, layer: nn.Module, x: torch.Tensor, precision: str):
    """Run the model; gradients are kept from the layer's output on only, so that memory stays small."""
    kept = []

    def keep(module, args, output):
        torch.set_grad_enabled(True)  # until the surrounding no_grad ends
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # a copy: the next layer may work in place

    handle = layer.register_forward_hook(keep)
    try:
        with torch.no_grad():
            logits = forward(model, x, precision)
    finally:
        handle.remove()
    return (kept[-1] if kept else None), logits


def _last_layer(model: nn.Module, x: torch.Tensor) -> str:
    """Name the last leaf that is no pool and has more than one position."""
    found, handles = [], []

    def watch(name: str):
        def hook(module, args, output):
            if isinstance(output, torch.Tensor) and output.ndim == 5 and output[0, 0].numel() > 1:
                found.append(name)

        return hook

    try:
        for name, module in model.named_modules():
            if next(module.children(), None) is None and not isinstance(module, _POOLS):
                handles.append(module.register_forward_hook(watch(name)))
        forward(model, x)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ModelError("expected a layer with more than one position, but the model has none", code="gradcam-layer")
    return found[-1]
