import logging
import os
import signal
import sys

import distributed
import pytest

from relevox.engines import cluster as engine
from relevox.engines.cluster import DaskWorkers, cluster
from relevox.engines.workers import raise_failures, run_all
from relevox.errors import EngineError, ImageError, SettingsError

logger = logging.getLogger("relevox")


def work(n):
    logger.info("worked on %d", n)
    if n == 3:
        raise ImageError("no three", code="three", file="3.nii.gz", remedy="take four")
    if n == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n, os.getpid()


@pytest.fixture(scope="module")
def two_workers():
    with cluster("local", 2):
        yield


def test_results_errors_and_messages_look_as_those_of_local_processes(two_workers, caplog):
    with caplog.at_level(logging.INFO, logger="relevox"):
        outcomes = run_all(work, [2, 3, 4, 5], workers=1, description="work")
    assert [o.value and o.value[0] for o in outcomes] == [4, None, 16, 25]
    assert os.getpid() not in {o.value[1] for o in outcomes if o.value}
    with pytest.raises(ImageError, match="no three") as caught:
        raise_failures(outcomes)
    assert caught.value.file == "3.nii.gz" and caught.value.remedy == "take four"
    assert any("work: 3 failed" in message for message in caplog.messages)


def test_a_worker_that_dies_is_an_error_that_names_the_item_and_the_others_go_on(two_workers):
    outcomes = run_all(work, [9, 2, 4], labels=["fold-9", "fold-2", "fold-4"])
    assert outcomes[0].error.code == "worker-died" and "fold-9" in outcomes[0].error.message
    assert [o.value[0] for o in outcomes[1:]] == [4, 16]


def test_a_running_scheduler_is_used_by_its_address():
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(n_workers=1, **options) as running, cluster(running.scheduler_address):
        assert run_all(work, [6])[0].value[0] == 36


def test_a_scheduler_that_does_not_answer_and_an_address_that_is_none_are_said(monkeypatch):
    monkeypatch.setattr(engine, "CONNECT_S", 0.2)
    with pytest.raises(EngineError, match="cluster-unreachable"), cluster("tcp://127.0.0.1:1"):
        pass
    with pytest.raises(SettingsError, match="cluster-address"), cluster("slrum"):
        pass


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"extra-missing.*relevox\[cluster\]"), cluster("local"):
        pass


def test_what_is_running_is_cancelled_when_a_person_interrupts(monkeypatch):
    cancelled = []

    class Client:
        def nthreads(self):
            return {"one": 1, "two": 1}

        def submit(self, work, item, pure):
            return f"future {item}"

        def cancel(self, futures):
            cancelled.extend(futures)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(distributed, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DaskWorkers(Client()).run(work, [1, 2, 4], ["1", "2", "4"], lambda *_: None)
    assert cancelled == ["future 1", "future 2"]
