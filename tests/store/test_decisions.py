import pytest

from relevox.errors import TableError
from relevox.records import ScanId
from relevox.store import decisions, layout, tables


def write(study, *rows):
    columns = ("participant_id", "session_id", "decision", "note")
    tables.write(layout.path(study, "quality_decisions"), [dict(zip(columns, row, strict=True)) for row in rows])


def test_no_table_means_no_decision(tmp_path):
    assert decisions.read(tmp_path) == {}


def test_decisions_are_read_by_scan(tmp_path):
    write(tmp_path, ("sub-01", "ses-1", "fail", "cut off"), ("sub-02", "n/a", "PASS", "n/a"))
    assert decisions.read(tmp_path) == {
        ScanId("sub-01", "ses-1"): (False, "cut off"),
        ScanId("sub-02"): (True, ""),
    }


def test_another_word_and_a_scan_twice_are_refused_by_row(tmp_path):
    write(tmp_path, ("sub-01", "ses-1", "pass", ""), ("sub-02", "ses-1", "maybe", ""))
    with pytest.raises(TableError) as unknown:
        decisions.read(tmp_path)
    assert (unknown.value.code, unknown.value.row) == ("decision-invalid", 2)
    write(tmp_path, ("sub-01", "ses-1", "pass", ""), ("sub-01", "ses-1", "fail", ""))
    with pytest.raises(TableError) as twice:
        decisions.read(tmp_path)
    assert (twice.value.code, twice.value.row) == ("decision-repeated", 2)
