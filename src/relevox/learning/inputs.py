"""How scans reach the network: as float16, in the fewest copies.

The whole cohort lies in one memory-mapped float16 array. A processor reads it
batch by batch. A GPU gets all rows it needs at once when they fit beside the
network (382 scans at 1 mm are 6.2 GB), and batches are then cut out over there.
"""

from __future__ import annotations

import numpy as np
import torch

SHARE_OF_FREE_MEMORY = 0.5
"""Of a GPU, that the scans may take; the rest is for activations."""


class ScansOnDevice:
    """The scans of some rows, on a GPU, under the row numbers they have in the cohort's array.

    Parameters
    ----------
    inputs : array-like, (n, c, x, y, z)
        float16.
    rows : ndarray, (m,)
        Which ones are needed; the others are not copied.
    device : torch.device
        Where to.
    """

    def __init__(self, inputs: np.ndarray, rows: np.ndarray, device: torch.device) -> None:
        rows = np.unique(rows)
        self.shape = inputs.shape
        self.place = torch.full((inputs.shape[0],), -1)
        self.place[torch.from_numpy(rows)] = torch.arange(len(rows))
        self.scans = torch.empty((len(rows), *inputs.shape[1:]), dtype=torch.float16, device=device)
        for n, row in enumerate(rows):  # one at a time: the cohort never lies in the processor's memory
            self.scans[n] = torch.from_numpy(np.array(inputs[int(row)]))

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor:
        """Copy some scans, ``(b, c, x, y, z)``, on the device."""
        place = self.place[torch.from_numpy(np.asarray(rows))]
        assert (place >= 0).all(), "a scan was asked for that was not brought here"
        return self.scans[place.to(self.scans.device)]


def bring(inputs: np.ndarray, rows: np.ndarray, device: torch.device) -> np.ndarray | ScansOnDevice:
    """Bring the scans of a training to a GPU when they fit; elsewhere leave them on disk.

    Parameters
    ----------
    inputs : array-like, (n, c, x, y, z)
        The cohort.
    rows : ndarray
        What the training will ask for.
    device : torch.device
        Where it is computed.
    """
    if device.type != "cuda":
        return inputs
    free, _ = torch.cuda.mem_get_info(device)
    n_bytes = 2 * len(np.unique(rows)) * int(np.prod(inputs.shape[1:]))
    return ScansOnDevice(inputs, rows, device) if n_bytes <= SHARE_OF_FREE_MEMORY * free else inputs


def load_batch(inputs: np.ndarray | ScansOnDevice, rows: np.ndarray, device: torch.device) -> torch.Tensor:
    """Copy some scans to the device as float32.

    float16 travels, float32 is computed with: half the bytes to read and to send.

    Parameters
    ----------
    inputs : array-like, (n, c, x, y, z)
        Any float type; only the asked rows are read.
    rows : ndarray, (b,)
        Which scans.
    device : torch.device
        Where to.

    Returns
    -------
    Tensor, (b, c, x, y, z) float32
    """
    batch = inputs[rows]
    if not isinstance(batch, torch.Tensor):
        batch = torch.from_numpy(np.ascontiguousarray(batch))
    return batch.to(device).to(torch.float32)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """Put the channels of a voxel beside each other in memory: convolutions are 1.1 to 1.7 times faster so."""
    return x.contiguous(memory_format=torch.channels_last_3d)
