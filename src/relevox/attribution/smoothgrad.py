"""SmoothGrad: the gradient, averaged over noisy copies of the scan (Smilkov et al. 2017, arXiv 1706.03825)."""

from __future__ import annotations

import torch
from torch import nn

from relevox.attribution.gradients import explained_value, in_batches, slope
from relevox.attribution.output import check_input, choose_target, evaluating, forward
from relevox.attribution.result import Attribution
from relevox.errors import SettingsError

NOISE_OF = ("sd", "range")


def smoothgrad(
    model: nn.Module,
    x: torch.Tensor,
    target: int | torch.Tensor | None = None,
    *,
    noise: float = 0.15,
    noise_of: str = "sd",
    samples: int = 16,
    times_input: bool = False,
    explained: str = "logit",
    seed: int = 0,
    batch_size: int | None = None,
    precision: str = "float32",
) -> Attribution:
    """Explain a class by its mean gradient around the scan.

    ``R = mean over samples of grad f(x + sigma e)``, e standard normal inside
    the brain (where any channel is not 0) and 0 outside, where scans hold no noise either.

    Parameters
    ----------
    model : torch.nn.Module
        Differentiable, returns ``(b, classes)``; runs in evaluation mode and is left as found.
    x : torch.Tensor
        Scans, ``(b, c, x, y, z)``, 0 outside the brain.
    target : int or (b,) of int, optional
        Explained class; default: the predicted one.
    noise : float
        sigma, as a share of ``noise_of``.
    noise_of : {"sd", "range"}
        Of each scan and channel inside the brain: its standard deviation, or its range (as
        published; one hot voxel then sets the noise of the whole brain).
    samples : int
        Noisy copies.
    times_input : bool
        Multiply the mean gradient by the input.
    explained : {"logit", "margin", "probability"}
        f.
    seed : int
        Of the noise. Every scan meets the same draws, whatever stands beside it in the batch.
    batch_size : int, optional
        Copies that pass the network at once; default: as many as there are scans.
    precision : {"float32", "bfloat16"}
        Of the convolutions.

    Returns
    -------
    Attribution
        ``start`` is NaN: a gradient is a sensitivity, it distributes nothing.

    Raises
    ------
    InputError
        For an impossible input or target.
    SettingsError
        For an impossible option.
    """
    if samples < 1 or not noise >= 0 or noise_of not in NOISE_OF or (batch_size is not None and batch_size < 1):
        raise SettingsError(
            f"expected samples and batch_size of at least 1, noise of at least 0 and noise_of of "
            f"{', '.join(NOISE_OF)}, but got {samples}, {batch_size}, {noise} and {noise_of!r}",
            code="smoothgrad-options",
        )
    explained_value(explained)
    x = check_input(x)
    inside = (x != 0).any(dim=1, keepdim=True)  # (b, 1, x, y, z)
    sigma = noise * _spread(x, inside, noise_of)  # (b, c, 1, 1, 1)
    mean = torch.zeros_like(x)
    with evaluating(model):
        with torch.no_grad():
            chosen = choose_target(forward(model, x, precision), target)
        for scan, sample in in_batches(len(x), samples, batch_size):
            scan = scan.to(x.device)
            drawn = torch.stack([_noise(x[0], seed, int(n)) for n in sample])
            noisy = x[scan] + drawn * sigma[scan] * inside[scan]
            mean.index_add_(0, scan, slope(model, noisy, chosen[scan], explained, precision))
    mean /= samples
    return Attribution(
        relevance=(mean * x if times_input else mean).contiguous(),
        target=chosen,
        start=torch.full((len(x),), torch.nan, dtype=torch.float64, device=x.device),
        method="smoothgrad",
        rule=f"mean gradient{' times input' if times_input else ''} of {samples} copies with noise of {noise:g} of the "
        f"{noise_of} inside the brain; explained: {explained}; seed {seed}",
        signed=True,
    )


def _spread(x: torch.Tensor, inside: torch.Tensor, kind: str) -> torch.Tensor:
    """Standard deviation (ddof 0) or range of each channel over the brain; 0 where there is none."""
    axes = tuple(range(2, x.ndim))
    if kind == "range":
        high = torch.where(inside, x, -torch.inf).amax(axes, keepdim=True)
        low = torch.where(inside, x, torch.inf).amin(axes, keepdim=True)
        return (high - low).nan_to_num(nan=0.0, neginf=0.0)
    n = inside.sum(axes, keepdim=True).clamp_min(1)
    mean = (x * inside).sum(axes, keepdim=True) / n
    return ((((x - mean) * inside) ** 2).sum(axes, keepdim=True) / n).sqrt()


def _noise(like: torch.Tensor, seed: int, sample: int) -> torch.Tensor:
    """One draw, ``(c, x, y, z)``; made by the processor, so that every device meets the same."""
    generator = torch.Generator().manual_seed(1_000_003 * seed + sample)
    return torch.randn(like.shape, generator=generator).to(like)
