"""Does a map depend on the class it explains (Sixt et al. 2020, arXiv 1912.09818)?"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from relevox.attribution.checks.similarity import Similarity, brain_values, similarity
from relevox.attribution.methods import attribute


def class_swap(
    model: nn.Module,
    x: torch.Tensor,
    brain: np.ndarray,
    method: str = "lrp",
    classes: tuple[int, int] = (0, 1),
    **options: object,
) -> list[Similarity]:
    """Compare the maps of two classes, scan by scan.

    A Pearson correlation near 1: the map is the same whatever is asked. Near
    -1: what speaks for one class speaks against the other.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``.
    brain : array-like of bool, (b, x, y, z)
        The voxels that are compared.
    method : str
        As for :func:`relevox.attribution.attribute`.
    classes : pair of int
        Which two.
    **options
        Of the method. Two are set here: LRP starts from 1 (a negative logit would turn a map), and
        gradients explain the class's logit (with two classes the log odds of one are those of the
        other turned round, and the correlation -1 whatever the method is worth).

    Returns
    -------
    list of Similarity
        One a scan.
    """
    options = dict(options) | ({"start": "one"} if method == "lrp" else {})
    if "explained" in options:
        options["explained"] = "logit"
    first, second = (
        brain_values(attribute(model, x, target, method, **options).relevance, brain) for target in classes
    )
    return [similarity(a, b) for a, b in zip(first, second, strict=True)]
