import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from relevox.engines import workers
from relevox.engines.workers import ALLOCATOR, Outcome, raise_failures, run_all, same_processes, working_at
from relevox.errors import EngineError, ImageError, Problems


def square(n):
    if n == 3:
        raise ImageError("no three", code="three", file="3.nii.gz", remedy="take four")
    return n * n


def die(n):
    if n == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


@pytest.mark.parametrize("workers", [1, 2])
def test_outcomes_keep_the_order_and_a_failure_stops_no_other(workers):
    outcomes = run_all(square, [2, 3, 4], workers)
    assert [o.value for o in outcomes] == [4, None, 16]
    assert outcomes[1].error.code == "three" and outcomes[1].error.remedy == "take four"
    with pytest.raises(ImageError, match="no three"):
        raise_failures(outcomes)


def test_several_failures_are_raised_together():
    with pytest.raises(Problems, match="2 problems"):
        raise_failures(run_all(square, [3, 3]))


def test_a_worker_that_dies_is_an_error_not_a_hang():
    outcomes = run_all(die, [0, 1], workers=2)
    assert isinstance(outcomes[1].error, EngineError) and outcomes[1].error.code == "worker-died"


def own_pid(n):
    time.sleep(0.2)  # so that both processes get something to do
    return os.getpid()


def test_processes_are_kept_in_the_body_and_end_after_it():
    with same_processes():
        first, second = ({o.value for o in run_all(own_pid, range(4), workers=2)} for _ in range(2))
        others = {o.value for o in run_all(own_pid, range(6), workers=3)}
        assert first == second and len(first) == 2 and len(others) == 3 and not first & others
    until(lambda: not any(is_alive(pid) for pid in first | others))


def test_after_a_death_new_processes_take_over():
    with same_processes():
        run_all(die, [0, 1], workers=2)
        assert [o.value for o in run_all(square, [2, 4], workers=2)] == [4, 16]


def tell_and_wait(folder):
    (folder / str(os.getpid())).touch()
    time.sleep(60)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
def test_workers_end_when_the_run_is_killed(tmp_path):
    """Otherwise they would write to the study beside the next run, then hold their memory for ever."""
    run = multiprocessing.get_context("spawn").Process(target=run_all, args=(tell_and_wait, [tmp_path] * 2, 2))
    run.start()
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    run.kill()
    run.join()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    until(lambda: not any(is_alive(pid) for pid in workers))


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.1)


def is_alive(pid):
    """Tell whether a process runs; one that ended may still wait for its parent to hear of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_all(lambda n: 1 // n, [0])


def environment(name):
    time.sleep(0.3)  # so that every worker takes an item
    return os.getpid(), os.environ.get(name)


def test_each_worker_sees_one_gpu_and_more_workers_than_gpus_share_them():
    values = [o.value for o in run_all(environment, ["CUDA_VISIBLE_DEVICES"] * 4, workers=2, gpus=["2", "GPU-5a"])]
    by_process = dict(values)
    assert all(by_process[pid] == gpu for pid, gpu in values)
    assert sorted(by_process.values()) == ["2", "GPU-5a"]
    values = [o.value for o in run_all(environment, ["CUDA_VISIBLE_DEVICES"] * 2, workers=2, gpus=["7"])]
    assert {gpu for _, gpu in values} == {"7"}


def test_workers_get_an_allocator_unless_the_user_has_chosen_one(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert run_all(environment, ["GLIBC_TUNABLES"] * 2, workers=2)[0].value[1] == ALLOCATOR
    assert "GLIBC_TUNABLES" not in os.environ
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    assert run_all(environment, ["GLIBC_TUNABLES"] * 2, workers=2)[0].value[1] == "glibc.malloc.check=0"


def test_workers_elsewhere_are_used_in_the_body_and_local_ones_after_it():
    class There:
        def run(self, function, items, labels, done):
            for n, item in enumerate(items):
                done(n, Outcome(item, f"{labels[n]} was there"))

    with working_at(There()):
        assert [o.value for o in run_all(square, [2, 4], workers=2)] == ["2 was there", "4 was there"]
    assert run_all(square, [2])[0].value == 4


def itk_threads(_):
    """Threads that ITK, SimpleITK's and ANTs' numerical heart, would start in this process."""
    import SimpleITK as sitk

    return sitk.ProcessObject.GetGlobalDefaultNumberOfThreads(), int(os.environ["OMP_NUM_THREADS"])


def test_workers_together_never_use_more_threads_than_there_are_cores(monkeypatch):
    monkeypatch.setattr(workers, "cores", lambda: 4)
    for n in (2, 3):
        outcomes = run_all(itk_threads, range(n), workers=n)
        for numbers in zip(*(outcome.value for outcome in outcomes), strict=True):
            assert sum(numbers) <= 4, numbers
