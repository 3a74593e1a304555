"""How bright bone, fat, muscle and the rest of the head are under a scanner's protocol.

The brain's tissues have their relaxation times in ``contrast``; here are those
around it, and the same signal equations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relevox.phantom.contrast import RELAXATION, Scanner, Tissue, flair_signal, mprage_signal, tissue_signals
from relevox.phantom.head_contrast import Contrast

_AROUND: Mapping[float, Mapping[str, Tissue]] = {
    1.5: {
        # a train of refocusing pulses keeps fat bright: T2 as it appears there
        "fat": Tissue(290, 130, 0.95),
        "muscle": Tissue(900, 45, 0.80),
        "marrow": Tissue(450, 90, 0.70),
        "bone": Tissue(500, 2, 0.15),
        "eye": Tissue(3900, 1600, 1.0),
        "mucosa": Tissue(1100, 110, 0.9),
        "vessel": Tissue(1450, 150, 0.9),
        "dura": Tissue(900, 50, 0.6),
    },
    3.0: {
        "fat": Tissue(370, 110, 0.95),
        "muscle": Tissue(1300, 38, 0.80),
        "marrow": Tissue(550, 75, 0.70),
        "bone": Tissue(600, 2, 0.15),
        "eye": Tissue(4000, 1500, 1.0),
        "mucosa": Tissue(1500, 95, 0.9),
        "vessel": Tissue(1700, 100, 0.9),
        "dura": Tissue(1200, 45, 0.6),
    },
}
"""Relaxation around the brain by field strength in tesla."""

_FLOW_VOID = 0.06
"""Blood that left the slice before the echo, on FLAIR."""

_SUPPRESSED = 0.12
"""What fat saturation leaves of fat."""


@dataclass(frozen=True)
class NativeContrast(Contrast):
    """Intensity of each tissue, white matter = 1."""

    mucosa: float
    """Of nose and sinuses."""


def native_contrast(scanner: Scanner, kind: str, fat_suppressed: bool = False) -> NativeContrast:
    """Return the intensities of a whole head on one scanner.

    Parameters
    ----------
    scanner : Scanner
        Field strength and timing.
    kind : str
        ``t1w`` or ``flair``.
    fat_suppressed : bool
        Whether fat was saturated, as is usual for FLAIR; the orbits keep a third of it.

    Returns
    -------
    NativeContrast
    """
    grey, white, csf, lesion = (float(value) for value in tissue_signals(scanner)[kind])
    signal, timing = (mprage_signal, scanner.mprage) if kind == "t1w" else (flair_signal, scanner.flair)
    reference = signal(RELAXATION[scanner.field_strength_t]["white"], timing)
    around = {
        name: float(signal(tissue, timing) / reference) for name, tissue in _AROUND[scanner.field_strength_t].items()
    }
    if kind == "flair":
        around["vessel"] = _FLOW_VOID
    orbital_fat = around["fat"]
    if fat_suppressed:
        orbital_fat *= 0.35
        around["fat"] *= _SUPPRESSED
        around["marrow"] *= 0.4
    return NativeContrast(white=white, grey=grey, csf=csf, lesion=lesion, orbital_fat=orbital_fat, air=0.0, **around)
