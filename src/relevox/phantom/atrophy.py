"""Atrophy: the change of the template that gives every tissue the share of the head that was drawn for it.

Two things change volumes. Within voxels the blurred borders move: some of a
voxel that was cortex becomes fluid, as where a sulcus widens by less than a
voxel. Between voxels the map moves tissue, and its J tells. Regions pull on
each other in both, so amounts are solved for, and what is left over in the
measured anatomy is corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from relevox.compiled import compiled
from relevox.phantom.warping import exponential, shares_taken, velocity_from_log_jacobian

LOBES = ("frontal_cortex", "temporal_cortex", "parietal_cortex", "occipital_cortex", "cerebellar_cortex")
"""Cortex that can be lost, by name of region."""

VENTRICLES = "lateral_ventricles"
"""The region that can grow."""

TISSUES = (*LOBES, "other_grey", "white_matter", VENTRICLES)
"""What has a prescribed share of the head: each lobe's grey matter, all other grey matter, white matter, fluid in the
lateral ventricles. The fluid outside them takes what is left."""

_WITHIN_VOXELS = 0.5
"""Share of the change of all grey and all white matter that moves borders within voxels; the map does the rest."""

_SMOOTHING_MM, _VENTRICLE_SMOOTHING_MM = 3.0, 8.0
"""Patterns of the map are smoothed, so that the finite grid can carry them. What lies around the ventricles flows in
as they grow: a wide pattern keeps feeding them, a narrow one is used up."""

_STRETCH = 0.2
"""Large ventricles need more than in proportion: the first guess is stretched by this much per unit."""

_CORRECTIONS = 2
"""After them a tissue's share is right to about a hundredth of itself, to a few where a brain shrinks by a fifth."""

_THINNING_STEPS = 4
_LARGEST_GAIN = 2.5


class Deformation(NamedTuple):
    """How a patient follows from the template."""

    fractions: np.ndarray
    """``(3, x, y, z)`` float32: grey matter, white matter, CSF on the template, borders moved within voxels."""
    displacement: np.ndarray
    """``(3, x, y, z)`` float32 ``psi(y) - y``, millimetres: from a point of the patient's to the template's."""


def tissues(fractions: np.ndarray, cause_regions: np.ndarray) -> np.ndarray:
    """Separate what has a prescribed share of the head.

    Parameters
    ----------
    fractions : np.ndarray
        ``(3, x, y, z)``: grey matter, white matter, CSF.
    cause_regions : np.ndarray
        ``(x, y, z)`` int: 1 to 5 in the ``LOBES``, 6 in the lateral ventricles.

    Returns
    -------
    np.ndarray
        ``(8, x, y, z)`` float32 in the order of ``TISSUES``.
    """
    grey, white, csf = fractions
    n_lobes = len(LOBES)
    parts = [grey * (cause_regions == label) for label in range(1, n_lobes + 1)]
    elsewhere = grey * ((cause_regions == 0) | (cause_regions > n_lobes))
    return np.stack([*parts, elsewhere, white, csf * (cause_regions == n_lobes + 1)]).astype(np.float32)


def patterns(parts: np.ndarray, around: np.ndarray, voxel_size_mm: float) -> np.ndarray:
    """Return the changes of log J that take from each tissue and give to the fluid around the brain.

    Parameters
    ----------
    parts : np.ndarray
        ``(8, x, y, z)`` :func:`tissues` of the template.
    around : np.ndarray
        ``(x, y, z)`` fraction of fluid outside the ventricles.
    voxel_size_mm : float
        Edge of a voxel.

    Returns
    -------
    np.ndarray
        ``(8, x, y, z)`` float32; each sums to 0, so that the head keeps its volume.
    """
    narrow, wide = _SMOOTHING_MM / voxel_size_mm, _VENTRICLE_SMOOTHING_MM / voxel_size_mm
    sink = ndimage.gaussian_filter(around, narrow)
    sources = [ndimage.gaussian_filter(part, narrow) for part in parts[:-1]]
    sources.append(ndimage.gaussian_filter(parts[-1], wide))
    return np.stack([source - sink * (source.sum() / sink.sum()) for source in sources]).astype(np.float32)


