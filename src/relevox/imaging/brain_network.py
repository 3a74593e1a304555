"""Find the brain in a head: a small network of our own, and what follows it.

The network was trained on simulated heads alone (``relevox
train-brain-network``): any contrast, any resolution. It sees the scan on a
3 mm grid and gives each voxel's signed distance to the brain's surface, which
is carried back to the scan's own voxels. Its idea is SynthStrip's (Hoopes et
al., NeuroImage 2022); its weights are ours and travel in the package.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import safetensors.torch
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from relevox.errors import ImageError, ModelError
from relevox.imaging.crop import Grid
from relevox.imaging.resample import resample
from relevox.records import Volume

VOXEL_SIZE_MM = 3.0
"""Edge of the network's grid."""
DISTANCE_UNIT_MM = 5.0
"""The last layer's unit: keeps the weights near the size of the others."""
WIDTHS = (24, 48, 96)
"""Channels at 6, 12 and 24 mm."""
CORE_MM, REACH_MM = 3.0, 8.0
"""The brain is the largest piece deeper than the first, and what lies within the second of it."""
FAR_MM = 6.0
"""Distance given to what was thrown out; beyond it a voxel is clearly not brain."""
AIR_MARGIN_MM = 6.0
"""Kept around the head when air is set to zero."""
HEAD_HEIGHT_MM = 220.0
"""What lies farther below the top of the head is neck and chest."""
STRIPPED_SHARE = 0.12
"""A scan with less of its tissue clearly outside the brain is already stripped.

Measured: 0.30 to 0.35 in real scans with their heads, 0.04 to 0.05 in stripped ones."""
MIN_BRAIN_ML = 200.0
"""Less than this is not a brain."""


class ConvolutionPair(nn.Module):
    """Twice: convolution, instance normalisation, LeakyReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(n_in, n_out, 3, padding=1)
        self.first_norm = nn.InstanceNorm3d(n_out, affine=True)
        self.second = nn.Conv3d(n_out, n_out, 3, padding=1)
        self.second_norm = nn.InstanceNorm3d(n_out, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, n_in, x, y, z)`` to ``(n, n_out, x, y, z)``."""
        x = F.leaky_relu(self.first_norm(self.first(x)), 0.1)
        return F.leaky_relu(self.second_norm(self.second(x)), 0.1)


class BrainNetwork(nn.Module):
    """A U-Net on blocks of 2 x 2 x 2 voxels: image in, signed distance out.

    Turning each block into eight channels (and back at the end) halves the
    grid without losing a voxel: four times faster on a processor than the
    same U-Net on the full grid.

    Parameters
    ----------
    widths : tuple of int
        Channels per level; each level halves the grid.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.down = nn.ModuleList(
            ConvolutionPair(n_in, n_out) for n_in, n_out in zip((8, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            ConvolutionPair(coarse + fine, fine) for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.out = nn.Conv3d(widths[0], 8, 1)

    @property
    def multiple(self) -> int:
        """Every side of the input is a multiple of this."""
        return 2 ** len(self.widths)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Predict distances.

        Parameters
        ----------
        image : torch.Tensor
            ``(n, 1, x, y, z)`` on the 3 mm grid, normalised by :func:`normalise`;
            sides are multiples of ``multiple``.

        Returns
        -------
        torch.Tensor
            ``(n, 1, x, y, z)`` signed distance to the brain's surface in
            millimetres, > 0 inside; meaningful within about 12 mm.
        """
        x = _blocks_to_channels(image)  # (n, 8, x/2, y/2, z/2)
        skipped = []
        for number, pair in enumerate(self.down):
            x = pair(x if number == 0 else F.max_pool3d(x, 2))
            skipped.append(x)
        for pair, fine in zip(self.up, skipped[-2::-1], strict=True):
            x = pair(torch.cat([F.interpolate(x, size=fine.shape[2:], mode="nearest"), fine], dim=1))
        return DISTANCE_UNIT_MM * _channels_to_blocks(self.out(x))


