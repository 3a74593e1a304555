"""How relevance passes backwards through one call of a layer.

A :class:`Layer` looks at a call on the way forwards (:meth:`Layer.keep`) and
shares the relevance of the output among the inputs on the way back
(:meth:`Layer.share`). Layers of products are in
:mod:`relevox.attribution.products`, max-pools in :mod:`relevox.attribution.pooling`;
:mod:`relevox.attribution.supported` says which torch layer is which.
"""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.options import Options
from relevox.attribution.output import channels_last
from relevox.attribution.pieces import pieces
from relevox.attribution.rules import divided
from relevox.errors import ModelError


class Layer:
    """Relevance passes unchanged: activations, and layers that do nothing in evaluation mode."""

    passes_all = True
    """Whether no relevance can be lost here."""

    def __init__(self, module: nn.Module | None, name: str, options: Options) -> None:
        self.module = module
        self.name = name
        self.options = options
        self.versions: list[tuple[torch.Tensor, int]] = []

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember what the way back needs."""
        self.shape = inputs[0].shape

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the relevance of each input; what came in may be overwritten."""
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


class Normalisation(Layer):
    """BatchNorm: passes; its scale is folded into the layer before it, unless the options say ``pass``."""

    @property
    def scale(self) -> torch.Tensor:
        """Factor per channel, ``(channels,)``: gamma / sqrt(running variance + eps)."""
        inverse_sd = torch.rsqrt(self.module.running_var.detach() + self.module.eps)
        return inverse_sd if self.module.weight is None else inverse_sd * self.module.weight.detach()

    def shift(self, bias: torch.Tensor | None) -> torch.Tensor:
        """What the layer before it and this one add together, ``(channels,)``."""
        mean = self.module.running_mean.detach()
        shift = (-mean if bias is None else bias - mean) * self.scale
        return shift if self.module.bias is None else shift + self.module.bias.detach()

    def keep(self, *inputs: torch.Tensor) -> None:
        """Check that the layer has statistics of its own."""
        if self.module.running_var is None:
            raise unsupported(self.name, self.module, "no running statistics")
        super().keep(*inputs)


class Addition(Layer):
    """Residual addition: in proportion to the two inputs' positive parts, or to themselves (``norm``)."""

    passes_all = False

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember both inputs."""
        self.first, self.second = (self.remember(value) for value in inputs)

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Split."""
        values = [channels_last(value) for value in (self.first, self.second, relevance)]
        to_second = torch.empty_like(values[0])
        for first, second, received, taken in pieces(*values, to_second):
            if self.options.addition == "positive":
                first, second = first.clamp(min=0), second.clamp(min=0)
            # where both are negative, or cancel, nobody receives: the loss is recorded
            factor = divided(received, first + second)
            torch.mul(first, factor, out=received)
            torch.mul(second, factor, out=taken)
        return values[2], to_second


class Probabilities(Layer):
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


SUPPORTED = (
    "Conv3d", "Linear", "BatchNorm3d", "LeakyReLU", "ReLU", "Identity", "Dropout", "Dropout3d", "Flatten",
    "MaxPool3d", "AdaptiveMaxPool3d", "AvgPool3d", "AdaptiveAvgPool3d", "Softmax",
)  # fmt: skip
"""Names of the torch layers in :data:`relevox.attribution.supported.LAYERS`, for those who come with another one."""


def unsupported(name: str, module: object, reason: str) -> ModelError:
    """Build the error for a layer that cannot be explained."""
    kind = module if isinstance(module, str) else type(module).__name__
    return ModelError(
        f"relevance cannot pass through layer {name!r} ({kind}): {reason}",
        code="layer-unsupported",
        remedy=f"supported are {', '.join(SUPPORTED)}, Addition and Sequential",
    )
