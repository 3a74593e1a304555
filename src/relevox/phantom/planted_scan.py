"""One scan with its signals: where they lie is drawn first, then they are put in or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from relevox.phantom.plant import add_blobs, blob, deform, draw_centre

Place = tuple[int, int, int] | int
"""Of a blob its middle voxel; of atrophy the label of the region."""


@dataclass(frozen=True)
class Planter:
    """Puts signals of one kind into scans that lie in template space."""

    regions: np.ndarray
    """``(x, y, z)`` int labels of the template; 0 is no region."""
    region: int
    """Where the signal of class 1 lies."""
    elsewhere: tuple[int, ...]
    """Regions in which decoys may lie."""
    strength: float
    """Of a blob its contrast, of atrophy the loss of log volume."""
    voxel_size_mm: float
    """Edge of a voxel."""
    radius_mm: float = 0.0
    """Of a blob."""
    velocities: Mapping[int, np.ndarray] | None = None
    """Flow of each region for a loss of 1 (:func:`.plant.loss_velocity`); None for blobs."""

    def draw(self, brain_mask: np.ndarray, label: int, rng: np.random.Generator) -> tuple[Place, Place]:
        """Draw the places of a scan's two signals; the first lies in the region where the label is 1.

        Parameters
        ----------
        brain_mask : ndarray, (x, y, z) bool
            Of the scan.
        label : int
            1: signal and decoy; 0: two decoys.
        rng : Generator
            The scan's own.
        """
        if self.velocities is not None:
            first, second = rng.permutation(self.elsewhere)[:2].tolist()
            return (self.region if label else first), second
        inside = brain_mask & (self.regions == self.region)
        outside = brain_mask & np.isin(self.regions, self.elsewhere)
        wanted = (inside if label and inside.any() else outside), outside
        return tuple(tuple(draw_centre(mask, self.radius_mm, self.voxel_size_mm, rng).tolist()) for mask in wanted)

    def insert(self, x: np.ndarray, places: Sequence[Place]) -> np.ndarray:
        """Put signals into a scan.

        Parameters
        ----------
        x : ndarray, (2, x, y, z)
            T1w and FLAIR; 0 outside the brain.
        places : sequence of Place
            Which; none leaves the scan as it is.

        Returns
        -------
        ndarray, (2, x, y, z) float32
        """
        x = np.asarray(x, dtype=np.float32)
        if not places:
            return x
        if self.velocities is not None:
            return deform(x, self.strength * sum(self.velocities[place] for place in places), self.voxel_size_mm)
        blobs = [blob(x.shape[1:], place, self.radius_mm, self.voxel_size_mm) for place in places]
        return add_blobs(x, brain_of(x), blobs, self.strength)


def brain_of(x: np.ndarray) -> np.ndarray:
    """Return where a scan ``(c, x, y, z)`` is not background, ``(x, y, z)`` bool."""
    return (np.asarray(x) != 0).any(axis=0)
