"""What is planted where: a class for every patient, a place for every signal, the same whenever it is asked."""

from __future__ import annotations

import difflib
from dataclasses import replace
from functools import lru_cache

import numpy as np

from relevox.config import PlantSettings, Settings
from relevox.errors import SettingsError
from relevox.imaging.regions import REGION_INDEX, REGIONS
from relevox.phantom.plant import loss_velocity
from relevox.phantom.planted_scan import Place, Planter, brain_of
from relevox.records import Cohort
from relevox.store import template


def deal_classes(cohort: Cohort, folds: np.ndarray, seed: int) -> Cohort:
    """Give the patients of every fold a class at random, half of them each.

    Examples
    --------
    >>> from relevox.records import Observation, ScanId
    >>> scans = [Observation(ScanId(f"sub-{n}"), score=4.0, label=1) for n in range(4)]
    >>> deal_classes(Cohort(tuple(scans)), np.array([0, 0, 1, 1]), seed=0).labels.tolist()
    [0, 1, 0, 1]
    """
    rng, label = np.random.default_rng([seed, 11]), {}
    for fold in np.unique(folds):
        patients = rng.permutation(np.unique(cohort.patients[folds == fold]))
        label |= {patient: n % 2 for n, patient in enumerate(patients)}
    return Cohort(tuple(replace(o, label=int(label[o.id.participant])) for o in cohort))


@lru_cache(maxsize=1)
def planter_for(settings: Settings, plant: PlantSettings) -> Planter:
    """Prepare what is inserted.

    Raises
    ------
    SettingsError
        For a region that is not one of tissue.
    """
    known = {region.name: region.group for region in REGIONS if region.group != "csf"}
    if plant.where not in known:
        near = difflib.get_close_matches(plant.where, known, n=1, cutoff=0.4)
        raise SettingsError(
            f"expected a region of tissue, but got {plant.where!r}",
            code="plant-region",
            row="region",
            remedy=f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}",
        )
    head = template.load(settings.preprocessing.voxel_size_mm, settings.preprocessing.periventricular_mm)
    size = float(settings.preprocessing.voxel_size_mm)
    others = [name for name in known if name != plant.where]
    velocities = None
    if plant.kind == "atrophy":
        # decoys of the same kind of tissue, as far as there are two of them
        alike = [name for name in others if known[name] == known[plant.where]]
        others = alike if len(alike) >= 2 else others
        velocities = {
            REGION_INDEX[name]: loss_velocity(head.regions == REGION_INDEX[name], head.csf, head.brain_mask, size)
            for name in (plant.where, *others)
        }
    return Planter(
        regions=head.regions,
        region=REGION_INDEX[plant.where],
        elsewhere=tuple(REGION_INDEX[name] for name in others),
        strength=plant.how_strong,
        voxel_size_mm=size,
        radius_mm=plant.radius_mm,
        velocities=velocities,
    )


def places_of(planter: Planter, settings: Settings, cohort: Cohort, row: int, x: np.ndarray) -> tuple[Place, Place]:
    """Draw where the signals of one scan lie: the same whenever it is asked."""
    rng = np.random.default_rng([settings.seed, 12, row])
    return planter.draw(brain_of(x), cohort.observations[row].label, rng)
