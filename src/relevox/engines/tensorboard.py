"""Event files for TensorBoard: the optional extra ``pip install relevox[tensorboard]``.

Written by hand, because TensorBoard's own writer puts the host's name into the file's name.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from relevox.errors import SettingsError


def check_installed() -> None:
    """Refuse early what could not be written later.

    Raises
    ------
    SettingsError
        When TensorBoard is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise SettingsError(
            "TensorBoard is not installed",
            code="extra-missing",
            row="--tensorboard",
            remedy="pip install 'relevox[tensorboard]'",
        ) from None


def append(folder: Path, step: int, values: Mapping[str, float]) -> Path:
    """Write the numbers of one step as an event file of its own.

    One file a step, so that an interrupted training leaves no half-written one
    open and a resumed one goes on beside it.

    Parameters
    ----------
    folder : Path
        A run: TensorBoard shows all its files as one.
    step : int
        For example the epoch.
    values : mapping of str to float
        By name.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    now = time.time()
    path = folder / f"events.out.tfevents.{step:06d}.relevox"
    scalars = [Summary.Value(tag=name, simple_value=float(value)) for name, value in values.items()]
    with open(path, "wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        records.write(Event(wall_time=now, step=step, summary=Summary(value=scalars)).SerializeToString())
    return path
