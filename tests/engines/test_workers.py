import os
import signal

import pytest

from relevox.engines.workers import raise_failures, run_all
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


def test_a_mistake_of_ours_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_all(lambda n: 1 // n, [0])
