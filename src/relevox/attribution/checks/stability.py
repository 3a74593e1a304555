"""Do several networks give one map of the same scan?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from relevox.attribution.checks.similarity import Similarity, similarity


@dataclass(frozen=True)
class Agreement:
    """Maps of one scan by m networks, pair by pair."""

    pairs: tuple[tuple[int, int], ...]
    """Which two networks."""
    similarities: tuple[Similarity, ...]
    """One a pair."""

    def mean(self, measure: str, among: Sequence[int] | None = None, with_: int | None = None) -> float:
        """Average a measure over pairs; NaN where no pair has a value.

        Parameters
        ----------
        measure : str
            A field of :class:`Similarity`.
        among : sequence of int, optional
            Only pairs of which both are these networks.
        with_ : int, optional
            Only pairs with this network.
        """
        values = [
            getattr(found, measure)
            for pair, found in zip(self.pairs, self.similarities, strict=True)
            if (among is None or set(pair) <= set(among)) and (with_ is None or with_ in pair)
        ]
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")


def agreement(maps: np.ndarray) -> Agreement:
    """Compare the maps of one scan.

    Parameters
    ----------
    maps : array-like, (m, v)
        Relevance for one class, by m networks, over the voxels of the brain.

    Examples
    --------
    >>> found = agreement([[0.0, 1.0, 2.0], [0.0, 2.0, 4.0], [2.0, 1.0, 0.0]])
    >>> found.pairs, round(found.mean("pearson"), 3), found.mean("pearson", among=[0, 1])
    (((0, 1), (0, 2), (1, 2)), -0.333, 1.0)
    """
    maps = np.asarray(maps)
    pairs = tuple(combinations(range(len(maps)), 2))
    return Agreement(pairs, tuple(similarity(maps[a], maps[b]) for a, b in pairs))
