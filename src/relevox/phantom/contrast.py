"""Contrast: what a tissue's relaxation times look like under each scanner's protocol (paper, Table 1).

T1w is an MPRAGE, FLAIR a fluid-attenuated inversion recovery. Echo,
repetition and inversion times are Table 1's; what the table leaves out (flip
angle, echo spacing, echoes per train) is the manufacturer's usual choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

TISSUES = ("grey", "white", "csf", "lesion")
"""Order of signals."""


class Tissue(NamedTuple):
    """Relaxation of one tissue at one field strength."""

    t1_ms: float
    """Longitudinal relaxation time."""
    t2_ms: float
    """Transverse relaxation time."""
    proton_density: float
    """Relative to water."""


class Sequence(NamedTuple):
    """Timing of one sequence."""

    repetition_ms: float
    """TR."""
    echo_ms: float
    """TE."""
    inversion_ms: float
    """TI."""


class Scanner(NamedTuple):
    """One scanner and its protocol."""

    name: str
    """Model, as in Table 1."""
    field_strength_t: float
    """Tesla."""
    mprage: Sequence
    """T1w."""
    flair: Sequence
    """T2-FLAIR, 2D."""
    noise: float
    """SD of the noise in a voxel of 4 mm, as a share of white matter's signal."""


SCANNERS = (
    Scanner("Avanto", 1.5, Sequence(1980, 3.1, 1100), Sequence(8500, 92, 2439), 0.020),
    Scanner("Avanto Fit", 1.5, Sequence(2300, 3.05, 900), Sequence(8500, 99, 2440), 0.018),
    Scanner("Symphony", 1.5, Sequence(2700, 4.8, 850), Sequence(9000, 114, 2500), 0.022),
    Scanner("Symphony Tim", 1.5, Sequence(1980, 3.08, 1100), Sequence(8500, 95, 2440), 0.020),
    Scanner("Tim Trio", 3.0, Sequence(2300, 2.98, 900), Sequence(9000, 87, 2500), 0.013),
)
"""Table 1."""

# 3D FLAIR at 3 T (paper 2.1.2). Table 1 prints TR 2300 and TE 392 for it: at TI 1800 fluid is only dark with a TR near
# 5000, and the train of varying flip angles weighs T2 as a spin echo near 120 ms does. The paper names no model.
_MPRAGE_3T, _FLAIR_3D = Sequence(2300, 2.98, 900), Sequence(5000, 120, 1800)
EXTERNAL_SCANNERS = (
    Scanner("Skyra", 3.0, _MPRAGE_3T, _FLAIR_3D, 0.012),
    Scanner("Prisma", 3.0, _MPRAGE_3T, _FLAIR_3D, 0.010),
    Scanner("Verio", 3.0, _MPRAGE_3T, _FLAIR_3D, 0.014),
    Scanner("Biograph mMR", 3.0, _MPRAGE_3T, _FLAIR_3D, 0.014),
)
"""Of an external cohort: other models, one protocol."""

ALL_SCANNERS = SCANNERS + EXTERNAL_SCANNERS
"""Scans name their scanner by its number here."""

# CSF's T1 is long: 4.2 s is what these inversion times null.
RELAXATION: Mapping[float, Mapping[str, Tissue]] = {
    1.5: {
        "grey": Tissue(1050, 95, 0.86),
        "white": Tissue(640, 78, 0.77),
        "csf": Tissue(4200, 1990, 1.0),
        "lesion": Tissue(950, 150, 0.84),
    },
    3.0: {
        "grey": Tissue(1400, 90, 0.86),
        "white": Tissue(850, 72, 0.77),
        "csf": Tissue(4300, 1990, 1.0),
        "lesion": Tissue(1260, 140, 0.84),
    },
}
"""Relaxation by field strength in tesla; lesions have lost myelin (long T1) and hold water (long T2)."""

_FLIP_ANGLE_DEG, _ECHO_SPACING_MS, _ECHOES = 9.0, 7.0, 176


def mprage_signal(tissue: Tissue, sequence: Sequence) -> float:
    """Return the steady-state signal of an MPRAGE at the centre of its echo train.

    Between pulses the magnetisation always moves exponentially to a limit, so
    every stretch is an affine map m -> limit + (m - limit) * decay: inversion,
    recovery, half the train (centre of k-space), the other half, recovery. The steady
    state is the fixed point of their composition.

    Parameters
    ----------
    tissue : Tissue
        Relaxation.
    sequence : Sequence
        Timing.

    Returns
    -------
    float
        Magnitude, relative to water's equilibrium magnetisation.
    """
    train_ms = _ECHOES * _ECHO_SPACING_MS
    before_ms = sequence.inversion_ms - train_ms / 2
    after_ms = sequence.repetition_ms - before_ms - train_ms
    cosine, decay = np.cos(np.radians(_FLIP_ANGLE_DEG)), np.exp(-_ECHO_SPACING_MS / tissue.t1_ms)
    pulses = _Step((1 - decay) / (1 - cosine * decay), (cosine * decay) ** (_ECHOES / 2))
    to_centre = [
        _Step(0.0, -1.0),
        _Step(1.0, np.exp(-before_ms / tissue.t1_ms)),
        pulses,
    ]
    rest = [pulses, _Step(1.0, np.exp(-after_ms / tissue.t1_ms))]
    # m_end = slope * m_start + offset; in the steady state they are equal
    slope = float(np.prod([step.decay for step in to_centre + rest]))
    offset = _follow(0.0, to_centre + rest)
    centre = _follow(offset / (1 - slope), to_centre)
    return abs(centre) * tissue.proton_density * np.exp(-sequence.echo_ms / tissue.t2_ms)


def flair_signal(tissue: Tissue, sequence: Sequence) -> float:
    """Return the signal of an inversion recovery with a spin echo: PD |1 - 2 e^(-TI/T1) + e^(-TR/T1)| e^(-TE/T2).

    Parameters
    ----------
    tissue : Tissue
        Relaxation.
    sequence : Sequence
        Timing.

    Returns
    -------
    float
        Magnitude, relative to water's equilibrium magnetisation.
    """
    inversion, repetition = sequence.inversion_ms / tissue.t1_ms, sequence.repetition_ms / tissue.t1_ms
    recovered = abs(1 - 2 * np.exp(-inversion) + np.exp(-repetition))
    return tissue.proton_density * recovered * np.exp(-sequence.echo_ms / tissue.t2_ms)


def tissue_signals(scanner: Scanner) -> dict[str, np.ndarray]:
    """Return the signals of ``TISSUES`` on one scanner, white matter = 1.

    Parameters
    ----------
    scanner : Scanner
        Field strength and timing.

    Returns
    -------
    dict
        ``t1w`` and ``flair``: ``(4,)`` each.
    """
    relaxation = RELAXATION[scanner.field_strength_t]
    t1w = np.array([mprage_signal(relaxation[name], scanner.mprage) for name in TISSUES])
    flair = np.array([flair_signal(relaxation[name], scanner.flair) for name in TISSUES])
    white = TISSUES.index("white")
    return {"t1w": t1w / t1w[white], "flair": flair / flair[white]}


class _Step(NamedTuple):
    limit: float
    decay: float


def _follow(magnetisation: float, steps: list[_Step]) -> float:
    for step in steps:
        magnetisation = step.limit + (magnetisation - step.limit) * step.decay
    return magnetisation
