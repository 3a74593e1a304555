"""Several processes for one fold, as torchrun starts them.

``torchrun --nproc-per-node 2 -m relevox train OUT``, or the same by
``relevox train OUT --processes 2``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from relevox.learning.group import ALONE, Group


@contextmanager
def joined() -> Iterator[Group]:
    """Join the fellows torchrun has started; alone when it has not been used.

    GPUs talk by NCCL, each process on the GPU of its local rank; processors by gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    import torch
    from torch import distributed

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Group(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def start(processes: int, arguments: Sequence[str]) -> int:
    """Run relevox's command line in several processes of this machine, and return its exit code."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*launcher, "-m", "relevox", *arguments], check=False).returncode
