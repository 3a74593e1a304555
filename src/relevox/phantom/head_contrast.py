"""How bright each tissue of a simulated head is: T1-like, FLAIR-like, or anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

T1_SHARE, FLAIR_SHARE = 0.45, 0.30
"""Shares of T1-like and FLAIR-like heads; the rest has random contrast."""
FAT_SUPPRESSED_SHARE = 0.25
"""Share of FLAIR-like heads whose fat is dark, except where suppression fails: the orbits."""


@dataclass(frozen=True)
class Contrast:
    """Intensity of each tissue; about 1 for white matter."""

    white: float
    grey: float
    csf: float
    lesion: float
    bone: float
    marrow: float
    fat: float
    orbital_fat: float
    muscle: float
    dura: float
    vessel: float
    eye: float
    air: float


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Draw the intensities of one head."""
    kind = rng.random()
    if kind < T1_SHARE:
        return _t1_like(rng)
    if kind < T1_SHARE + FLAIR_SHARE:
        return _flair_like(rng)
    names = [name for name in Contrast.__dataclass_fields__ if name != "air"]
    values = {name: float(rng.uniform(0, 1.5)) for name in names}
    air = rng.uniform(0, 0.1) if rng.random() < 0.8 else rng.uniform(0, 0.6)
    return Contrast(air=float(air), **values)


def _t1_like(rng: np.random.Generator) -> Contrast:
    csf, fat = rng.uniform(0.08, 0.5), rng.uniform(0.9, 3.2)
    return Contrast(
        white=1.0,
        grey=rng.uniform(0.6, 1.02),
        csf=csf,
        lesion=rng.uniform(0.5, 1.0),
        bone=rng.uniform(0, 0.25),
        marrow=rng.uniform(0.25, 1.8),
        fat=fat,
        orbital_fat=fat * rng.uniform(0.7, 1.1),
        muscle=rng.uniform(0.35, 1.3),
        dura=rng.uniform(0.2, 1.8),
        vessel=rng.uniform(0, 2.5),
        eye=csf * rng.uniform(0.8, 1.5),
        air=rng.uniform(0, 0.06),
    )


def _flair_like(rng: np.random.Generator) -> Contrast:
    csf = rng.uniform(0, 0.5)
    suppressed = rng.random() < FAT_SUPPRESSED_SHARE
    fat = rng.uniform(0.05, 0.6) if suppressed else rng.uniform(0.4, 2.6)
    return Contrast(
        white=1.0,
        grey=rng.uniform(1.0, 1.55),
        csf=csf,
        lesion=rng.uniform(1.3, 2.3),
        bone=rng.uniform(0, 0.3),
        marrow=rng.uniform(0.25, 1.5),
        fat=fat,
        orbital_fat=rng.uniform(0.3, 2.2) if suppressed else fat * rng.uniform(0.7, 1.2),
        muscle=rng.uniform(0.25, 1.0),
        dura=rng.uniform(0.2, 1.6),
        vessel=rng.uniform(0, 2.0),
        eye=csf * rng.uniform(0.6, 2.0),
        air=rng.uniform(0, 0.06),
    )
