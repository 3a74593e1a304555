"""Into which groups a cohort falls: by scanner, field strength, sex, age and course of the disease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relevox.records import Cohort, ScanId
from relevox.statistics.subgroups import bands

FACTORS = ("scanner", "field_strength", "sex", "age")
"""What a cohort is divided by, where it is known."""


def strata_of(cohort: Cohort, scans: Sequence[ScanId], age_edges: Sequence[float]) -> Mapping[str, np.ndarray]:
    """Return the level of every scan for each factor, ``(n,)`` of str; empty where unknown.

    Parameters
    ----------
    cohort : Cohort
        Holds every scan that is asked for.
    scans : sequence of ScanId
        In the order of the answers (:func:`.answers.scans_of`).
    age_edges : sequence of float
        Years; a band includes its lower edge.

    Returns
    -------
    mapping of str to ndarray
        Factors that are known for no scan are left out.
    """
    of = {observation.id: observation for observation in cohort}
    rows = [of[scan] for scan in scans]
    found = {
        "scanner": np.array([o.scanner for o in rows]),
        "field_strength": np.array([f"{o.field_strength_t:g} T" if o.field_strength_t > 0 else "" for o in rows]),
        "sex": np.array([{"F": "female", "M": "male"}.get(o.sex, "") for o in rows]),
        "age": bands([o.age_years for o in rows], age_edges),
    }
    return {name: levels for name, levels in found.items() if (levels != "").any()}
