"""Find lesions on T1w and FLAIR together: a small network of our own.

The network was trained on simulated scans alone (``relevox
train-lesion-network``): random contrast, slices, noise, and what is bright
without being a lesion. It sees both images at 1 mm, aligned to the template,
FLAIR once more against the patient's grey matter, and the template's white
matter and CSF brought to the patient, and gives each voxel's probability of
being lesion.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from scipy import ndimage
from torch import nn
from torch.nn import functional as F

from relevox.errors import ModelError
from relevox.imaging.lesions import against_grey

WIDTHS = (24, 48, 96)
"""Channels at 2, 4 and 8 mm."""
CHANNELS = 5
"""T1w, FLAIR, FLAIR against grey matter, prior of white matter, prior of CSF."""
WHITE_PRIOR = 0.8
"""Where the template's white matter exceeds this, the median of an image is the intensity of white matter."""
HIGHEST = 4.0
"""Intensities are clipped to this many times that of white matter."""
LOWEST_Z, HIGHEST_Z, Z_UNIT = -6.0, 9.0, 3.0
"""Limits of the z-scores against grey matter, and the unit in which the network sees them."""
THRESHOLD = 0.4
"""A voxel is lesion when its probability exceeds this.

The expected Dice is largest at half the Dice that can be reached (Lipton et al. 2014): raters agree to 0.7 or 0.8."""
MIN_VOXELS = 5
"""Smaller pieces are left out, in voxels of 1 mm."""
PATCH = 64
"""Edge of the patches the network learns from, in voxels of 1 mm; it is applied to whole brains."""


class ConvolutionPair(nn.Module):
    """Twice: convolution, batch normalisation, ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(n_in, n_out, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm3d(n_out)
        self.second = nn.Conv3d(n_out, n_out, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm3d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, n_in, x, y, z)`` to ``(n, n_out, x, y, z)``."""
        x = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(x)))


class LesionNetwork(nn.Module):
    """A U-Net on blocks of 2 x 2 x 2 voxels: images and priors in, log odds of lesion out.

    Batch normalisation, unlike that by instance, keeps the scale of
    intensities: a piece without lesions is not stretched until something looks bright.

    Parameters
    ----------
    widths : tuple of int
        Channels per level; each level halves the grid.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.down = nn.ModuleList(
            ConvolutionPair(n_in, n_out) for n_in, n_out in zip((8 * CHANNELS, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            ConvolutionPair(coarse + fine, fine) for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.out = nn.Conv3d(widths[0], 8, 1)
        nn.init.constant_(self.out.bias, -3.0)  # lesions are rare

    @property
    def multiple(self) -> int:
        """Every side of the input is a multiple of this."""
        return 2 ** len(self.widths)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``(n, 5, x, y, z)`` at 1 mm (:func:`network_input`) to log odds ``(n, 1, x, y, z)``."""
        x = _blocks_to_channels(x)  # (n, 40, x/2, y/2, z/2)
        skipped = []
        for number, pair in enumerate(self.down):
            x = pair(x if number == 0 else F.max_pool3d(x, 2))
            skipped.append(x)
        for pair, fine in zip(self.up, skipped[-2::-1], strict=True):
            x = pair(torch.cat([F.interpolate(x, size=fine.shape[2:], mode="nearest"), fine], dim=1))
        return _channels_to_blocks(self.out(x))


