"""Layers of products and sums: convolutions, linear layers and average pools."""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution import sparse
from relevox.attribution.layers import Layer, Normalisation, unsupported
from relevox.attribution.linear import LinearMap, share, signed, sums
from relevox.attribution.rules import Rule


class Products(Layer):
    """Convolution, linear layer or average pool: shares by its rule (:mod:`relevox.attribution.rules`).

    A BatchNorm behind it scales its weights, one factor an output channel; its
    shift is a bias. The bias is no receiver, and part of z+ (or z-, by its
    sign) only when the options say ``bias="absorb"``.
    """

    passes_all = False
    rule: Rule
    """Known from :meth:`finish` on."""
    norm: Normalisation | None = None
    """The BatchNorm folded in."""
    finished = False
    """Whether the output was seen."""
    reads_scan = False
    """Whether its input is the scan itself."""

    def keep(self, *inputs: torch.Tensor) -> None:
        """Remember the input."""
        (x,) = inputs
        if getattr(self.module, "padding_mode", "zeros") != "zeros":
            raise unsupported(self.name, self.module, f"padding mode {self.module.padding_mode!r}")
        self.x = self.remember(x)
        self.linear = LinearMap(self.module)
        self.sums = None

    def finish(self, output: torch.Tensor, norm: Normalisation | None = None) -> None:
        """Look at the layer's output, before anything is done with it.

        Where all units will be needed the sums of products are made now, from
        the output: on the way back they would cost a convolution more.
        """
        self.finished, self.norm = True, norm
        single = isinstance(self.module, nn.Linear) or output[0, 0].numel() == 1
        roles = (*(["first"] if self.reads_scan else []), "head" if single else "convolution")
        self.rule = self.options.composite.rule_for(self.name, self.module, roles)
        x, weight = self._operands()
        swept = self.options.sparse and sparse.possible(self.linear, x)
        if x is self.x and not swept and (signed(x) or not self.rule.needs_parts):
            bias = getattr(self.module, "bias", None)
            product = output if bias is None else output - self.linear.by_channel(bias, output)
            if norm is not None:
                product = product * self.linear.by_channel(norm.scale, output)
            self.sums = sums(self.linear, x, weight, self.rule, product)

    def share(self, relevance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Share by the rule."""
        x, weight = self._operands()
        bias = self._bias() if self.options.bias == "absorb" else None
        if self.options.sparse and sparse.possible(self.linear, x):
            places = sparse.units_with(relevance)
            if places is not None:
                return (sparse.share(self.linear, x, weight, relevance, places, self.rule, bias),)
        positive, negative = sums(self.linear, x, weight, self.rule) if self.sums is None else self.sums
        self.sums = None
        if bias is not None:
            bias = self.linear.by_channel(bias, relevance)
            parts = self.rule.needs_parts
            positive = positive + (bias.clamp(min=0) if parts else bias)
            negative = None if negative is None else negative + bias.clamp(max=0)
        factors = self.rule.factors(positive, negative, relevance)
        del positive, negative, relevance
        return (share(self.linear, x, weight, factors, self.rule),)

    def _operands(self) -> tuple[torch.Tensor, torch.Tensor]:
        weight = self.linear.weight.to(self.x)
        if self.norm is not None:
            weight = weight * self.norm.scale.to(weight).reshape(-1, *[1] * (weight.ndim - 1))
        return self.rule.stand_in(self.x, weight)

    def _bias(self) -> torch.Tensor | None:
        """The layer's own, moved by the BatchNorm; ``(channels_out,)``."""
        bias = getattr(self.module, "bias", None)
        bias = None if bias is None else bias.detach()
        return bias if self.norm is None else self.norm.shift(bias)
