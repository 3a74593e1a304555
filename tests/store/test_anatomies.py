"""Anatomies come back as they were written, the same bytes every time."""

import numpy as np
import pytest

from relevox.errors import StudyError
from relevox.phantom.simulated_scan import ScanAnatomy
from relevox.records import ScanId
from relevox.store import anatomies, layout

SCAN = ScanId("sub-001", "ses-01")


def head(seed=0):
    rng = np.random.default_rng(seed)
    shape = (3, 4, 5)
    return ScanAnatomy(
        rng.random((4, *shape)).astype(np.float16),
        rng.random(shape).astype(np.float16),
        rng.random(shape).astype(np.float16),
        rng.integers(0, 7, shape).astype(np.int16),
        rng.random(shape).astype(np.float32),
        rng.random(shape).astype(np.float32),
        {"lesions": 3.25, "intracranial": 1600.123456789},
        {"frontal_cortex": 200.0},
        {"frontal_cortex": rng.random((4, *shape)).astype(np.float16)},
    )


def test_a_head_survives_writing_and_reading(tmp_path):
    written = head()
    anatomies.write(tmp_path, SCAN, written, "MNI")
    found = anatomies.read(tmp_path, SCAN, "MNI")
    for name, value in written._asdict().items():
        if isinstance(value, np.ndarray):
            assert getattr(found, name).dtype == value.dtype
            np.testing.assert_array_equal(getattr(found, name), value)
    assert found.volumes_ml == written.volumes_ml and found.causes_ml == written.causes_ml
    np.testing.assert_array_equal(found.changed["frontal_cortex"], written.changed["frontal_cortex"])


def test_equal_heads_are_equal_bytes(tmp_path):
    one, two = (anatomies.write(tmp_path / name, SCAN, head(), "MNI") for name in "ab")
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half an archive", b"no archive"])
def test_a_damaged_head_is_refused(tmp_path, content):
    anatomies.write(tmp_path, SCAN, head(), "MNI")
    layout.path(tmp_path, "anatomy", SCAN, space="MNI").write_bytes(content)
    with pytest.raises(StudyError, match="anatomy-unreadable"):
        anatomies.read(tmp_path, SCAN, "MNI")
