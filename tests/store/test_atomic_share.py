"""A file with two names: one content, and replacing one leaves the other."""

import os

import pytest

from relevox.errors import StudyError
from relevox.store import atomic


def test_a_shared_file_has_two_names_until_one_is_replaced(tmp_path):
    one = atomic.write_text(tmp_path / "one", "head")
    two = atomic.share(one, tmp_path / "folder" / "two")
    assert two.read_text() == "head" and os.path.samefile(one, two)
    atomic.write_text(two, "changed")
    assert one.read_text() == "head"


def test_where_links_are_unknown_it_is_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    one = atomic.write_text(tmp_path / "one", "head")
    two = atomic.share(one, tmp_path / "two")
    assert two.read_text() == "head" and not os.path.samefile(one, two)


def test_sharing_again_is_the_same(tmp_path):
    one = atomic.write_text(tmp_path / "one", "head")
    for _ in range(2):
        assert atomic.share(one, tmp_path / "two").read_text() == "head"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_what_is_not_there_cannot_be_shared(tmp_path):
    with pytest.raises(StudyError, match="write-failed"):
        atomic.share(tmp_path / "nothing", tmp_path / "two")
