"""Calibration: moments of the simulated classes against Table 2 (Coll et al. 2023).

The fit is done once, by ``benchmarks/phantom.py --calibrate``; its result,
rounded and adjusted by hand (a larger head, more spread of grey matter),
stands in :mod:`disease`. Simulating a cohort fits nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from relevox.phantom import disability
from relevox.phantom.atrophy import LOBES, VENTRICLES
from relevox.phantom.causes import LABEL_MODELS, measure_causes
from relevox.phantom.disease import MODEL, NORMALS, TEMPLATE_HEAD_ML, TEMPLATE_ML, DiseaseModel, signs


class Moments(NamedTuple):
    """Mean and standard deviation in class 0 (EDSS < 3) and class 1."""

    mean: tuple[float, float]
    sd: tuple[float, float]


TABLE_2: Mapping[str, Moments] = {
    "lesions": Moments((10.4, 49.6), (13.1, 50.7)),
    "lateral_ventricles": Moments((21.5, 40.2), (9.6, 25.3)),
    "grey_matter": Moments((813.1, 755.4), (48.3, 67.2)),
    "white_matter": Moments((707.5, 678.3), (54.3, 79.6)),
    "brain": Moments((1572.0, 1504.8), (83.7, 114.4)),
    "disease_duration_years": Moments((7.6, 14.0), (6.6, 5.6)),
}
"""Table 2, ml and years."""

MEAN_WITHIN, SD_WITHIN = 0.10, 0.25
"""How near a simulated class has to come: shares of the printed numbers."""

BRAIN_REST_ML = 30.0
"""Table 2's brain volume is the sum of grey matter, white matter and ventricles plus this, in both classes alike (29.9
and 30.9 ml): the third and fourth ventricle and what else counts as brain there. Added to the simulated sum."""

_FITTED = {
    "load_mean_ml": (15, 45), "load_shape": (0.2, 1.5), "load_r": (0.1, 0.9),
    "ventricles_mean": (0, 1.2), "ventricles_sd": (0.2, 0.9), "ventricles_r": (0.1, 0.9),
    "grey_mean": (-0.01, 0.06), "grey_sd": (0.02, 0.13), "grey_r": (0.1, 0.6),
    "white_mean": (-0.01, 0.06), "white_sd": (0.02, 0.1), "white_r": (0.0, 0.8),
    "skew": (0.02, 0.9), "fluid_sd": (0.0, 0.06), "head_sd_ml": (40, 100),
    "years_mean": (5, 20), "years_sd": (4, 9), "years_r": (0.1, 0.9),
}  # fmt: skip


def drawn_volumes(normals: np.ndarray, model: DiseaseModel = MODEL) -> dict[str, np.ndarray]:
    """Return the native volumes that patients are drawn with, ``(n,)`` ml each, by name; and their years.

    Anatomies have them to about a hundredth (:mod:`atrophy`); the benchmark measures it.
    """
    drawn = signs(normals, model=model)
    ml = planned_ml(drawn.intracranial_ml, drawn.change)
    ml["intracranial"] = drawn.intracranial_ml
    ml["periventricular_lesions"], ml["other_lesions"] = drawn.periventricular_ml, drawn.other_ml
    ml["lesions"] = drawn.periventricular_ml + drawn.other_ml
    ml["brain"] = brain_ml(ml)
    ml["disease_duration_years"] = drawn.years
    return ml


def planned_ml(intracranial_ml: np.ndarray, change: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the native volumes of heads with these changes, by tissue and for all ``grey_matter``."""
    scale = intracranial_ml / TEMPLATE_HEAD_ML
    ml = {name: template * scale * np.exp(-change[name]) for name, template in TEMPLATE_ML.items()}
    ml[VENTRICLES] = TEMPLATE_ML[VENTRICLES] * scale * np.exp(change[VENTRICLES])
    ml["grey_matter"] = sum(ml[name] for name in (*LOBES, "other_grey"))
    return ml


def brain_ml(volumes_ml: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return what Table 2 calls the brain."""
    return volumes_ml["grey_matter"] + volumes_ml["white_matter"] + volumes_ml[VENTRICLES] + BRAIN_REST_ML


def chance_of_class_1(volumes_ml: Mapping[str, np.ndarray], prevalence: float = 0.437) -> np.ndarray:
    """Return p(y = 1) under the label ``paper``, ``(n,)``."""
    label = LABEL_MODELS["paper"]
    names = ("intracranial", "periventricular_lesions", "other_lesions", *LOBES, VENTRICLES)
    rows = [dict(zip(names, row, strict=True)) for row in np.column_stack([volumes_ml[name] for name in names])]
    latent = disability.latent_score(measure_causes(rows), label.weights)
    threshold = disability.threshold_for(latent, label.noise, prevalence)
    return disability.class_probability(latent, threshold, label.noise)


def class_moments(values: np.ndarray, chance: np.ndarray) -> Moments:
    """Return mean and standard deviation in either class.

    Parameters
    ----------
    values : np.ndarray
        ``(n,)``.
    chance : np.ndarray
        ``(n,)`` p(y = 1), or labels 0 and 1.
    """
    means, sds = [], []
    for weight in (1 - chance, chance):
        mean = float(np.average(values, weights=weight))
        means.append(mean)
        sds.append(float(np.sqrt(np.average((values - mean) ** 2, weights=weight))))
    return Moments(tuple(means), tuple(sds))


def deviations(values: Mapping[str, np.ndarray], chance: np.ndarray) -> dict[str, Moments]:
    """Return how far moments are from Table 2's, as shares of them: 0.1 is a tenth too large."""
    found = {}
    for name, target in TABLE_2.items():
        moments = class_moments(values[name], chance)
        found[name] = Moments(
            *(tuple(a / b - 1 for a, b in zip(m, t, strict=True)) for m, t in zip(moments, target, strict=True))
        )
    return found


def fit(n_patients: int = 20_000, seed: int = 0, start: DiseaseModel = MODEL) -> DiseaseModel:
    """Fit the disease model to Table 2: deterministic, least squares of deviations in units of what is allowed.

    Parameters
    ----------
    n_patients : int
        Patients whose normal numbers stay the same throughout.
    seed : int
        Of those numbers.
    start : DiseaseModel
        Where to start.
    """
    normals = np.random.default_rng(seed).standard_normal((n_patients, len(NORMALS)))
    low, high = np.array(list(_FITTED.values()), dtype=float).T

    def model(values: np.ndarray) -> DiseaseModel:
        return replace(start, **dict(zip(_FITTED, (float(v) for v in low + (high - low) * values), strict=True)))

    def misfit(values: np.ndarray) -> np.ndarray:
        volumes = drawn_volumes(normals, model(values))
        off = deviations(volumes, chance_of_class_1(volumes))
        return np.array([[np.array(m.mean) / MEAN_WITHIN, np.array(m.sd) / SD_WITHIN] for m in off.values()]).ravel()

    first = (np.array([getattr(start, name) for name in _FITTED]) - low) / (high - low)
    return model(least_squares(misfit, np.clip(first, 0.02, 0.98), bounds=(0, 1), diff_step=1e-3, max_nfev=40).x)
