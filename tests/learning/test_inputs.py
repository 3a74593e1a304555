import numpy as np
import pytest
import torch

from relevox.learning import inputs as module
from relevox.learning.inputs import ScansOnDevice, bring, channels_last, load_batch

CPU = torch.device("cpu")


@pytest.fixture
def cohort(tmp_path):
    """Seven scans in a memory-mapped array."""
    file = tmp_path / "inputs.npy"
    np.save(file, np.random.default_rng(0).random((7, 2, 4, 5, 6)).astype(np.float16))
    return np.load(file, mmap_mode="r")


def test_a_batch_is_what_the_array_holds_as_float32(cohort):
    rows = np.array([5, 0, 5])
    batch = load_batch(cohort, rows, CPU)
    assert batch.dtype == torch.float32
    np.testing.assert_array_equal(batch.numpy(), cohort[rows].astype(np.float32))


def test_scans_on_a_device_answer_by_the_cohorts_rows(cohort):
    held = ScansOnDevice(cohort, np.array([6, 1, 3, 1]), CPU)
    assert len(held.scans) == 3 and held.scans.dtype == torch.float16 and held.shape == cohort.shape
    rows = np.array([3, 6, 6, 1])
    torch.testing.assert_close(load_batch(held, rows, CPU), load_batch(cohort, rows, CPU))
    with pytest.raises(AssertionError):
        held[np.array([0])]


def test_a_processor_reads_from_disk(cohort):
    assert bring(cohort, np.arange(7), CPU) is cohort


@pytest.mark.parametrize(("free", "moved"), [(5 * 480 * 2, True), (5 * 480 * 2 - 1, False)])
def test_a_gpu_gets_the_scans_of_a_training_when_they_take_half_of_its_free_memory_at_most(
    cohort, monkeypatch, free, moved
):
    made = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**9))
    monkeypatch.setattr(module, "ScansOnDevice", lambda *arguments: made.append(arguments) or "held")
    rows = np.array([0, 2, 2, 4, 5, 6])  # five scans of 2 x 4 x 5 x 6 values, two bytes each
    assert bring(cohort, rows, torch.device("cuda")) is (cohort if not moved else "held")
    assert len(made) == moved


def test_channels_lie_beside_each_other():
    x = channels_last(torch.rand(2, 3, 4, 5, 6))
    assert x.shape == (2, 3, 4, 5, 6) and x.stride()[1] == 1
