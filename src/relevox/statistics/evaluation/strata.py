"""Into which groups a cohort falls: by scanner, field strength, sex, age and course of the disease."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from relevox.records import Cohort, ScanId
from relevox.statistics.subgroups import bands

UNKNOWN = "unknown"
"""How the tables call the level of a scan whose value is not known."""

MS_TYPE = "ms_type"
"""Characteristic that is a factor too, where the cohort's tables have it."""


def strata_of(
    cohort: Cohort,
    scans: Sequence[ScanId],
    age_edges: Sequence[float],
    characteristics: Mapping[str, Sequence[str]] | None = None,
) -> Mapping[str, np.ndarray]:
    """Return the level of every scan for each factor, ``(n,)`` of str; empty where unknown.

    Parameters
    ----------
    cohort : Cohort
        Holds every scan that is asked for.
    scans : sequence of ScanId
        In the order of the answers (:func:`.answers.scans_of`).
    age_edges : sequence of float
        Years; a band includes its lower edge.
    characteristics : mapping of str to sequence of str, optional
        Further columns in the cohort's order; ``ms_type`` is used.

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
    if MS_TYPE in (characteristics or {}):
        course = dict(zip(cohort.ids, characteristics[MS_TYPE], strict=True))
        found[MS_TYPE] = np.array([course[scan] for scan in scans])
    return {name: levels for name, levels in found.items() if (levels != "").any()}


def level_order(level: str) -> tuple[bool, float, str]:
    """Sort levels as a reader would: by their number where they begin with one, unknown last.

    Examples
    --------
    >>> sorted(["unknown", ">= 50", "30 to < 50", "< 30"], key=level_order)
    ['< 30', '30 to < 50', '>= 50', 'unknown']
    """
    found = re.match(r"(< |>= )?(\d+(?:\.\d+)?)(?: |$)", level)
    number = np.inf if found is None else -np.inf if found[1] == "< " else float(found[2])
    return level in ("", UNKNOWN), number, level