def response(parts: np.ndarray, brain: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Return how log shares of the head answer to amounts of the patterns, to first order.

    A tissue ``w`` has the volume ``integral of w(psi(y)) dy = integral of w(x) / J(x) dx``, and ``1 / J = 1 - a f``
    for a small amount ``a`` of the pattern ``f``.

    Parameters
    ----------
    parts : np.ndarray
        ``(8, x, y, z)`` :func:`tissues`.
    brain : np.ndarray
        ``(x, y, z)`` sum of all fractions.
    pattern : np.ndarray
        ``(8, x, y, z)`` :func:`patterns`.

    Returns
    -------
    np.ndarray
        ``(8, 8)``: row = tissue, column = pattern; 0 in the row of a tissue that is not there.
    """
    both = np.concatenate([parts, brain[None]]).reshape(len(parts) + 1, -1).astype(np.float64)
    flat = pattern.reshape(len(pattern), -1).astype(np.float64)
    # einsum, not a matrix product: its sums do not depend on the number of threads
    change = -np.einsum("tv,pv->tp", both, flat) / np.maximum(both.sum(axis=1), 1e-12)[:, None]
    present = parts.reshape(len(parts), -1).any(axis=1)
    return (change[:-1] - change[-1]) * present[:, None]


def meet_shares(
    fractions: np.ndarray,
    cause_regions: np.ndarray,
    pattern: np.ndarray,
    answer: np.ndarray,
    velocity: np.ndarray,
    change: Mapping[str, float],
    voxel_size_mm: float,
) -> Deformation:
    """Find the deformation that gives every tissue its share of the head.

    1. Half of the change of all grey and all white matter moves borders within voxels.
    2. The response matrix gives the amounts of the map's patterns to first order.
    3. The shares are measured in the deformed head, the amounts corrected (Broyden's method), twice.

    Parameters
    ----------
    fractions : np.ndarray
        ``(3, x, y, z)`` the template's grey matter, white matter and CSF.
    cause_regions : np.ndarray
        ``(x, y, z)`` int, see :func:`tissues`.
    pattern : np.ndarray
        ``(8, x, y, z)`` :func:`patterns`.
    answer : np.ndarray
        ``(8, 8)`` :func:`response`.
    velocity : np.ndarray
        ``(3, x, y, z)`` the patient's own shape, millimetres.
    change : mapping of str to float
        Loss of the logarithm of a tissue's share, growth for ``lateral_ventricles``; 0 for what is not named.
    voxel_size_mm : float
        Edge of a voxel.
    """
    wanted = np.array([-change.get(name, 0.0) for name in TISSUES[:-1]] + [change.get(VENTRICLES, 0.0)])
    fractions, cause_regions = np.ascontiguousarray(fractions, np.float32), np.ascontiguousarray(cause_regions)
    brain, everywhere = fractions.sum(axis=0, dtype=np.float64), np.ones(cause_regions.shape)
    before, head = _volumes(fractions, brain, cause_regions, everywhere)
    there = before > 0
    n_grey = len(LOBES) + 1
    all_grey = np.log((np.exp(wanted[:n_grey]) * before[:n_grey]).sum() / before[:n_grey].sum())
    thin = thinned(fractions, _WITHIN_VOXELS * all_grey, _WITHIN_VOXELS * wanted[n_grey])

    def missing(taken: np.ndarray) -> np.ndarray:
        """Log shares wanted less those of the head of which so much of every voxel is taken."""
        now, head_now = _volumes(thin, brain, cause_regions, taken)
        return wanted[there] - np.log(now[there] / before[there] * (head / head_now))

    inverse = np.linalg.pinv(answer[there])
    first = missing(everywhere)
    if there[-1]:
        first[-1] *= 1 + _STRETCH * max(first[-1], 0.0)
    amounts, previous = inverse @ first, None
    for correction in range(_CORRECTIONS + 1):
        displacement = exponential(velocity + _disease_velocity(amounts, pattern, voxel_size_mm), voxel_size_mm)
        if correction == _CORRECTIONS:
            break
        left = missing(shares_taken(displacement, voxel_size_mm))
        if previous is not None:
            moved, answered = amounts - previous[0], previous[1] - left
            guess = inverse @ answered
            if abs(moved @ guess) > 1e-12:
                inverse = inverse + np.outer(moved - guess, moved @ inverse) / (moved @ guess)
        previous = amounts, left
        amounts = amounts + inverse @ left
    return Deformation(thin, displacement)


def thinned(fractions: np.ndarray, log_grey: float, log_white: float) -> np.ndarray:
    """Move borders within voxels until grey and white matter have changed by given factors.

    Every voxel keeps its sum; the odds of white matter and of CSF are multiplied by one gain each, so that pure voxels
    stay pure.

    Parameters
    ----------
    fractions : np.ndarray
        ``(3, x, y, z)`` grey matter, white matter, CSF.
    log_grey, log_white : float
        Wanted changes of the logarithms of the volumes.

    Returns
    -------
    np.ndarray
        ``(3, x, y, z)`` float32; as near to the wanted volumes as gains of e^2.5 come.
    """
    fractions = np.ascontiguousarray(fractions, dtype=np.float32)
    if log_grey == 0 and log_white == 0:
        return fractions.copy()
    volumes = fractions.reshape(3, -1).sum(axis=1, dtype=np.float64)
    gains = np.zeros(2)
    for _ in range(_THINNING_STEPS):
        _, now, (gw, gc, wc) = _with_gains(fractions, _factors(gains))
        slope = np.array([[-gw, -gc], [gw + wc, -wc]]) / now[:2, None]
        gains = gains + np.linalg.pinv(slope, rcond=1e-6) @ (
            np.array([log_grey, log_white]) - np.log(now / volumes)[:2]
        )
        gains = np.clip(gains, -_LARGEST_GAIN, _LARGEST_GAIN)
    return _with_gains(fractions, _factors(gains))[0]


def _factors(gains: np.ndarray) -> np.ndarray:
    return np.exp(np.array([0.0, *gains]), dtype=np.float32)


@compiled
def _with_gains(fractions, factors):  # pragma: no cover - compiled
    """Multiply the odds; return the shares, their volumes, and the sums of their products (grey and white matter, grey
    matter and fluid, white matter and fluid) over shares of a full voxel: the derivatives of a softmax.
    """
    shares = np.empty(fractions.shape, np.float32)
    columns, gained = fractions.reshape(3, -1), shares.reshape(3, -1)
    volumes, products = np.zeros(3), np.zeros(3)
    one = np.float32(1)
    for v in range(columns.shape[1]):
        brain = columns[0, v] + columns[1, v] + columns[2, v]
        if brain <= 0:
            gained[0, v] = gained[1, v] = gained[2, v] = 0
            continue
        grey, white, csf = columns[0, v] * factors[0], columns[1, v] * factors[1], columns[2, v] * factors[2]
        scale = brain / (grey + white + csf)
        grey, white, csf = grey * scale, white * scale, csf * scale
        gained[0, v], gained[1, v], gained[2, v] = grey, white, csf
        volumes[0] += grey
        volumes[1] += white
        volumes[2] += csf
        per = one / brain
        products[0] += grey * white * per
        products[1] += grey * csf * per
        products[2] += white * csf * per
    return shares, volumes, products


def _disease_velocity(amounts: np.ndarray, pattern: np.ndarray, voxel_size_mm: float) -> np.ndarray | float:
    """Return the flow that changes log J by so much of each pattern."""
    if not amounts.any():
        return 0.0
    log_jacobian = np.zeros(pattern.shape[1:], dtype=np.float32)
    for amount, part in zip(amounts.astype(np.float32), pattern, strict=True):
        log_jacobian += amount * part
    return velocity_from_log_jacobian(log_jacobian, voxel_size_mm)


@compiled
def _volumes(fractions, brain, cause_regions, taken):  # pragma: no cover - compiled
    """Volumes of the ``TISSUES`` and of the whole head, in voxels, when so much is taken of every voxel."""
    grey, white, csf = fractions.reshape(3, -1)
    total, region, share = brain.reshape(-1), cause_regions.reshape(-1), taken.reshape(-1)
    volumes = np.zeros(8)
    head = 0.0
    for v in range(region.size):
        label = region[v]
        volumes[label - 1 if 1 <= label <= 5 else 5] += grey[v] * share[v]
        volumes[6] += white[v] * share[v]
        if label == 6:
            volumes[7] += csf[v] * share[v]
        head += total[v] * share[v]
    return volumes, head
