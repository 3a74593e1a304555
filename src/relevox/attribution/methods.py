"""One call for every method."""

from __future__ import annotations

import difflib

import torch
from torch import nn

from relevox.attribution.integrated_gradients import integrated_gradients
from relevox.attribution.lrp import lrp
from relevox.attribution.result import Attribution
from relevox.errors import SettingsError

METHODS = {"lrp": lrp, "integrated_gradients": integrated_gradients}
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
        Passed on: see :func:`relevox.attribution.lrp.lrp` and
        :func:`relevox.attribution.integrated_gradients.integrated_gradients`.

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
