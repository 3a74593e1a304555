"""Where the network is computed, and in which precision."""

from __future__ import annotations

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


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the number format of the convolutions; ``auto`` takes bfloat16 where it is computed natively."""
    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # not yet public in torch; where it is missing, float32 is right everywhere
        native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if native else torch.float32
