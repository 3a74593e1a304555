"""The legitimate choices within layer-wise relevance propagation, by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import torch

from relevox.attribution.composites import Composite
from relevox.errors import SettingsError


@dataclass(frozen=True)
class Options:
    """What :func:`relevox.attribution.lrp.lrp` was asked for."""

    composite: Composite
    """Which layer has which rule."""
    start: str = "probability"
    """``probability``, ``logit`` or ``one``."""
    batchnorm: str = "fold"
    """``fold`` into the convolution before it, or ``pass`` (as Pytorch-LRP does: signs of gamma are then ignored)."""
    addition: str = "positive"
    """Residual additions: by the ``positive`` parts of the inputs, or by their signed shares (``norm``)."""
    bias: str = "ignore"
    """``ignore``, or ``absorb``: part of the sums that relevance is divided by, so that it takes a share."""
    pool_mask: torch.Tensor | None = None
    """``(x, y, z)`` or ``(b, x, y, z)`` bool: max-pool winners are looked for inside first."""
    sparse: bool = True
    """Compute only at units that carry relevance, where it pays."""

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                near = difflib.get_close_matches(str(value), allowed, n=1, cutoff=0.4)
                raise SettingsError(
                    f"expected {name} to be one of {', '.join(allowed)}, but got {value!r}",
                    code=f"lrp-{name}",
                    remedy=f"did you mean {near[0]!r}?" if near else None,
                )

    def __str__(self) -> str:
        additions = {"positive": "positive parts", "norm": "signed shares"}
        return "; ".join(
            [
                str(self.composite),
                f"BatchNorm {'folded' if self.batchnorm == 'fold' else 'passes'}",
                f"additions by {additions[self.addition]}",
                "max-pools to the winner" + ("" if self.pool_mask is None else " inside the mask"),
                *(["bias absorbs"] if self.bias == "absorb" else []),
                f"start: {self.start}",
            ]
        )


CHOICES = {
    "start": ("probability", "logit", "one"),
    "batchnorm": ("fold", "pass"),
    "addition": ("positive", "norm"),
    "bias": ("ignore", "absorb"),
}
"""Options that are words, and the words."""
