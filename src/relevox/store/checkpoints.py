"""Checkpoints of a training: one safetensors file a fold, with its plain values as JSON in the header.

One file, because two could be of different epochs after a power cut. Nothing is
ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch

from relevox.errors import ModelError
from relevox.learning.checkpoint import Checkpoint
from relevox.store import layout, weights
from relevox.store.atomic import replacing

UNUSABLE = "it is damaged"
OTHER = "settings, data, version or device have changed since"


def save(study: Path, fold: int, checkpoint: Checkpoint, made_from: Mapping[str, object]) -> Path:
    """Write a checkpoint, whole or not at all, over the one before.

    Parameters
    ----------
    study : Path
        The study folder.
    fold : int
        Whose training.
    checkpoint : Checkpoint
        Its state.
    made_from : mapping
        Everything that must be the same for the training to go on, JSON-able.
    """
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    values = json.dumps(dict(checkpoint.values))
    plain = safetensors.torch.save(tensors)
    checked = _digest(weights.read_header(plain, Path()), plain, values)
    header = {"values": values, "sha256": checked, "made_from": identity(made_from)}
    path = layout.path(study, "checkpoint", fold=fold)
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, header))
    return path


def load(study: Path, fold: int, made_from: Mapping[str, object]) -> tuple[Checkpoint | None, str]:
    """Read the checkpoint of a fold, if it can be gone on with.

    Returns
    -------
    checkpoint : Checkpoint or None
        None when there is none, or none that fits.
    reason : str
        Why one that is there is not used; empty otherwise.
    """
    path = layout.path(study, "checkpoint", fold=fold)
    if not path.is_file():
        return None, ""
    content = path.read_bytes()
    try:
        entries = weights.read_header(content, path)
        header = entries["__metadata__"]
        tensors = safetensors.torch.load(content)
        if _digest(entries, content, header["values"]) != header["sha256"]:
            return None, UNUSABLE
    except (ModelError, safetensors.SafetensorError, KeyError, AttributeError, TypeError, ValueError):
        return None, UNUSABLE
    if header.get("made_from") != identity(made_from):
        return None, OTHER
    return Checkpoint(tensors, json.loads(header["values"])), ""


def remove(study: Path, fold: int) -> None:
    """Delete the checkpoint of a finished fold, and what a killed process left of one."""
    path = layout.path(study, "checkpoint", fold=fold)
    for file in (path, *path.parent.glob(f".{path.name}.*.part")):
        file.unlink(missing_ok=True)


def identity(made_from: Mapping[str, object]) -> str:
    """Hash what a training is made from."""
    return hashlib.sha256(json.dumps(dict(made_from), sort_keys=True).encode()).hexdigest()


def _digest(entries: Mapping[str, object], content: bytes, values: str) -> str:
    """Hash names, types and places of the tensors, their bytes, and the plain values."""
    tensors = {name: entry for name, entry in entries.items() if name != "__metadata__"}
    data = content[8 + int.from_bytes(content[:8], "little") :]
    return hashlib.sha256(json.dumps([tensors, values], sort_keys=True).encode() + data).hexdigest()
