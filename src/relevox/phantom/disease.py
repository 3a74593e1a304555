"""Signs of disease: how much of each a patient has, drawn together.

One latent severity ties lesions, ventricles, atrophy and years of disease to
each other; every sign has, besides, a part of its own. The numbers are
fitted (:mod:`calibration`) so that the two classes of the label ``paper``
have the volumes of Table 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, gamma, norm

from relevox.phantom.atrophy import LOBES, VENTRICLES

_OWN = ("load", "ventricles", "frontotemporal", "parietooccipital", "cerebellar", "white", "head", "years", "place")
NORMALS = ("severity", "fluid", *_OWN, *LOBES, "other_grey")
"""The independent standard normal numbers a patient is made of, in this order."""

PERIVENTRICULAR_ROOM_ML, OTHER_ROOM_ML = 75.0, 300.0
"""Lesions that fit within 10 mm of the ventricles, and elsewhere: nine tenths of the smallest room found. What does not
fit near the ventricles lies elsewhere."""

_LEAST_ML = 0.1
_GREY_SHARES = {"frontal_cortex": 217.3, "temporal_cortex": 152.2, "parietal_cortex": 137.2, "occipital_cortex": 56.5}
_GREY_SHARES |= {"cerebellar_cortex": 123.2, "other_grey": 101.6}
TEMPLATE_ML = {**_GREY_SHARES, "white_matter": 694.8, VENTRICLES: 15.4}
"""The template's tissues at 2 mm, as ``anatomy.template_maps`` makes them, in a head of 1700 ml."""
TEMPLATE_HEAD_ML = 1700.0

_LEAST_FILLED, _MOST_FILLED = 0.70, 0.955
"""Share of the head that is not fluid around the brain; losses of all tissue give way beyond."""
_MOST_TOLL = 3.5
_MOST_YEARS = 30.0
_FRONTAL_OWN = 0.5
"""Frontal and temporal loss: this much each of its own per 0.85 in common; parietal and occipital alike."""


@dataclass(frozen=True)
class DiseaseModel:
    """Parameters of the joint distribution; correlations are with severity."""

    load_mean_ml: float = 27.7
    """Lesions of all scans (Table 2)."""
    load_shape: float = 0.47
    """Of the gamma distribution of the load; small = many patients with few lesions."""
    load_r: float = 0.9
    ventricles_mean: float = 0.43
    """Logarithm of the ventricles' growth over the template's."""
    ventricles_sd: float = 0.63
    ventricles_r: float = 0.9
    grey_mean: float = 0.033
    """Loss of the logarithm of the cortex's share of the head, beyond the average patient of the template."""
    grey_sd: float = 0.105
    grey_r: float = 0.6
    """Of frontotemporal, parieto-occipital and cerebellar loss alike, so that none tells of the others' difference."""
    white_mean: float = 0.03
    """The same of white matter."""
    white_sd: float = 0.098
    white_r: float = 0.8
    skew: float = 0.6
    """Losses are ``(exp(k u) - 1) / k`` of a normal u: large losses lie further apart than small ones."""
    fluid_sd: float = 0.005
    """Loss that grey and white matter share and severity does not explain: how much fluid a healthy head holds."""
    head_mean_ml: float = 1760.0
    """Intracranial volume; not printed in the paper."""
    head_sd_ml: float = 76.0
    years_mean: float = 10.47
    """Disease duration of all scans (Table 2), beta-distributed between 0 and 30 years."""
    years_sd: float = 6.6
    years_r: float = 0.83


MODEL = DiseaseModel()


class Signs(NamedTuple):
    """Arrays ``(n,)``, one value a patient."""

    intracranial_ml: np.ndarray
    """Native volume of the head."""
    change: dict[str, np.ndarray]
    """Loss of the logarithm of a tissue's share of the head, growth for the ventricles (``atrophy.TISSUES``)."""
    periventricular_ml: np.ndarray
    """Native volume of lesions within 10 mm of the ventricles."""
    other_ml: np.ndarray
    """Native volume of the other lesions."""
    years: np.ndarray
    """Disease duration."""


