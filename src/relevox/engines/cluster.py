"""Workers of a Dask cluster: on this machine, under SLURM, or wherever a scheduler is running.

The study folder must lie under the same path on every worker. Dask is an
optional extra: ``pip install relevox[cluster]``.
"""

from __future__ import annotations

import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from relevox.engines.workers import Outcome, attempt, cores, worker_died, working_at
from relevox.errors import EngineError, SettingsError

logger = logging.getLogger("relevox")

CONNECT_S = 30
"""How long a scheduler may take to answer."""

LOOK_EVERY_S = 5
"""How often it is looked for workers that have come."""


class DaskWorkers:
    """The workers a Dask client sees.

    Parameters
    ----------
    client : distributed.Client
        Connected, with a worker at least.
    threads_each : int, optional
        Of the processor, that an item may use; default: those of the smallest worker.
    """

    def __init__(self, client, threads_each: int | None = None) -> None:
        self.client = client
        self.threads_each = threads_each or min(client.nthreads().values(), default=1)

    def run(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        labels: Sequence[str],
        done: Callable[[int, Outcome], None],
    ) -> None:
        """Apply a function to every item, one a worker at a time; ``done(number, outcome)`` as each one ends."""
        from distributed import KilledWorker, wait
        from distributed.client import FutureCancelledError

        waiting, running = deque(range(len(items))), {}
        try:
            while waiting or running:
                # no more than there is room for now: an item that waits at a worker is lost with it
                while waiting and len(running) < max(1, len(self.client.nthreads())):
                    n = waiting.popleft()
                    # pure=False: the same item may have another result now, because its files have changed
                    running[self.client.submit(partial(attempt, function), items[n], pure=False)] = n
                with suppress(TimeoutError):  # look again now and then: workers come and go
                    wait(list(running), timeout=LOOK_EVERY_S, return_when="FIRST_COMPLETED")
                for future in [future for future in running if future.done()]:
                    n = running.pop(future)
                    try:
                        done(n, future.result())
                    except (KilledWorker, FutureCancelledError):
                        done(n, Outcome(items[n], error=worker_died(labels[n])))
        except BaseException:
            self.client.cancel(list(running))
            raise


@contextmanager
def cluster(address: str, workers: int = 1) -> Iterator[None]:
    """Let every stage in the body use the workers of a cluster.

    Parameters
    ----------
    address : str
        ``local`` starts worker processes here; ``slurm`` asks SLURM for jobs, as
        dask-jobqueue's own configuration file describes them; anything else is
        the address of a running scheduler (``tcp://host:8786``).
    workers : int
        Worker processes (``local``) or jobs (``slurm``); a running cluster has its own.

    Raises
    ------
    SettingsError
        When Dask is not installed, or the address is none.
    EngineError
        When no scheduler answers.
    """
    distributed = _installed("distributed")
    with _started(address, workers) as place, distributed.Client(**place, timeout=CONNECT_S) as client:
        if address == "slurm":
            logger.info("waiting for the first of %d jobs of SLURM", workers)
        client.wait_for_workers(1)
        client.forward_logging("relevox", level=logger.getEffectiveLevel())
        here = max(1, cores() // workers) if address == "local" else None  # its workers share this machine
        with working_at(DaskWorkers(client, here)):
            yield


@contextmanager
def _started(address: str, workers: int) -> Iterator[dict[str, Any]]:
    """Yield where the client connects to; what was started here is stopped at the end."""
    if address == "local":
        dask, distributed = _installed("dask"), _installed("distributed")
        # an item whose worker dies is not tried again: here it would die again
        rules = {"distributed.scheduler.allowed-failures": 0}
        options = {"threads_per_worker": 1, "processes": True, "memory_limit": None, "dashboard_address": "127.0.0.1:0"}
        with (
            dask.config.set(rules),
            distributed.LocalCluster(n_workers=workers, silence_logs=logging.CRITICAL, **options) as made,
        ):
            yield {"address": made}
    elif address == "slurm":
        with _installed("dask_jobqueue").SLURMCluster() as made:
            made.scale(jobs=workers)
            yield {"address": made}
    elif "://" in address:
        _check_answers(address)
        yield {"address": address}
    else:
        raise SettingsError(
            f"expected local, slurm or the address of a Dask scheduler, but got {address!r}",
            code="cluster-address",
            row="--cluster",
            remedy="an address looks like tcp://host:8786",
        )


def _check_answers(address: str) -> None:
    distributed = _installed("distributed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with distributed.Client(address, timeout=CONNECT_S) as client:
                n_workers = len(client.scheduler_info(n_workers=-1)["workers"])
    except (OSError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"no Dask scheduler answers at {address}: {error}",
            code="cluster-unreachable",
            remedy="start one (dask scheduler), or check host, port and protocol",
        ) from None
    logger.info("the cluster at %s has %d workers", address, n_workers)


def _installed(name: str):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise SettingsError(
            f"a cluster needs the package {name.replace('_', '-')}, which is not installed",
            code="extra-missing",
            row="--cluster",
            remedy="pip install 'relevox[cluster]'",
        ) from None