def _blocks_to_channels(x: torch.Tensor) -> torch.Tensor:
    """``(n, c, x, y, z)`` to ``(n, 8c, x/2, y/2, z/2)``."""
    n, channels, a, b, c = x.shape
    blocks = x.reshape(n, channels, a // 2, 2, b // 2, 2, c // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return blocks.reshape(n, 8 * channels, a // 2, b // 2, c // 2).contiguous(memory_format=torch.channels_last_3d)


def _channels_to_blocks(x: torch.Tensor) -> torch.Tensor:
    """``(n, 8, x, y, z)`` to ``(n, 1, 2x, 2y, 2z)``."""
    n, _, a, b, c = x.shape
    return x.reshape(n, 2, 2, 2, a, b, c).permute(0, 4, 1, 5, 2, 6, 3).reshape(n, 1, 2 * a, 2 * b, 2 * c)


def network_input(images: torch.Tensor, flair_z: torch.Tensor, priors: torch.Tensor) -> torch.Tensor:
    """Stack what the network sees: images around 0 for white matter, then grey matter; priors from 0 to 1.

    Parameters
    ----------
    images : torch.Tensor
        ``(2, x, y, z)`` T1w and FLAIR, white matter about 1, 0 outside the brain.
    flair_z : torch.Tensor
        ``(x, y, z)`` robust z-scores of FLAIR against grey matter, 0 outside the brain.
    priors : torch.Tensor
        ``(2, x, y, z)`` white matter and CSF.
    """
    return torch.cat([images.clamp(0, HIGHEST) - 1, flair_z.clamp(LOWEST_Z, HIGHEST_Z)[None] / Z_UNIT, priors])


def load(folder: str | Path | None = None) -> LesionNetwork:
    """Load the network whose weights travel in the package, or that ``relevox train-lesion-network`` left in a folder.

    Raises
    ------
    ModelError
        When the folder holds no network, or its weights are not those its card was written for.
    """
    home = files("relevox.imaging") / "data" if folder is None else Path(folder)
    weights, card = (home / f"lesion_network.{ending}" for ending in ("safetensors", "json"))
    if not (weights.is_file() and card.is_file()):
        raise ModelError(
            "expected a lesion network and its card, but they are not there",
            code="model-missing",
            file=weights.name,
            remedy="make them by `relevox train-lesion-network FOLDER`",
        )
    content, card = weights.read_bytes(), json.loads(card.read_text(encoding="utf-8"))
    if hashlib.sha256(content).hexdigest() != card["sha256"]:
        raise ModelError(
            "the lesion network's weights are not those its card was written for",
            code="model-changed",
            file=weights.name,
            remedy="copy both files again, or train again",
        )
    network = LesionNetwork(tuple(card["widths"]))
    state = safetensors.torch.load(content)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
    return network.eval()


def find_lesions(
    t1w: np.ndarray,
    flair: np.ndarray,
    mask: np.ndarray,
    grey: np.ndarray,
    white_prior: np.ndarray,
    csf_prior: np.ndarray,
    network: LesionNetwork,
) -> np.ndarray:
    """Find lesions, ``(x, y, z)`` bool, from what :func:`lesion_probability` takes."""
    return large_pieces(lesion_probability(t1w, flair, mask, grey, white_prior, csf_prior, network))


def lesion_probability(
    t1w: np.ndarray,
    flair: np.ndarray,
    mask: np.ndarray,
    grey: np.ndarray,
    white_prior: np.ndarray,
    csf_prior: np.ndarray,
    network: LesionNetwork,
) -> np.ndarray:
    """Return each voxel's probability of being lesion.

    Parameters
    ----------
    t1w, flair : np.ndarray
        ``(x, y, z)``, bias-corrected, affinely aligned to the template at 1 mm, axes along RAS+.
    mask : np.ndarray
        ``(x, y, z)`` bool, the brain.
    grey : np.ndarray
        ``(x, y, z)`` probability of grey matter, from T1w.
    white_prior, csf_prior : np.ndarray
        ``(x, y, z)`` the template's white matter and CSF brought to the patient.
    network : LesionNetwork
        From :func:`load`.

    Returns
    -------
    np.ndarray
        ``(x, y, z)`` float32, 0 outside the brain: the mean over the scan and its mirror image. All 0 when
        an image has no positive intensity where white matter should be, or no grey matter is found.
    """
    result = np.zeros(mask.shape, dtype=np.float32)
    reference = mask & (white_prior > WHITE_PRIOR)
    levels = [np.median(image[reference]) if reference.any() else 0.0 for image in (t1w, flair)]
    z = against_grey(flair, mask, grey)
    if z is None or not min(levels) > 0:
        return result
    box = ndimage.find_objects(mask.view(np.int8))[0]
    images = [image[box] * mask[box] / level for image, level in zip((t1w, flair), levels, strict=True)]
    maps = [
        torch.from_numpy(m.astype(np.float32)) for m in (*images, z[box] * mask[box], white_prior[box], csf_prior[box])
    ]
    x = network_input(torch.stack(maps[:2]), maps[2], torch.stack(maps[3:]))
    padding = [side for n in reversed(x.shape[1:]) for side in (0, -n % network.multiple)]
    outside = F.pad(x[:2], padding, value=-1.0), F.pad(x[2:], padding)
    x = torch.cat(outside)[None]
    with torch.inference_mode():
        found = (torch.sigmoid(network(x)) + torch.sigmoid(network(x.flip(2))).flip(2)) / 2
    shape = mask[box].shape
    result[box] = found[0, 0, : shape[0], : shape[1], : shape[2]].numpy() * mask[box]
    return result


def large_pieces(probability: np.ndarray, threshold: float = THRESHOLD, min_voxels: int = MIN_VOXELS) -> np.ndarray:
    """Keep pieces above a threshold that are not too small, ``(x, y, z)`` bool.

    Examples
    --------
    >>> large_pieces(np.array([[[0.9, 0.8, 0.1, 0.7]]]), min_voxels=2).tolist()
    [[[True, True, False, False]]]
    """
    pieces, _ = ndimage.label(probability > threshold)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return (sizes >= min_voxels)[pieces]
