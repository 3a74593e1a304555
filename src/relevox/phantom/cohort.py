"""Who is in a simulated cohort: patients, visits, and how much of every disease sign they have.

Everything random about the patients is drawn here, before any image exists
and before anybody is labelled. Images apply what was drawn, so that they can
be made in any order and on any number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from relevox.config import PhantomSettings
from relevox.phantom import disability
from relevox.phantom.atrophy import TISSUES, VENTRICLES
from relevox.phantom.disease import NORMALS, divided, signs
from relevox.records import ScanId

SCORE_WINDOW_DAYS = 183
"""The EDSS is dated at most this many days after the scan (paper 2.1)."""

_MS_TYPES = ("CIS", "RR", "SP")
_MS_TYPE_SHARES = (0.39, 0.48, 0.13)
_FIRST_SCAN = date(2010, 1, 1)
_RECRUITMENT_DAYS = 3300


@dataclass(frozen=True)
class PlannedScan:
    """One scan as drawn, without an image; the fields from ``unexplained`` on are the label's (:mod:`labels`)."""

    id: ScanId
    """Patient and session."""
    index: int
    """Number of the patient; seeds what belongs to the patient."""
    visit: int
    """Number of the scan, 0 = first; seeds what belongs to the scan."""
    sex: str
    """``F`` or ``M``."""
    ms_type: str
    """``CIS``, ``RR`` or ``SP``."""
    age_years: float
    """At the scan."""
    disease_duration_years: float
    """Since the first attack."""
    scan_date: date
    """Of the scan."""
    score_date: date
    """Of the EDSS."""
    intracranial_ml: float
    """Native intracranial volume."""
    change: Mapping[str, float]
    """Loss of the logarithm of a tissue's share of the head, growth for the ventricles (``atrophy.TISSUES``)."""
    periventricular_ml: float
    """Native volume of lesions within 10 mm of the ventricles."""
    other_ml: float
    """Native volume of the other lesions."""
    unexplained: float = np.nan
    """What the causes do not explain, in standard deviations; the patient's own at every visit."""
    label_draw: int = 0
    """Number of the draw of labels, scanners and image noise; seeds the noise."""
    latent: float = np.nan
    """Standardised weighted sum of the causes."""
    probability: float = np.nan
    """p(y = 1) given the causes."""
    score: float = np.nan
    """Observed EDSS or PDDS."""
    scanner: int = 0
    """Number in ``contrast.ALL_SCANNERS``."""
    later: tuple[tuple[date, float], ...] = ()
    """Date and score of every later visit without a scan; first scans only."""

    @property
    def label(self) -> int:
        """1 where the score is 3 or more."""
        return int(self.score >= disability.THRESHOLD)


def draw_patients(settings: PhantomSettings, seed: int) -> tuple[PlannedScan, ...]:
    """Draw all scans of a cohort, sorted by patient and session, without labels.

    Parameters
    ----------
    settings : PhantomSettings
        Size of the cohort and spread of the causes. Nothing here depends on the label model.
    seed : int
        The same seed gives the same cohort; a patient's anatomy does not depend on the others.

    Returns
    -------
    tuple of PlannedScan
    """
    last = settings.first_patient + settings.n_patients
    digits = max(3, len(str(last)))
    scans = []
    for index in range(settings.first_patient, last):
        first = _draw_patient(index, f"sub-{index + 1:0{digits}d}", settings, seed)
        scans.append(first)
        if index < settings.first_patient + settings.n_repeated:
            scans.append(_follow_up(first, settings, seed))
    return tuple(scans)


def _draw_patient(index: int, participant: str, settings: PhantomSettings, seed: int) -> PlannedScan:
    rng = np.random.default_rng([seed, 1, index])
    drawn = signs(rng.standard_normal((1, len(NORMALS))), settings.effect, settings.location_spread)
    years = float(drawn.years[0])
    scan_date = _FIRST_SCAN + timedelta(days=int(rng.integers(_RECRUITMENT_DAYS)))
    return PlannedScan(
        id=ScanId(participant, "ses-01"),
        index=index,
        visit=0,
        sex="F" if rng.random() < 0.65 else "M",
        ms_type=str(rng.choice(_MS_TYPES, p=_MS_TYPE_SHARES)),
        age_years=float(np.clip(rng.normal(32.3, 8.5), 14, 50) + years),
        disease_duration_years=years,
        scan_date=scan_date,
        score_date=scan_date + timedelta(days=int(rng.integers(SCORE_WINDOW_DAYS + 1))),
        intracranial_ml=float(drawn.intracranial_ml[0]),
        change={tissue: float(amount[0]) for tissue, amount in drawn.change.items()},
        periventricular_ml=float(drawn.periventricular_ml[0]),
        other_ml=float(drawn.other_ml[0]),
    )


def _follow_up(first: PlannedScan, settings: PhantomSettings, seed: int) -> PlannedScan:
    """One to four years on: more lesions of both kinds, larger ventricles, less cortex."""
    rng = np.random.default_rng([seed, 2, first.index])
    days = int(rng.integers(365, 4 * 365))
    years = days / 365.25
    more = np.exp(0.06 * years)
    inner, outer = divided(first.periventricular_ml * more, first.other_ml * more)
    scan_date = first.scan_date + timedelta(days=days)
    yearly = dict.fromkeys(TISSUES, 0.004) | {VENTRICLES: 0.03}
    return replace(
        first,
        id=ScanId(first.id.participant, "ses-02"),
        visit=1,
        age_years=first.age_years + years,
        disease_duration_years=first.disease_duration_years + years,
        scan_date=scan_date,
        score_date=scan_date + timedelta(days=int(rng.integers(SCORE_WINDOW_DAYS + 1))),
        change={region: amount + yearly[region] * years for region, amount in first.change.items()},
        periventricular_ml=float(inner),
        other_ml=float(outer),
    )
