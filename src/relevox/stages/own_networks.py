"""The networks that travel in the package: which of them a scan needs, and their fingerprints.

``preprocess`` and ``predict`` use it: a new patient is treated as the study's scans were.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from importlib.resources import as_file, files

from relevox.config import PreprocessingSettings
from relevox.store import provenance


def needed(settings: PreprocessingSettings, given: Collection[str]) -> list[str]:
    """List our own networks that a raw scan needs, beyond what is given: ``brain_network``, ``lesion_network``."""
    names = []
    if "brain_mask" not in given and settings.brain_extraction == "network":
        names.append("brain_network")
    if "lesion_mask" not in given and settings.lesions == "own":
        names.append("lesion_network")
    return names


def hashes(settings: PreprocessingSettings, given: Collection[str]) -> dict[str, str]:
    """Return what stands in the provenance of a scan: what was made with other weights is stale."""
    return {name: _hash(name) for name in needed(settings, given)}


def load(settings: PreprocessingSettings, given: Collection[str]) -> dict[str, object]:
    """Load what ``engines.chain.to_template`` takes as ``network`` and ``lesion_network``; None where not needed."""
    names = needed(settings, given)
    return {
        "network": _loaded("brain_network") if "brain_network" in names else None,
        "lesion_network": _loaded("lesion_network") if "lesion_network" in names else None,
    }


@lru_cache(maxsize=2)
def _hash(name: str) -> str:
    with as_file(files("relevox.imaging") / "data" / f"{name}.safetensors") as path:
        return provenance.sha256(path)


@lru_cache(maxsize=2)
def _loaded(name: str):
    """Load a network once in every process, and torch only where it is needed."""
    from relevox.imaging import brain_network, lesion_network

    return {"brain_network": brain_network, "lesion_network": lesion_network}[name].load()
