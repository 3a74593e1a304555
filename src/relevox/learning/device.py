"""Where the network is computed, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from relevox.errors import SettingsError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` takes a GPU where there is one.

    Raises
    ------
    SettingsError
        For a device that does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise SettingsError(
            f"the device {name!r} is not available here",
            code="device-unavailable",
            row="training.device",
            remedy="use auto or cpu",
        ) from None
    return device


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """Let the processor take numbers too small for float32 as 0: they mean nothing here and cost a hundredfold.

    It is a state of the whole process, which others may rely on, so it ends with the body.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def visible_gpus() -> list[str]:
    """Return the GPUs of this machine that may be used, as ``CUDA_VISIBLE_DEVICES`` names them."""
    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]


def choose_precision(name: str, device: torch.device, first_edges: Sequence[int] = ()) -> torch.dtype:
    """Return the number format of the convolutions; ``auto`` takes bfloat16 where it is computed natively and right.

    Parameters
    ----------
    name : str
        ``auto``, ``float32`` or ``bfloat16``.
    device : torch.device
        Where they are computed.
    first_edges : sequence of int
        Voxels along the first axis of the grids they are computed on.

    Raises
    ------
    SettingsError
        When bfloat16 was asked for and would give wrong gradients.

    Notes
    -----
    On processors, oneDNN (in torch 2.13) reads past its arrays for the weight
    gradient of a 3x3x3 bfloat16 convolution, channels last, whose first axis has
    exactly two voxels: NaN or nonsense, at any batch size. A 144 x 184 x 152 mm
    input on an 8 mm grid comes to two voxels in the fourth block.
    """
    wrong = device.type == "cpu" and 2 in first_edges
    if name == "bfloat16" and wrong:
        raise SettingsError(
            "on this grid a block sees two voxels along x, where processors compute wrong bfloat16 gradients",
            code="precision-unsafe",
            row="training.precision",
            remedy="use auto or float32",
        )
    if name == "float32" or wrong:
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # not yet public in torch; where it is missing, float32 is right everywhere
        native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if native else torch.float32
