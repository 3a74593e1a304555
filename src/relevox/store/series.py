"""Which series of an examination is the T1w, which the FLAIR: by what its sidecar says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = ("T1w", "FLAIR")

MIN_SLICES = 10
"""A series of fewer slices is a localizer, or a part."""

KEPT = (
    "Modality",
    "Manufacturer",
    "ManufacturersModelName",
    "MagneticFieldStrength",
    "MRAcquisitionType",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "SliceThickness",
    "SpacingBetweenSlices",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "FlipAngle",
    "EchoTrainLength",
    "PixelBandwidth",
    "ConversionSoftware",
    "ConversionSoftwareVersion",
)
"""Fields of a sidecar that say how an image was made, not of whom, when or where. All others are dropped."""

_PLAIN = re.compile(r"[A-Za-z0-9 ._+/()-]{1,40}")
_AFTER_CONTRAST = re.compile(
    r"(?<![a-z])(gd|gado\w*|ce|km|mdc|contrast|post|c\+|dotarem|gadovist)(?![a-z])|\+ ?(c|gd|km)\b"
)
_NOT_ANATOMY = re.compile(
    r"loc|scout|survey|b1|calib|dwi|dti|diff|adc|trace|swi|tof|angio|perf|asl|bold|fmri|epi\b|mip|mpr\b|reformat|phase"
)
_LOOKS_T1 = re.compile(r"t1|mp2?rage|bravo|f?spgr|tfl3d|tfe")
_LOOKS_FLAIR = re.compile(r"flair|dark[ _-]?fluid|tirm|cube_?t2_?flair|space_?fl|vista_?flair")
_LOOKS_T2 = re.compile(r"t2(?!.*t1)|\bpd\b|proton")


@dataclass(frozen=True)
class Series:
    """One converted series."""

    image: Path
    """NIfTI beside the sidecar."""
    sidecar: Mapping[str, object] = field(repr=False)
    """As dcm2niix wrote it: **with names and dates**."""
    shape: tuple[int, ...]
    """Voxels."""

    @property
    def number(self) -> int:
        """Of the series in its examination."""
        return int(self._of("SeriesNumber") or 0)

    @property
    def words(self) -> str:
        """What the scanner's user called it."""
        names = (str(self.sidecar.get(key, "")) for key in ("SeriesDescription", "ProtocolName"))
        return " ".join(dict.fromkeys(name for name in names if name))

    def _of(self, key: str) -> float | None:
        value = self.sidecar.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    def describe(self) -> str:
        """Say what a person needs to choose among series: number, name, times."""
        times = ", ".join(
            f"{short} {1000 * value:g} ms"
            for short, key in (("TR", "RepetitionTime"), ("TE", "EchoTime"), ("TI", "InversionTime"))
            if (value := self._of(key)) is not None
        )
        after = " after contrast agent" if self.is_after_contrast() else ""
        return f"series {self.number} {self.words!r} ({' x '.join(map(str, self.shape))}; {times or 'no times'}){after}"

    def is_after_contrast(self) -> bool:
        """Tell whether a contrast agent was given, by the series' name.

        (dcm2niix does not hand on the agent's own field; where a sidecar has it all the same, it counts.)
        """
        agent = str(self.sidecar.get("ContrastBolusAgent", "")).strip().lower()
        return agent not in ("", "no", "none", "n") or bool(_AFTER_CONTRAST.search(self.words.lower()))

    def suffix(self) -> str:
        """Return ``T1w`` or ``FLAIR``, or empty text for any other series.

        Times decide where they are known: a T2-FLAIR has a long inversion (1.5 s or more) and a long echo
        (60 ms or more); a T1w image has a short echo (below 35 ms) and no long inversion. Names decide the rest.
        """
        words = self.words.lower()
        kinds = {str(kind).upper() for kind in self.sidecar.get("ImageType") or ()}
        if len(self.shape) != 3 or min(self.shape) < MIN_SLICES or _NOT_ANATOMY.search(words):
            return ""
        if kinds & {"DERIVED", "PHASE", "P", "LOCALIZER", "PROJECTION IMAGE", "MPR", "REAL", "IMAGINARY"}:
            return ""
        echo, inversion = self._of("EchoTime"), self._of("InversionTime")
        long_inversion = None if inversion is None else inversion >= 1.5
        long_echo = None if echo is None else echo >= 0.06
        named_flair, named_t1 = bool(_LOOKS_FLAIR.search(words)), bool(_LOOKS_T1.search(words))
        if long_inversion and long_echo is not False:
            return "FLAIR"
        if named_flair and not named_t1 and long_inversion is not False and long_echo is not False:
            return "FLAIR"
        if named_t1 and not long_inversion and (echo is None or echo < 0.035):
            return "T1w"
        magnetisation_prepared = inversion is not None and 0.3 <= inversion < 1.5 and echo is not None and echo < 0.015
        return "T1w" if magnetisation_prepared and not (named_flair or _LOOKS_T2.search(words)) else ""


def without_identity(sidecar: Mapping[str, object]) -> dict[str, object]:
    """Keep the fields of ``KEPT``, and of those only numbers and short plain words."""
    kept = {}
    for key in KEPT:
        value = sidecar.get(key)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number or (isinstance(value, str) and _PLAIN.fullmatch(value)):
            kept[key] = value
    return kept