def signs(normals: np.ndarray, effect: float = 1.0, location_spread: float = 2.0, model: DiseaseModel = MODEL) -> Signs:
    """Turn independent normal numbers into patients.

    Parameters
    ----------
    normals : np.ndarray
        ``(n, len(NORMALS))``.
    effect : float
        Factor on the spread of lesion load, lesion location and cortical loss.
    location_spread : float
        Standard deviation of the log odds that a lesion is periventricular. It is independent of everything else:
        the load says nothing about the place.
    model : DiseaseModel
        Parameters.
    """
    z = dict(zip(NORMALS, np.asarray(normals, dtype=np.float64).T, strict=True))

    def with_severity(own: np.ndarray, r: float) -> np.ndarray:
        return r * z["severity"] + np.sqrt(1 - r**2) * own

    def lost(own: np.ndarray, r: float) -> np.ndarray:
        return r * toll + np.sqrt(1 - r**2) * own

    k = model.skew
    toll = np.minimum((np.exp(k * z["severity"] - k**2 / 2) - 1) / np.sqrt(np.expm1(k**2)), _MOST_TOLL)

    change = {}
    fluid = model.fluid_sd * z["fluid"]
    for name in (*LOBES, "other_grey"):
        own = z[name]
        shared = {"frontal": "frontotemporal", "temporal": "frontotemporal", "parietal": "parietooccipital"}
        shared |= {"occipital": "parietooccipital", "cerebellar": "cerebellar", "other": None}
        factor = shared[name.split("_")[0]]
        if factor is not None:
            own = (0.85 * z[factor] + _FRONTAL_OWN * own) / np.hypot(0.85, _FRONTAL_OWN)
        change[name] = model.grey_mean + effect * model.grey_sd * lost(own, model.grey_r) + fluid
    change["white_matter"] = model.white_mean + model.white_sd * lost(z["white"], model.white_r) + fluid
    growth = model.ventricles_mean + model.ventricles_sd * with_severity(z["ventricles"], model.ventricles_r)
    change[VENTRICLES] = np.clip(growth, -0.5, 2.0)
    _keep_room_for_fluid(change)

    load = effect * with_severity(z["load"], model.load_r)
    load_ml = gamma.ppf(norm.cdf(load), model.load_shape, scale=model.load_mean_ml / model.load_shape)
    near = 1 / (1 + np.exp(-location_spread * effect * z["place"]))
    inner, outer = divided(load_ml * near, load_ml * (1 - near))
    mean = model.years_mean / _MOST_YEARS
    precision = mean * (1 - mean) * (_MOST_YEARS / model.years_sd) ** 2 - 1
    rank = norm.cdf(with_severity(z["years"], model.years_r))
    years = _MOST_YEARS * beta.ppf(rank, mean * precision, (1 - mean) * precision)
    head = model.head_mean_ml + model.head_sd_ml * np.clip(z["head"], -3, 3)
    return Signs(head, change, inner, outer, years)


def _keep_room_for_fluid(change: dict[str, np.ndarray]) -> None:
    """Limit, in place, how full and how empty a head can be."""
    filled = TEMPLATE_ML[VENTRICLES] * np.exp(change[VENTRICLES])
    solid = sum(ml * np.exp(-change[name]) for name, ml in TEMPLATE_ML.items() if name != VENTRICLES)
    kept = np.clip(filled + solid, _LEAST_FILLED * TEMPLATE_HEAD_ML, _MOST_FILLED * TEMPLATE_HEAD_ML) - filled
    for name in change:
        if name != VENTRICLES:
            change[name] = change[name] + np.log(solid / kept)


def divided(periventricular_ml: np.ndarray, other_ml: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Move what does not fit near the ventricles elsewhere; nobody is quite without lesions of either kind."""
    inner = np.clip(periventricular_ml, _LEAST_ML, PERIVENTRICULAR_ROOM_ML)
    outer = np.clip(other_ml + np.maximum(periventricular_ml - inner, 0), _LEAST_ML, OTHER_ROOM_ML)
    return inner, outer
