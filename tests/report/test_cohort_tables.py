"""The cohort by class."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.records import Cohort
from relevox.report.cohort_tables import class_sizes, cohort_numbers, cohort_table, last_scans, of_study
from relevox.report.plain import latex


@pytest.fixture
def described(results):
    """Sixteen scans of fourteen patients, two of them scanned twice, all within one class."""
    return of_study(results)


def by_name(table):
    return {row[0].strip(): row for row in table.rows}


def test_the_score_that_makes_the_classes_is_a_median_and_gets_no_p(described):
    row = by_name(cohort_table(described))["EDSS"]
    assert row[1:5] == ("1.5 [1.5 to 1.5]", "4.0 [4.0 to 4.0]", "2.8 [1.5 to 4.0]", "not\N{NO-BREAK SPACE}tested")


def test_every_row_prints_test_n_and_missing(described):
    rows = by_name(cohort_table(described))
    assert rows["disease duration (years)"][-1] == "15 (1)"
    assert rows["age (years)"][5] == "mixed model"
    assert rows["sex, patients"][-1] == "14 (0)"  # patients, not scans
    assert rows["sex, patients"][5] == "Fisher exact"
    assert rows["scanner, scans"][-1] == "16 (0)"


def test_header_counts_patients_and_scans_of_each_class(described):
    header = cohort_table(described).header
    assert header[1] == "EDSS < 3: 7 patients, 8 scans"
    assert header[2] == "EDSS \N{GREATER-THAN OR EQUAL TO} 3: 7 patients, 8 scans"
    assert header[3] == "all: 14 patients, 16 scans"


def test_a_patient_who_changes_class_counts_once_where_the_last_scan_lies(described):
    first, *others = described.cohort.observations
    changed = replace(described, cohort=Cohort((replace(first, label=1, score=3.0), *others)))
    table = cohort_table(changed)
    assert table.header[3] == "all: 14 patients, 16 scans"
    assert class_sizes(changed.cohort) == [(7, 7), (7, 9)]
    assert "1 patient has scans in both classes, counted in the class of the last scan" in table.caption
    assert not last_scans(changed.cohort)[0][0]


def test_repeated_scans_are_counted_but_tested_once(described):
    repeated = by_name(cohort_table(described))["scanner, scans"]
    assert repeated[5].endswith("; last scans")
    marked, _ = last_scans(described.cohort)
    once = replace(
        described,
        cohort=Cohort(tuple(o for o, last in zip(described.cohort, marked, strict=True) if last)),
        volumes_ml=described.volumes_ml[marked],
    )
    single = by_name(cohort_table(once))["scanner, scans"]
    assert repeated[4] == single[4] and single[-1] == "14 (0)"
    assert "several scans" in cohort_table(described).caption
    assert "several scans" not in cohort_table(once).caption


def test_further_columns_become_kinds_or_measures_of_patients_or_scans(described):
    n, patients = len(described.cohort), described.cohort.patients
    index = np.unique(patients, return_inverse=True)[1]
    columns = {
        "ms_type": [("RR", "SP")[i % 2] for i in index],
        "treatment": [("none", "first line")[k % 2] for k in range(n)],  # changes between scans
        "age_at_onset": [f"{20 + i}" if i else "" for i in index],
        "name": [f"patient {i}" for i in index],
        "relapses": [str(i % 3) for i in index],
    }
    rows = by_name(cohort_table(replace(described, characteristics=columns)))
    assert rows["MS type, patients"][-1] == "14 (0)"
    assert rows["treatment, scans"][-1] == "16 (0)"
    assert rows["age at onset"][5] == "Welch t" and rows["age at onset"][-1] == "13 (1)"
    assert rows["relapses, patients"][5] != "Welch t"  # three values are kinds
    assert not any("patient " in name for name in rows)  # as many names as patients are no kinds


def test_an_external_cohort_gets_its_own_title(described):
    table = cohort_table(described, "The external cohort by class")
    assert table.caption.startswith("The external cohort by class: mean (SD)")


def test_the_file_holds_the_same_rows_in_full_numbers(described):
    table, numbers = cohort_table(described), cohort_numbers(described)
    assert len(table.rows) == len(numbers)
    for row, full in zip(table.rows, numbers, strict=True):
        assert row[0].strip() == (full["level"] or full["variable"])
        assert row[1] == full["EDSS < 3"]
    sex = next(full for full in numbers if full["level"] == "female")
    assert sex["variable"] == "sex, patients" and sex["n"] == 9


def test_the_same_table_is_latex(described):
    table = cohort_table(described)
    text = latex(table, "tab:2")
    assert text.count(r" \\" + "\n") == len(table.rows) + 1
    assert r"EDSS $\geq$ 3: \\ 7 patients, \\ 8 scans" in text
