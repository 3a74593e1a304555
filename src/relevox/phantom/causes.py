"""Causes of disability: what is measured in the final anatomy, and how label models weigh it.

A label model is a name for a set of weights. Every cause can be measured in
every anatomy, so one set of anatomies serves all label models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from relevox.config import PhantomSettings
from relevox.phantom.anatomy import LOBES, VENTRICLES

LESIONS = ("periventricular_lesions", "other_lesions")
"""The two kinds of lesions, in the order of their labels 1 and 2."""

REGIONS = (*LOBES, VENTRICLES)
"""Regions whose volume can be a cause, in the order of their labels 1, 2, ..."""

COMBINED: Mapping[str, tuple[str, ...]] = {
    "total_lesions": LESIONS,
    "frontotemporal_cortex": ("frontal_cortex", "temporal_cortex"),
    "parietooccipital_cortex": ("parietal_cortex", "occipital_cortex"),
}
"""Causes that are the sum of others' volumes."""

CAUSES = (*LESIONS, *REGIONS, *COMBINED)
"""Every cause by name."""


class LabelModel(NamedTuple):
    """What makes a simulated patient disabled."""

    weights: Mapping[str, float]
    """By cause; of the standardised causes, so that equal weights are equal shares of the spread."""
    noise: float
    """Standard deviation of what the causes do not explain, in units of the weighted sum's."""


LABEL_MODELS: Mapping[str, LabelModel] = {
    # volumes see much of it; maps should show three places
    "paper": LabelModel(
        {"frontotemporal_cortex": -0.70, "cerebellar_cortex": -0.15, "periventricular_lesions": 0.62}, 0.42
    ),
    "frontotemporal": LabelModel({"frontotemporal_cortex": -1.0}, 0.25),
    # where, not how much: volumes see next to nothing of these two
    "location": LabelModel({"periventricular_lesions": 1.0, "other_lesions": -1.0}, 0.3),
    "location_atrophy": LabelModel({"frontotemporal_cortex": -1.0, "parietooccipital_cortex": 1.0}, 0.4),
    "load": LabelModel({"total_lesions": 1.0}, 0.5),
}
"""Label models by name; the weight of a cortex is negative because less of it is worse."""


def label_model(settings: PhantomSettings) -> LabelModel:
    """Return the label model that settings ask for: a named one, or weights and noise of one's own."""
    named = LABEL_MODELS[settings.label]
    noise = named.noise if settings.label_noise is None else settings.label_noise
    return LabelModel(dict(settings.weights) or named.weights, noise)


def parts(cause: str) -> tuple[str, ...]:
    """Return the lesions or regions a cause is made of.

    Examples
    --------
    >>> parts("frontotemporal_cortex")
    ('frontal_cortex', 'temporal_cortex')
    >>> parts("other_lesions")
    ('other_lesions',)
    """
    return COMBINED.get(cause, (cause,))


def measure_causes(volumes_ml: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Measure every cause of every scan.

    Parameters
    ----------
    volumes_ml : sequence of mapping
        Native volumes by name, one mapping a scan: ``LESIONS``, ``REGIONS`` and ``intracranial``.

    Returns
    -------
    dict of str to np.ndarray
        ``(n,)`` by cause: of lesions the square root of their millilitres, which tames its skew; of regions the
        logarithm of their share of the intracranial volume, which takes the head's size out.
    """
    found = {}
    for cause in CAUSES:
        sums = np.array([sum(volumes[part] for part in parts(cause)) for volumes in volumes_ml], dtype=np.float64)
        if parts(cause)[0] in LESIONS:
            found[cause] = np.sqrt(sums)
        else:
            found[cause] = np.log(sums / np.array([volumes["intracranial"] for volumes in volumes_ml]))
    return found