def _blocks_to_channels(x: torch.Tensor) -> torch.Tensor:
    """``(n, 1, x, y, z)`` to ``(n, 8, x/2, y/2, z/2)``."""
    n, _, a, b, c = x.shape
    blocks = x.reshape(n, a // 2, 2, b // 2, 2, c // 2, 2).permute(0, 2, 4, 6, 1, 3, 5)
    return blocks.reshape(n, 8, a // 2, b // 2, c // 2).contiguous(memory_format=torch.channels_last_3d)


def _channels_to_blocks(x: torch.Tensor) -> torch.Tensor:
    """``(n, 8, x, y, z)`` to ``(n, 1, 2x, 2y, 2z)``: undoes :func:`_blocks_to_channels`."""
    n, _, a, b, c = x.shape
    blocks = x.reshape(n, 2, 2, 2, a, b, c).permute(0, 4, 1, 5, 2, 6, 3)
    return blocks.reshape(n, 1, 2 * a, 2 * b, 2 * c)


def normalise(image: torch.Tensor) -> torch.Tensor:
    """Scale intensities so that the 99th percentile of what is not zero becomes 1/1.2.

    Higher values are clipped to 1. A scan of zeros stays as it is.
    """
    positive = image[image > 0]
    if positive.numel() == 0:
        return image
    sample = positive[:: max(1, positive.numel() // 20_000)]  # quantile() is limited and slow
    top = torch.quantile(sample, 0.99).clamp(min=1e-6)
    return (image / top).clamp(0, 1.2) / 1.2


@dataclass(frozen=True)
class BrainMask:
    """Where the brain is, on the scan's own grid."""

    mask: np.ndarray
    """``(x, y, z)`` bool: brain with its sulci and ventricles, inside the field of view."""
    distance_mm: np.ndarray
    """``(x, y, z)`` float32 signed distance to its surface, > 0 inside; exact within about 6 mm."""
    already_stripped: bool
    """True where the scan held nothing but brain, which then is the mask."""


def load() -> BrainNetwork:
    """Load the network whose weights travel in the package.

    Raises
    ------
    ModelError
        When the weights are not those their card was written for.
    """
    folder = files("relevox.imaging") / "data"
    content = (folder / "brain_network.safetensors").read_bytes()
    card = json.loads((folder / "brain_network.json").read_text(encoding="utf-8"))
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise ModelError(
            "the brain network's weights are not those its card was written for",
            code="model-changed",
            file="brain_network.safetensors",
            remedy="install relevox again",
        )
    network = BrainNetwork(tuple(card["widths"]))
    network.load_state_dict({k: v.float() for k, v in safetensors.torch.load(content).items()})
    return network.eval()


def brain_mask(image: np.ndarray, affine: np.ndarray, network: BrainNetwork) -> BrainMask:
    """Find the brain.

    1. Resample to 3 mm along RAS+, find the head, set the air to zero.
    2. Let the network give distances; average with the mirrored scan.
    3. Keep the largest deep piece and what belongs to it; fill holes.
    4. Carry distances back to the scan's grid; stay where it was scanned.

    A scan that holds nothing but brain is left as it is.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)``, any contrast and resolution, bias-corrected or not.
    affine : np.ndarray
        ``(4, 4)`` voxel to RAS+ millimetres; may be oblique.
    network : BrainNetwork
        From :func:`load`.

    Raises
    ------
    ImageError
        When no brain is found.
    """
    image = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0).clip(min=0)
    coarse = to_network_grid(image, affine)
    if not coarse.data.any():
        raise _no_brain("the image is empty")
    scan, small = Grid(image.shape, affine), Grid(coarse.data.shape, coarse.affine)
    field = resample(Volume(np.ones(image.shape, dtype=np.uint8), affine), small, order=0) > 0
    not_zero = resample(Volume((image > 0).astype(np.float32), affine), small) > 0.5
    head = head_mask(coarse.data, field)
    distance = keep_one_piece(predict_distance(np.where(head, coarse.data, 0), network))
    if (distance > 0).sum() * VOXEL_SIZE_MM**3 / 1000 < MIN_BRAIN_ML:
        raise _no_brain("the largest piece that looks like brain is too small")

    tissue = head & not_zero & (coarse.data > 0.02 * np.percentile(coarse.data[head], 99))
    stripped = np.mean(distance[tissue] <= 0.5 - FAR_MM) < STRIPPED_SHARE
    if stripped:
        distance = closed_distance(tissue)
    distance = resample(Volume(distance + FAR_MM, coarse.affine), scan) - FAR_MM
    # What is zero on the outside was not scanned, or was removed before.
    seen = resample(Volume(closed_distance(not_zero), coarse.affine), scan) > -VOXEL_SIZE_MM / 2
    mask = (distance > 0) & seen
    if stripped:  # the grid is coarse: what was left by others is kept to the voxel
        mask |= (image > 0) & (distance > -VOXEL_SIZE_MM)
    return BrainMask(mask, distance, bool(stripped))


def to_network_grid(image: np.ndarray, affine: np.ndarray) -> Volume:
    """Resample to 3 mm voxels along RAS+, over all that was scanned.

    Finer axes are smoothed first, so that no voxel is passed over.
    """
    size = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    sigma = 0.42 * np.sqrt(np.clip((VOXEL_SIZE_MM / size) ** 2 - 1, 0, None))
    corners = np.indices((2, 2, 2)).reshape(3, -1) * (np.array(image.shape)[:, None] - 1)
    corners = affine[:3, :3] @ corners + affine[:3, 3:]
    first, last = corners.min(axis=1), corners.max(axis=1)
    shape = np.ceil((last - first) / VOXEL_SIZE_MM).astype(int) + 1
    coarse = np.diag([VOXEL_SIZE_MM] * 3 + [1.0])
    coarse[:3, 3] = (first + last - (shape - 1) * VOXEL_SIZE_MM) / 2
    smooth = ndimage.gaussian_filter(image, sigma)
    return Volume(resample(Volume(smooth, affine), Grid(tuple(shape), coarse)), coarse)


def head_mask(image: np.ndarray, field: np.ndarray | None = None) -> np.ndarray:
    """Separate head from air on the network's grid, with a margin.

    Parameters
    ----------
    image : np.ndarray
        ``(x, y, z)`` at 3 mm.
    field : np.ndarray, optional
        ``(x, y, z)`` bool: what was scanned; everything when absent. Zeros around an
        oblique scan would pass for air, and noisy air for head.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` bool.
    """
    # The root brings bright fat nearer to the brain than to a class of its own.
    smooth = np.sqrt(ndimage.gaussian_filter(image, 1))
    bright = smooth > otsu_threshold(smooth if field is None else smooth[field])
    # Close bone, fluid and airways; what then is surrounded belongs to the head.
    closed = _grown(_grown(bright, 15), -15) | bright
    head = ndimage.binary_fill_holes(largest_piece(closed))
    return _grown(head, AIR_MARGIN_MM)


def otsu_threshold(values: np.ndarray, n_bins: int = 256) -> float:
    """Threshold that separates two groups best: the largest variance between them (Otsu 1979).

    Values above the 99.5th percentile count as that percentile, so that one
    hot voxel does not take all bins.
    """
    counts, edges = np.histogram(np.minimum(values, np.percentile(values, 99.5)), n_bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sum_below = np.cumsum(counts * centres)
    mean_below = sum_below / np.maximum(below, 1)
    mean_above = (sum_below[-1] - sum_below) / np.maximum(total - below, 1)
    return float(edges[1 + np.argmax(below * (total - below) * (mean_below - mean_above) ** 2)])


def predict_distance(image: np.ndarray, network: BrainNetwork) -> np.ndarray:
    """Apply the network to what is not zero, ``(x, y, z)`` float32 on the same grid.

    The result is the mean over the image and its mirror image; ``-12`` where
    the network did not look.
    """
    occupied = np.argwhere(image > 0)
    low, high = occupied.min(axis=0), occupied.max(axis=0) + 1
    low[2] = max(low[2], high[2] - int(HEAD_HEIGHT_MM / VOXEL_SIZE_MM))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    inside = torch.from_numpy(np.ascontiguousarray(image[box]))
    multiple = network.multiple
    padding = []  # last axis first, at least two voxels of air on either side
    for n in reversed(inside.shape):
        extra = -(-(n + 4) // multiple) * multiple - n
        padding += [extra // 2, extra - extra // 2]
    device = next(network.parameters()).device
    padded = F.pad(normalise(inside), padding)[None, None].to(device)
    with torch.inference_mode():
        distance = (network(padded) + network(padded.flip(2)).flip(2))[0, 0].cpu().numpy() / 2
    result = np.full(image.shape, -12.0, dtype=np.float32)
    starts = padding[-2::-2]
    result[box] = distance[tuple(slice(s, s + n) for s, n in zip(starts, inside.shape, strict=True))]
    return result


def keep_one_piece(distance: np.ndarray) -> np.ndarray:
    """Throw out what is not connected to the brain in depth, and fill holes.

    Parameters
    ----------
    distance : np.ndarray
        ``(x, y, z)`` signed distance in millimetres on the network's grid, > 0 inside.

    Returns
    -------
    np.ndarray
        The same, between -6 and 12 mm; all -6 where nothing is 3 mm deep.
    """
    distance = np.clip(distance, -FAR_MM, 12)
    core = largest_piece(distance > CORE_MM)
    if not core.any():
        return np.full_like(distance, -FAR_MM)
    brain = largest_piece((distance > 0) & _grown(core, REACH_MM))
    near = _grown(brain, 3 * VOXEL_SIZE_MM)  # keeps the distances just outside the surface
    stray = (distance > 0) & ~brain
    distance = np.where(near & ~stray, distance, -FAR_MM)
    return np.where(ndimage.binary_fill_holes(brain) & ~brain, 2, distance).astype(np.float32)


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """Largest component whose voxels touch by faces; an empty mask stays empty."""
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    return labels == 1 + np.argmax(sizes[1:])


def closed_distance(mask: np.ndarray) -> np.ndarray:
    """Signed distance in millimetres to a mask on the network's grid, closed and filled, > 0 inside."""
    closed = ndimage.binary_fill_holes(_grown(_grown(largest_piece(mask), 9), -9) | mask)
    inside = ndimage.distance_transform_edt(closed)
    outside = ndimage.distance_transform_edt(~closed)
    distance = np.where(closed, inside - 0.5, 0.5 - outside) * VOXEL_SIZE_MM
    return np.clip(distance, -FAR_MM, 12).astype(np.float32)


def _grown(mask: np.ndarray, by_mm: float) -> np.ndarray:
    """Mask plus all within a distance; a negative distance shrinks. Nothing grows beyond the grid's edge."""
    if by_mm < 0:
        return ndimage.distance_transform_edt(mask) * VOXEL_SIZE_MM > -by_mm
    return ndimage.distance_transform_edt(~mask) * VOXEL_SIZE_MM <= by_mm


def _no_brain(reason: str) -> ImageError:
    return ImageError(
        f"expected a head, but no brain was found: {reason}",
        code="brain-not-found",
        remedy="look at the scan and its orientation, or give a brain mask in the derivatives",
    )
