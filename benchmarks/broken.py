"""Ways to break a scan on purpose, as it happens in archives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from relevox.engines.brain import move_mask
from relevox.imaging.crop import Grid
from relevox.imaging.resample import resample
from relevox.records import Volume


@dataclass(frozen=True)
class Pair:
    """A raw T1w and FLAIR with what is known to be right about them."""

    t1w: Volume
    """``(x, y, z)``."""
    flair: Volume
    """``(x, y, z)``."""
    brain: np.ndarray | None
    """``(x, y, z)`` bool on the T1w's grid; None where the scan has no right answer any more."""
    flair_to_t1w: np.ndarray | None
    """``(4, 4)`` from a T1w point to the FLAIR point; None where no alignment is right."""
    wrong_t1w: bool = False
    """Whether the T1w itself lies where no affine map makes it right."""


def foreign_flair(pair: Pair, other: Pair) -> Pair:
    """Take the FLAIR of another patient."""
    return replace(pair, flair=other.flair, flair_to_t1w=None)


def turned_flair(pair: Pair, other: Pair) -> Pair:
    """Nod the FLAIR by 25 degrees about its centre, by its header."""
    turn = _about_centre(pair.flair, 25)
    flair = Volume(pair.flair.data, turn @ pair.flair.affine)
    return replace(pair, flair=flair, flair_to_t1w=turn @ pair.flair_to_t1w)


def flair_upside_down(pair: Pair, other: Pair) -> Pair:
    """Say in the FLAIR's header that its slices run the other way: a mirrored head, which no rotation mends."""
    return replace(pair, flair=_mirrored(pair.flair), flair_to_t1w=None)


def t1w_upside_down(pair: Pair, other: Pair) -> Pair:
    """The same for the T1w."""
    return replace(pair, t1w=_mirrored(pair.t1w), brain=None, flair_to_t1w=None, wrong_t1w=True)


def thick_slices(pair: Pair, other: Pair) -> Pair:
    """Average both images to slices of 5 mm."""
    t1w, flair = _thick(pair.t1w), _thick(pair.flair)
    grid = Grid(t1w.data.shape, t1w.affine)
    return replace(pair, t1w=t1w, flair=flair, brain=move_mask(Volume(pair.brain, pair.t1w.affine), grid, np.eye(4)))


def no_skull(pair: Pair, other: Pair) -> Pair:
    """Cut both brains out, by the reference mask."""
    grid = Grid(pair.flair.data.shape, pair.flair.affine)
    on_flair = move_mask(Volume(pair.brain, pair.t1w.affine), grid, np.linalg.inv(pair.flair_to_t1w))
    return replace(
        pair,
        t1w=Volume(pair.t1w.data * pair.brain, pair.t1w.affine),
        flair=Volume(pair.flair.data * on_flair, pair.flair.affine),
    )


def strong_bias(pair: Pair, other: Pair) -> Pair:
    """Make the front four times as bright as the back, and one side twice the other, on both images."""
    return replace(pair, t1w=_uneven(pair.t1w), flair=_uneven(pair.flair))


def swapped(pair: Pair, other: Pair) -> Pair:
    """Give the FLAIR as T1w and the T1w as FLAIR."""
    grid = Grid(pair.flair.data.shape, pair.flair.affine)
    on_flair = move_mask(Volume(pair.brain, pair.t1w.affine), grid, np.linalg.inv(pair.flair_to_t1w))
    return Pair(pair.flair, pair.t1w, on_flair, np.linalg.inv(pair.flair_to_t1w), wrong_t1w=True)


BROKEN: dict[str, Callable[[Pair, Pair], Pair]] = {
    "nothing": lambda pair, other: pair,
    "FLAIR of another patient": foreign_flair,
    "FLAIR turned by 25 degrees": turned_flair,
    "FLAIR upside down": flair_upside_down,
    "T1w upside down": t1w_upside_down,
    "T1w and FLAIR swapped": swapped,
    "slices of 5 mm": thick_slices,
    "no skull": no_skull,
    "strong bias field": strong_bias,
}
"""By name; each takes a pair and another patient's."""


def _about_centre(volume: Volume, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    centre = volume.affine[:3, :3] @ ((np.array(volume.data.shape) - 1) / 2) + volume.affine[:3, 3]
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    return turn


def _mirrored(volume: Volume) -> Volume:
    """Turn the slices round without telling the header; what is read is RAS+ again, as ``store.images`` does."""
    return Volume(np.ascontiguousarray(volume.data[:, :, ::-1]), volume.affine)


def _thick(volume: Volume, thickness_mm: float = 5.0) -> Volume:
    size = volume.voxel_size_mm[2]
    factor = thickness_mm / size
    smooth = ndimage.uniform_filter1d(volume.data, max(1, round(factor)), axis=2)
    shape = (*volume.data.shape[:2], int(volume.data.shape[2] / factor))
    step = np.diag([1, 1, factor, 1.0])
    step[2, 3] = (factor - 1) / 2
    affine = volume.affine @ step
    return Volume(resample(Volume(smooth, volume.affine), Grid(shape, affine)), affine)


def _uneven(volume: Volume) -> Volume:
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in volume.data.shape), indexing="ij", sparse=True)
    return Volume((volume.data * np.exp(np.log(2) * y + 0.5 * np.log(2) * x)).astype(np.float32), volume.affine)
