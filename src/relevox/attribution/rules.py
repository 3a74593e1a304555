"""How relevance passes backwards through one layer (alpha 1, beta 0).

A rule looks at a layer once on the way forwards (:meth:`Rule.keep`) and shares
the relevance of the layer's output among its inputs on the way back
(:meth:`Rule.share`). The table :data:`RULES` says which layer has which rule.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from relevox.errors import ModelError

SMALLEST = 1e-30
"""Sums of contributions below it count as zero: relevance divided by them would overflow."""


class Rule:
    """Relevance passes unchanged: activations, and layers that do nothing in evaluation mode."""

    def __init__(self, module: nn.Module | None, name: str) -> None:
        self.module = module
        self.name = name
        self.versions: list[tuple[torch.Tensor, int]] = []

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember what the way back needs."""
        self.shape = inputs[0].shape

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the relevance of each input."""
        return (relevance.reshape(self.shape),)

    def remember(self, tensor: torch.Tensor) -> torch.Tensor:
        """Keep a tensor of the forward pass, to be found unchanged on the way back."""
        self.versions.append((tensor, tensor._version))
        return tensor

    def check_unchanged(self) -> None:
        """Refuse to go on when a later layer has written over what was kept.

        Raises
        ------
        ModelError
            Naming the layer.
        """
        if any(tensor._version != version for tensor, version in self.versions):
            raise ModelError(
                f"the input of layer {self.name!r} was overwritten by a later in-place operation",
                code="layer-in-place",
                remedy="build the model without inplace=True",
            )


class Contributions(Rule):
    """Convolution or linear layer: in proportion to the positive contributions.

    ``R_in = x+ * (W+^T s) + x- * (W-^T s)``, ``s = R_out / z``, where z sums
    the positive products ``x+ w+`` and ``x- w-``; a unit without any has
    z = 0 and passes nothing. The bias is no receiver and not part of z
    (Montavon et al. 2019, "Layer-wise relevance propagation: an overview").
    A BatchNorm behind the layer scales its weights, one factor an output
    channel; its shift is a bias.
    """

    scale: torch.Tensor | None = None
    """``(channels_out,)`` of the BatchNorm folded in."""

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember the input."""
        (x,) = inputs
        if getattr(self.module, "padding_mode", "zeros") != "zeros":
            raise unsupported(self.name, self.module, f"padding mode {self.module.padding_mode!r}")
        self.x = self.remember(x)

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Share by the positive contributions."""
        weight = self.module.weight.detach()
        if self.scale is not None:
            weight = weight * self.scale.to(weight).reshape(-1, *[1] * (weight.ndim - 1))
        return (positive_contributions(_linear_map(self.module), self.x, weight, relevance),)


def positive_contributions(
    linear: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    weight: torch.Tensor,
    relevance: torch.Tensor,
) -> torch.Tensor:
    """Return the inputs' relevance by the alpha-1 beta-0 rule.

    Parameters
    ----------
    linear : callable
        ``linear(x, weight)``, bilinear and without bias.
    x, weight : torch.Tensor
        The layer's input and weights, both of any sign.
    relevance : torch.Tensor
        Of the layer's output.

    Examples
    --------
    Products 1*2, -1*-4 and 3*-5: the last is negative and gets nothing.

    >>> x, weight = torch.tensor([[1.0, -1.0, 3.0]]), torch.tensor([[2.0, -4.0, -5.0]])
    >>> positive_contributions(F.linear, x, weight, torch.tensor([[6.0]]))
    tensor([[2., 4., 0.]])
    """
    parts = [(x.clamp(min=0), weight.clamp(min=0)), (x.clamp(max=0), weight.clamp(max=0))]
    if not bool((x < 0).any()):
        parts = parts[:1]  # images and ReLU outputs: half the work
    with torch.enable_grad():
        leaves = [part.detach().requires_grad_() for part, _ in parts]
        z = sum(linear(leaf, w) for leaf, (_, w) in zip(leaves, parts, strict=True))
        s = torch.where(z.detach() > SMALLEST, relevance / z.detach(), torch.zeros_like(relevance))
        gradients = torch.autograd.grad(z, leaves, s)
    return sum(leaf.detach() * gradient for leaf, gradient in zip(leaves, gradients, strict=True))


def _linear_map(module: nn.Module) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    if isinstance(module, nn.Linear):
        return F.linear
    return lambda x, weight: F.conv3d(x, weight, None, module.stride, module.padding, module.dilation, module.groups)


class Normalisation(Rule):
    """BatchNorm: passes, because its scale is folded into the layer before it."""

    @property
    def scale(self) -> torch.Tensor:
        """Factor per channel, ``(channels,)``: gamma / sqrt(running variance + eps)."""
        inverse_sd = torch.rsqrt(self.module.running_var.detach() + self.module.eps)
        return inverse_sd if self.module.weight is None else inverse_sd * self.module.weight.detach()

    def keep(self, *inputs: torch.Tensor) -> None:
        """Check that the layer has statistics of its own."""
        if self.module.running_var is None:
            raise unsupported(self.name, self.module, "no running statistics")
        super().keep(*inputs)


class Addition(Rule):
    """Residual addition: in proportion to the positive parts of the two inputs."""

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember each input's share of the sum of positive parts."""
        first, second = (value.detach().clamp(min=0) for value in inputs)
        total = first + second
        inside = total > SMALLEST
        self.first = torch.where(inside, first / total, torch.zeros_like(total))
        # where both are negative nobody receives: the loss is recorded
        self.second = torch.where(inside, second / total, torch.zeros_like(total))

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Split."""
        return relevance * self.first, relevance * self.second


class WinnerTakesAll(Rule):
    """Max-pool, windowed or adaptive: the largest voxel of each window takes its relevance."""

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember the winners."""
        (x,) = inputs
        pool = self.module
        if pool.return_indices:
            raise unsupported(self.name, pool, "return_indices=True")
        self.shape = x.shape
        if isinstance(pool, nn.AdaptiveMaxPool3d):
            _, self.winners = F.adaptive_max_pool3d(x, pool.output_size, return_indices=True)
        else:
            _, self.winners = F.max_pool3d(
                x, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
            )

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Give each window's relevance to its winner; a voxel may win several windows."""
        received = relevance.new_zeros(self.shape).flatten(-3)
        received.scatter_add_(-1, self.winners.flatten(-3), relevance.flatten(-3))
        return (received.reshape(self.shape),)


