"""Does the answer fall when what a map calls relevant is taken away (Samek et al. 2015, arXiv 1509.06321)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from relevox.attribution.gradients import class_probability
from relevox.attribution.integrated_gradients import check_baseline
from relevox.attribution.output import check_input, choose_target, class_margin, evaluating, forward
from relevox.errors import InputError


@dataclass(frozen=True)
class Curve:
    """One scan, with ever more of its regions replaced."""

    share: np.ndarray
    """``(s,)`` share of the labelled voxels that is replaced, from 0 to 1."""
    margin: np.ndarray
    """``(s,)`` log odds of the explained class."""
    probability: np.ndarray
    """``(s,)`` its probability."""

    def area(self, of: str = "margin") -> float:
        """Mean fall over the shares from 0 to 1: the area over the curve (AOPC), by trapezoids.

        All orders begin and end with the same images, so areas differ by the order alone.

        Examples
        --------
        >>> Curve(np.array([0.0, 0.5, 1.0]), np.array([4.0, 0.0, 0.0]), np.zeros(3)).area()
        3.0
        """
        values = getattr(self, of)
        return float(np.trapezoid(values[0] - values, self.share))

    def at(self, shares: np.ndarray, of: str = "margin") -> np.ndarray:
        """Return the values at other shares, by linear interpolation."""
        return np.interp(shares, self.share, getattr(self, of))


def order_by(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Order regions by their mean value, the largest first; ties by label.

    The mean, not the sum: a large region is not first because it is large, and
    the share of the brain that has been replaced stands on the curve's axis.

    Parameters
    ----------
    values : array-like, (x, y, z)
        Relevance, summed over the channels.
    labels : array-like of int, (x, y, z)
        0 is no region.

    Examples
    --------
    >>> order_by(np.array([0.0, 3.0, 1.0, 9.0]), np.array([1, 2, 2, 0]))
    array([2, 1])
    """
    labels = np.asarray(labels)
    if np.shape(values) != labels.shape:
        raise InputError(f"expected labels of shape {np.shape(values)}, but got {labels.shape}", code="labels-shape")
    sums, counts = np.bincount(labels.ravel(), np.asarray(values, np.float64).ravel()), np.bincount(labels.ravel())
    regions = np.flatnonzero(counts)
    regions = regions[regions != 0]
    return regions[np.argsort(-sums[regions] / counts[regions], kind="stable")]


def random_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Order regions by chance."""
    regions = np.unique(labels)
    return rng.permutation(regions[regions != 0])


def perturb(
    model: nn.Module,
    x: torch.Tensor,
    labels: np.ndarray,
    baseline: torch.Tensor,
    order: Sequence[int],
    target: int,
    *,
    steps: int | None = None,
    batch_size: int = 1,
    precision: str = "float32",
) -> Curve:
    """Replace the regions of one scan in an order, and keep them replaced.

    Parameters
    ----------
    model : torch.nn.Module
        Returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        One scan, ``(c, x, y, z)``.
    labels : array-like of int, (x, y, z)
        0 is never replaced.
    baseline : torch.Tensor
        ``(c, x, y, z)``: the replacement, in a cohort its mean. It is an image that no patient has; a
        network that was not trained on such a mixture may answer to its edges (Rong et al. 2022,
        arXiv 2202.00449, draw the replacement from the surrounding voxels instead). All orders
        suffer alike, so they can be compared with each other, not with 0.
    order : sequence of int
        All labels but 0, first to last (:func:`order_by`, :func:`random_order`).
    target : int
        Explained class.
    steps : int, optional
        Measure after this many equal parts of the order; default: after every region.
    batch_size : int
        Images that pass the network at once.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Raises
    ------
    InputError
        When shapes do not fit, or ``order`` does not name every region once.
    """
    x = check_input(x[None])
    baseline = check_baseline(x, baseline)
    labels, order = np.asarray(labels), np.asarray(order)
    if labels.shape != x.shape[2:]:
        raise InputError(
            f"expected labels of shape {tuple(x.shape[2:])}, but got {tuple(labels.shape)}", code="labels-shape"
        )
    regions = np.unique(labels)
    if not len(order) or not np.array_equal(np.sort(order), regions[regions != 0]):
        raise InputError(
            f"expected an order of all {len(regions[regions != 0])} regions, but got {len(order)} labels",
            code="perturbation-order",
        )
    place = np.full(int(labels.max()) + 1, len(order))
    place[order] = np.arange(len(order))
    place[0] = len(order)  # never
    rank = place[labels]  # (x, y, z): how many regions go before this voxel's
    cuts = np.unique(np.linspace(0, len(order), min(steps or len(order), len(order)) + 1).round().astype(int))
    replaced = np.array([np.count_nonzero(rank < cut) for cut in cuts])
    ranks = torch.from_numpy(rank).to(x.device)
    margins, probabilities = [], []
    with evaluating(model), torch.no_grad():
        for part in torch.from_numpy(cuts).to(x.device).split(batch_size):
            gone = ranks < part.reshape(-1, 1, 1, 1)  # (steps, x, y, z)
            logits = forward(model, torch.where(gone[:, None], baseline, x), precision)
            chosen = choose_target(logits, int(target))
            margins.append(class_margin(logits, chosen).double())
            probabilities.append(class_probability(logits, chosen).double())
    return Curve(
        share=replaced / replaced[-1],
        margin=torch.cat(margins).cpu().numpy(),
        probability=torch.cat(probabilities).cpu().numpy(),
    )
