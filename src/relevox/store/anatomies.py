"""Simulated heads that have no label yet: arrays in one ``.npz``, volumes beside them in JSON."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from relevox.errors import StudyError
from relevox.phantom.simulated_scan import ScanAnatomy
from relevox.records import ScanId
from relevox.store import layout, tables
from relevox.store.atomic import replacing

_ARRAYS = ("shares", "periventricular", "other", "regions", "jacobian", "disease_jacobian")
_CHANGED = "changed."


def write(root: Path, scan: ScanId, anatomy: ScanAnatomy, space: str) -> list[Path]:
    """Write one head; equal heads are equal bytes.

    Parameters
    ----------
    root : Path
        Folder of the anatomies.
    scan : ScanId
        Patient and session.
    anatomy : ScanAnatomy
        The head.
    space : str
        BIDS name of the template's space.

    Returns
    -------
    list of Path
        The files.
    """
    arrays = {name: getattr(anatomy, name) for name in _ARRAYS}
    arrays |= {_CHANGED + cause: shares for cause, shares in anatomy.changed.items()}
    path = layout.path(root, "anatomy", scan, space=space)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    card = {"volumes_ml": dict(anatomy.volumes_ml), "causes_ml": dict(anatomy.causes_ml)}
    return [path, tables.write_json(layout.path(root, "anatomy_card", scan, space=space), card)]


def read(root: Path, scan: ScanId, space: str) -> ScanAnatomy:
    """Read one head back.

    Raises
    ------
    StudyError
        When it is missing or not what was written.
    """
    card = read_card(root, scan, space)
    path = layout.existing(root, "anatomy", scan, space=space)
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
            changed = {n.removeprefix(_CHANGED): file[n] for n in file.files if n.startswith(_CHANGED)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StudyError(
            f"cannot be read: {error}", code="anatomy-unreadable", file=path.name, remedy="delete it and simulate again"
        ) from None
    return ScanAnatomy(**arrays, volumes_ml=card["volumes_ml"], causes_ml=card["causes_ml"], changed=changed)


def read_card(root: Path, scan: ScanId, space: str) -> dict[str, dict[str, float]]:
    """Read the volumes of one head: ``volumes_ml`` of the baselines and ``causes_ml`` of the causes."""
    return tables.read_json(layout.existing(root, "anatomy_card", scan, space=space))
