import math

import numpy as np
import pytest

from relevox.errors import RelevoxError, TableError
from relevox.records import Cohort, Observation, Prediction, ScanId
from relevox.store import tables

SCANS = (ScanId("sub-001", "ses-01"), ScanId("sub-1"), ScanId("sub-1E5", "ses-2"))


@pytest.fixture
def cohort():
    return Cohort(
        tuple(
            Observation(scan, 1.5 + n, n % 2, age_years=30.25, sex="F", scanner="Avanto")
            for n, scan in enumerate(SCANS)
        )
    )


def refused(tmp_path, content, **options):
    path = tmp_path / "table.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TableError) as caught:
        tables.read(path, **options)
    return caught.value.code


def test_text_stays_text(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b"\xef\xbb\xbfparticipant_id\tx\r\nsub-001\tnan\r\nsub-1E5\t 1E5 \r\n")
    assert tables.read(path) == [{"participant_id": "sub-001", "x": "nan"}, {"participant_id": "sub-1E5", "x": "1E5"}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\tb\n1\n", "table-ragged"),
        ("a\ta\n1\t2\n", "table-columns"),
        ("a\n", "table-empty"),
        ("", "table-columns"),
        ("a,b\n1,2\n", "table-separator"),
        ("a\tb\n1\t2\n".encode("utf-16"), "table-encoding"),
    ],
)
def test_bad_tables_are_refused(tmp_path, content, expected):
    assert refused(tmp_path, content, required=("a",)) == expected


def test_a_bad_number_is_named_with_its_row():
    with pytest.raises(TableError, match=r"row 3: EDSS: expected a number, but got '3,5'"):
        tables.number({"EDSS": "3,5"}, "EDSS", "x.tsv", 3)
    assert math.isnan(tables.number({"EDSS": "n/a"}, "EDSS"))


@pytest.mark.parametrize("bad", ["../x", "sub-a/b", "<script>", "=cmd", "sub-", "001"])
def test_ids_that_are_no_bids_labels_are_refused(bad):
    with pytest.raises(TableError, match="id-invalid"):
        tables.identity({"participant_id": bad})


def test_cohort_folds_and_predictions_are_read_back_equal(tmp_path, cohort):
    tables.write_cohort(tmp_path, cohort)
    again = tables.read_cohort(tmp_path)
    assert [(o.id, o.score, o.label, o.age_years, o.scanner) for o in again] == [
        (o.id, o.score, o.label, o.age_years, o.scanner) for o in cohort
    ]
    tables.write_folds(tmp_path, cohort, np.array([2, 0, 1]))
    assert tables.read_folds(tmp_path, cohort).tolist() == [2, 0, 1]
    predictions = [Prediction(scan, "cnn", 0, 1, 0.1 + 0.2 * n) for n, scan in enumerate(SCANS)]
    tables.write_predictions(tmp_path, predictions)
    read = tables.read_predictions(tmp_path)
    assert [p.id for p in read] == list(SCANS)
    assert np.allclose([p.probability for p in read], [p.probability for p in predictions], rtol=1e-9)


def test_a_missing_scan_is_named(tmp_path, cohort):
    tables.write_folds(tmp_path, Cohort(cohort.observations[:2]), np.array([0, 1]))
    with pytest.raises(RelevoxError, match="sub-1E5_ses-2"):
        tables.read_folds(tmp_path, cohort)


def test_a_tab_in_a_value_cannot_shift_columns(tmp_path):
    tables.write(tmp_path / "t.tsv", [{"a": "x\ty", "b": 1.0}])
    assert tables.read(tmp_path / "t.tsv") == [{"a": "x y", "b": "1"}]


def test_json_writes_nan_as_null_and_refuses_lists(tmp_path):
    tables.write_json(tmp_path / "a.json", {"x": math.nan, "y": np.arange(2), "z": np.float32(0.5)})
    assert tables.read_json(tmp_path / "a.json") == {"x": None, "y": [0, 1], "z": 0.5}
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(TableError, match="json-unreadable"):
        tables.read_json(tmp_path / "b.json")
