"""Temporary files of maps: there while they are needed, gone afterwards."""

import numpy as np
import pytest

from relevox.errors import StudyError
from relevox.store import layout, stacks


def folder(study):
    return layout.path(study, "group_stack", desc="").parent


def test_what_was_put_is_got(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5)).astype(np.float32)
    with stacks.stack(tmp_path, (3, 5), {"lrp": np.float32, "integrated_gradients": np.float32, "lesion": bool}) as s:
        for row in (2, 0, 1):
            s.put("lrp", row, values[row])
            s.put("lesion", row, values[row] > 0)
        np.testing.assert_array_equal(s.get("lrp"), values)
        np.testing.assert_array_equal(s.get("lesion"), values > 0)
        assert (s.get("integrated_gradients") == 0).all()
    assert not folder(tmp_path).exists()


def test_the_files_are_gone_after_an_error_and_after_a_run_that_was_killed(tmp_path):
    with pytest.raises(ZeroDivisionError), stacks.stack(tmp_path, (2, 2), {"lrp": np.float32}):
        assert folder(tmp_path).exists()
        raise ZeroDivisionError
    assert not folder(tmp_path).exists()
    folder(tmp_path).mkdir(parents=True)
    (folder(tmp_path) / "lrp.npy").write_bytes(b"half")
    with stacks.stack(tmp_path, (2, 2), {"jacobian": np.float32}):
        assert [file.name for file in folder(tmp_path).iterdir()] == ["jacobian.npy"]


def test_a_disk_without_room_is_said_before_anything_is_computed(tmp_path):
    with pytest.raises(StudyError, match="GB of temporary files") as caught:
        with stacks.stack(tmp_path, (10**6, 10**10), {"lrp": np.float32}):
            raise AssertionError("no disk holds this")
    assert caught.value.code == "write-failed"
    assert not folder(tmp_path).exists()
