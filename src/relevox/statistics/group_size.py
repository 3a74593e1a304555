"""How much of an R2 is the size of the group: observed beside expected (SPEC 6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np


@dataclass(frozen=True)
class SizeEffect:
    """One group looks better explained than another, and what is left when chance is taken off."""

    larger: str
    """The group with the larger R2."""
    smaller: str
    """The group with the smaller one."""
    difference: float
    """Of the observed R2, > 0."""
    expected: float
    """Of the R2 that chance alone gives groups of these sizes."""

    @property
    def left(self) -> float:
        """What the sizes do not explain; 0 or below: they explain all of it."""
        return self.difference - self.expected


def size_effects(observed: Mapping[str, float], expected: Mapping[str, float], least: float = 0.5) -> list[SizeEffect]:
    """Find the differences between groups that are there because one of them is small.

    Parameters
    ----------
    observed, expected : mapping of group to float
        Mean R2 over the voxels, and its mean without any effect.
    least : float
        Only differences of which chance explains this share, or more.

    Returns
    -------
    list of SizeEffect
        One for each group that looks better explained, against the group from which it differs most; largest
        observed difference first.

    Examples
    --------
    >>> found = size_effects({"TP": 0.10, "FN": 0.25}, {"TP": 0.05, "FN": 0.22})
    >>> [(e.larger, e.smaller, round(e.left, 2)) for e in found]
    [('FN', 'TP', -0.02)]
    """
    known = [g for g in observed if np.isfinite(observed[g]) and np.isfinite(expected.get(g, np.nan))]
    pairs = [SizeEffect(a, b, observed[a] - observed[b], expected[a] - expected[b]) for a, b in permutations(known, 2)]
    found = [e for e in pairs if e.difference > 0 and e.expected >= least * e.difference]
    found.sort(key=lambda e: -e.difference)
    return [e for i, e in enumerate(found) if e.larger not in {earlier.larger for earlier in found[:i]}]
