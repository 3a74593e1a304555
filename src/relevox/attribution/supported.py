"""Which torch layer relevance passes in which way."""

from __future__ import annotations

from torch import nn

from relevox.attribution.layers import Addition, Layer, Normalisation, Probabilities, unsupported
from relevox.attribution.options import Options
from relevox.attribution.pooling import WinnerTakesAll
from relevox.attribution.products import Products

LAYERS: dict[type[nn.Module], type[Layer]] = {
    nn.Conv3d: Products,
    nn.Linear: Products,
    nn.AvgPool3d: Products,
    nn.AdaptiveAvgPool3d: Products,
    nn.BatchNorm3d: Normalisation,
    nn.LeakyReLU: Layer,
    nn.ReLU: Layer,
    nn.Identity: Layer,
    nn.Dropout: Layer,
    nn.Dropout3d: Layer,
    nn.Flatten: Layer,
    nn.MaxPool3d: WinnerTakesAll,
    nn.AdaptiveMaxPool3d: WinnerTakesAll,
    nn.Softmax: Probabilities,
}
"""Subclasses may compute something else and are refused."""


def layer_for(module: nn.Module, name: str, options: Options) -> Layer:
    """Return what a call of a layer does with relevance, new for each call.

    A module class named ``Addition`` with two inputs is a residual addition.

    Raises
    ------
    ModelError
        For a layer without a rule, with its dotted name.
    """
    kind = Addition if type(module).__name__ == "Addition" else LAYERS.get(type(module))
    if kind is None:
        raise unsupported(name, module, "there is no rule for it")
    return kind(module, name, options)
