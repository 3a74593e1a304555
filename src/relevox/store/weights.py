"""Model weights: safetensors only, verified before anything is built from them.

A pickle can run code; safetensors cannot, but accepts flipped bits, NaN and
repeated keys, so those are checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch

from relevox.errors import ModelError
from relevox.store.atomic import replacing
from relevox.store.provenance import sha256


def save(path: str | Path, state: Mapping[str, torch.Tensor]) -> str:
    """Write weights, whole or not at all, and return their sha256."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors))
    return sha256(path)


def load(path: str | Path, sha256_expected: str | None = None) -> dict[str, torch.Tensor]:
    """Read weights that can be trusted.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    sha256_expected : str, optional
        From the model's card; a file that differs is refused.

    Raises
    ------
    ModelError
        For a missing, damaged, changed or non-finite file.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(
            "expected model weights, but no file is there",
            code="model-missing",
            file=path.name,
            remedy="train the fold again, or copy the whole study folder",
        )
    if sha256_expected is not None and sha256(path) != sha256_expected:
        raise ModelError(
            "the weights are not those the model card was written for",
            code="model-changed",
            file=path.name,
            remedy="copy the model again from its source",
        )
    content = path.read_bytes()
    read_header(content, path)
    try:
        state = safetensors.torch.load(content)
    except Exception as error:
        raise ModelError(f"expected safetensors, but got: {error}", code="model-unreadable", file=path.name) from None
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError("expected finite weights", code="model-not-finite", file=path.name, row=name)
    return state


def load_into(module: torch.nn.Module, state: Mapping[str, torch.Tensor], file: str = "") -> torch.nn.Module:
    """Put weights into a network, which then is in evaluation mode.

    Raises
    ------
    ModelError
        When a tensor is missing, unknown or of another shape.
    """
    expected = module.state_dict()
    is_shell = any(tensor.is_meta for tensor in expected.values())  # shapes without memory: the tensors move in
    for name in sorted(set(state) & set(expected)):
        if state[name].dtype != expected[name].dtype:
            reason = f"expected {expected[name].dtype}, but got {state[name].dtype}"
            raise ModelError(reason, code="model-shape", file=file, row=name)
    try:
        module.load_state_dict(dict(state), strict=True, assign=is_shell)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"the weights do not fit the network: {reason}", code="model-shape", file=file) from None
    return module.eval()


def read_header(content: bytes, path: Path) -> dict[str, object]:
    """Read the JSON header of a safetensors file.

    Raises
    ------
    ModelError
        For another kind of file, and for repeated keys.
    """

    def unique(pairs):
        keys = [key for key, _ in pairs]
        if len(keys) != len(set(keys)):
            raise ValueError("repeated keys")
        return dict(pairs)

    try:
        length = int.from_bytes(content[:8], "little")
        if not 0 < length <= len(content) - 8:
            raise ValueError("its header is longer than the file")
        return json.loads(content[8 : 8 + length], object_pairs_hook=unique)
    except ValueError as error:
        raise ModelError(
            f"expected safetensors, but got: {error}",
            code="model-unreadable",
            file=path.name,
            remedy="copy the model again; pickled weights are never loaded",
        ) from None