class Probabilities(Rule):
    """Softmax: only as the last layer, where the propagation starts before it."""

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember the logits."""
        (self.logits,) = inputs

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Refuse: between two layers it has no rule.

        Raises
        ------
        ModelError
            Always.
        """
        raise unsupported(self.name, self.module, "it is not the last layer")


RULES: dict[type[nn.Module], type[Rule]] = {
    nn.Conv3d: Contributions,
    nn.Linear: Contributions,
    nn.BatchNorm3d: Normalisation,
    nn.LeakyReLU: Rule,
    nn.ReLU: Rule,
    nn.Identity: Rule,
    nn.Dropout: Rule,
    nn.Dropout3d: Rule,
    nn.Flatten: Rule,
    nn.MaxPool3d: WinnerTakesAll,
    nn.AdaptiveMaxPool3d: WinnerTakesAll,
    nn.Softmax: Probabilities,
}
"""Rule of each supported layer; subclasses may compute something else and are refused."""


def rule_for(module: nn.Module, name: str) -> Rule:
    """Return a new rule for one call of a layer.

    A module class named ``Addition`` with two inputs is a residual addition.

    Raises
    ------
    ModelError
        For a layer without a rule, with its dotted name.
    """
    kind = Addition if type(module).__name__ == "Addition" else RULES.get(type(module))
    if kind is None:
        raise unsupported(name, module, "there is no rule for it")
    return kind(module, name)


def unsupported(name: str, module: object, reason: str) -> ModelError:
    """Build the error for a layer that cannot be explained."""
    kind = module if isinstance(module, str) else type(module).__name__
    known = ", ".join(layer.__name__ for layer in RULES)
    return ModelError(
        f"relevance cannot pass through layer {name!r} ({kind}): {reason}",
        code="layer-unsupported",
        remedy=f"supported are {known}, Addition and Sequential",
    )
