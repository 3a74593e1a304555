"""Linear layers without their bias, forwards and backwards, and relevance shared through them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from relevox.attribution.pieces import pieces
from relevox.attribution.rules import Rule


@dataclass(frozen=True)
class LinearMap:
    """``x -> x w`` of one layer, bilinear in x and w; weights travel beside it because rules change them."""

    module: nn.Module
    """Conv3d, Linear, AvgPool3d or AdaptiveAvgPool3d."""

    @property
    def weight(self) -> torch.Tensor:
        """The layer's weights; an average is a pool times 1."""
        weight = getattr(self.module, "weight", None)
        return torch.ones(()) if weight is None else weight.detach()

    def forwards(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the sums of products."""
        module = self.module
        if isinstance(module, nn.Linear):
            return F.linear(x, weight)
        if isinstance(module, nn.Conv3d):
            return F.conv3d(x, weight, None, module.stride, module.padding, module.dilation, module.groups)
        if isinstance(module, nn.AdaptiveAvgPool3d):
            return F.adaptive_avg_pool3d(x, module.output_size) * weight
        return weight * F.avg_pool3d(
            x, module.kernel_size, module.stride, module.padding,
            module.ceil_mode, module.count_include_pad, module.divisor_override,
        )  # fmt: skip

    def backwards(self, s: torch.Tensor, weight: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return what comes back to the input when the outputs are worth s: the transposed map.

        ``like`` is an input, for its shape.
        """
        module = self.module
        if isinstance(module, nn.Linear):
            return s @ weight
        if isinstance(module, nn.Conv3d) and not isinstance(module.padding, str):
            return torch.ops.aten.convolution_backward(
                s, like, weight, None, module.stride, module.padding, module.dilation, False, [0, 0, 0],
                module.groups, [True, False, False],
            )[0]  # fmt: skip
        with torch.enable_grad():
            leaf = torch.zeros_like(like, requires_grad=True)
            return torch.autograd.grad(self.forwards(leaf, weight), leaf, s)[0]

    def by_channel(self, values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Shape ``(channels_out,)`` to go with the layer's output."""
        after = 0 if isinstance(self.module, nn.Linear) else like.ndim - 2
        return values.detach().to(like).reshape(-1, *[1] * after)


def sums(
    linear: LinearMap, x: torch.Tensor, weight: torch.Tensor, rule: Rule, output: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return z+ and z- as :meth:`Rule.factors` takes them, without a bias.

    Parameters
    ----------
    linear : LinearMap
        The layer.
    x, weight : torch.Tensor
        Of any sign.
    rule : Rule
        Says which sums are needed.
    output : torch.Tensor, optional
        ``z+ + z-`` where it is known from the forward pass. It saves one of two
        convolutions: ``z+ = (z + sum |x||w|) / 2``. Sums so small beside
        ``sum |x||w|`` that rounding could have made them are raised to what
        rounding can make, lest relevance be multiplied.
    """
    if not rule.needs_parts:
        return (linear.forwards(x, weight) if output is None else output), None
    if output is None or not signed(x):
        positive = _sum_of_parts(linear, x, weight.clamp(min=0), weight.clamp(max=0))
        if not rule.negative_products:
            return positive, None
        return positive, _sum_of_parts(linear, x, weight.clamp(max=0), weight.clamp(min=0))
    sizes = linear.forwards(x.abs(), weight.abs())
    negative = torch.empty_like(sizes) if rule.negative_products else None
    for size, given, *below in pieces(sizes, output, *([] if negative is None else [negative])):
        floor = size * (8 * torch.finfo(x.dtype).eps)
        if below:
            torch.minimum((given - size).mul_(0.5), -floor, out=below[0])
        torch.maximum((given + size).mul_(0.5), floor, out=size)
    return sizes, negative


def share(
    linear: LinearMap,
    x: torch.Tensor,
    weight: torch.Tensor,
    factors: tuple[torch.Tensor, torch.Tensor | None],
    rule: Rule,
) -> torch.Tensor:
    """Return the relevance of the inputs: ``x+ (W+' s+ + W-' s-) + x- (W-' s+ + W+' s-)``.

    ``'`` is the transposed map; a rule that needs no parts has one factor for
    all products: ``x W' s``.
    """
    s_plus, s_minus = factors
    if not rule.needs_parts:
        return linear.backwards(s_plus, weight, x).mul_(x)
    up, down = weight.clamp(min=0), weight.clamp(max=0)
    received = _backwards(linear, x, (s_plus, up), (s_minus, down))
    if signed(x):
        to_negative = _backwards(linear, x, (s_plus, down), (s_minus, up))
        torch.where(x > 0, received, to_negative, out=received)
    return received.mul_(x)


def signed(x: torch.Tensor) -> bool:
    """Whether there are negative values; images and outputs of ReLUs save half of the work."""
    return bool(x.amin() < 0)


def _sum_of_parts(linear, x, for_positive, for_negative) -> torch.Tensor:
    if not signed(x):
        return linear.forwards(x, for_positive)
    return linear.forwards(x.clamp(min=0), for_positive) + linear.forwards(x.clamp(max=0), for_negative)


def _backwards(linear, x, *parts) -> torch.Tensor:
    parts = [linear.backwards(s, weight, x) for s, weight in parts if s is not None]
    return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])
