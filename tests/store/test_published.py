"""Printed tables, read as they were typed."""

import re

import numpy as np
import pytest

from relevox.errors import Problems, TableError
from relevox.statistics import alternatives, description
from relevox.store.published import printed_p, read

HEADER = "table,row,unit,kind,levels,group0,group1,printed_p\n"


def one(tmp_path, line, header=HEADER):
    file = tmp_path / "rows.csv"
    file.write_text(header + line + "\n", encoding="utf-8")
    return read(file)[0]


@pytest.mark.parametrize(
    ("text", "relation", "value", "decimals"),
    [
        ("0.08", "=", 0.08, 2),
        (".080", "=", 0.08, 3),
        ("p=0.03", "=", 0.03, 2),
        ("P = 0.03*", "=", 0.03, 2),
        ("<0.001", "<", 0.001, 3),
        ("< .001", "<", 0.001, 3),
        ("p < 0.001", "<", 0.001, 3),
        ("\N{LESS-THAN OR EQUAL TO}0.05", "<", 0.05, 2),
        (">0.99", ">", 0.99, 2),
        ("n.s.", ">", 0.05, 2),
        ("NS", ">", 0.05, 2),
        ("0,08", "=", 0.08, 2),
        ("1e-4", "=", 1e-4, 4),
        ("<2.2e-16", "<", 2.2e-16, 17),
        ("0.000", "=", 0.0, 3),
    ],
)
def test_p_values_are_read_as_journals_print_them(text, relation, value, decimals):
    p = printed_p(text)
    assert (p.relation, p.value, p.decimals) == (relation, value, decimals)


@pytest.mark.parametrize("text", ["", "n/a", "-", "\N{EM DASH}", "NR"])
def test_a_missing_p_is_missing(text):
    assert printed_p(text).relation == ""


@pytest.mark.parametrize("text", ["yes", "1.2", "-0.1", "<", "p", "0.0.1"])
def test_what_is_no_p_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(text)):
        printed_p(text)


def test_counts_are_read_by_level_and_group(tmp_path):
    row = one(tmp_path, "2,CIS topography,patient,count 4x2,a|b|c|d,59|74|60|22 ,24|24|38|18,<0.001")
    np.testing.assert_array_equal(row.counts, [[59, 24], [74, 24], [60, 38], [22, 18]])
    assert (row.name, row.unit, row.test) == ("CIS topography", "patient", "")


def test_bracketed_percentages_are_checked(tmp_path):
    row = one(tmp_path, "2,sex,patient,count 2x2 (Yates),F|M,147 (64 %)|68 (32),60 (58%)|44,0.08")
    assert row.test == description.YATES
    assert row.notes == ("147 of 215 is 68.4 %, not 64 %",)  # 68 of 215 is 31.6, which rounds to 32


def test_a_count_of_a_total_is_two_levels(tmp_path):
    row = one(tmp_path, "1,relapse,patient,count 2x2 (no Yates),,147/215,60 of 104,")
    np.testing.assert_array_equal(row.counts, [[147, 60], [68, 44]])
    assert row.test == description.PEARSON


def test_percentages_keep_every_count_that_rounds_to_them(tmp_path):
    row = one(tmp_path, "1,relapse,patient,percent|n,,68 %|215,57.7|104,")
    np.testing.assert_array_equal(row.counts, [[146, 60], [69, 44]])
    firsts = {int(counts[0, 0]) for counts in row.counts_range}
    assert firsts == {146, 147}  # 67.5 to 68.5 % of 215: 145.1 to 147.3
    assert one(tmp_path, "1,x,patient,percent|n,,50.0|3,40|10,").notes[0] == "50.0 % of 3 is no whole number"


def test_moments_carry_their_rounding(tmp_path):
    row = one(tmp_path, '1,brain,scan,mean|SD|n (Student),,"1,572.0|83.70|215",1504.8|114|167,<.001')
    np.testing.assert_allclose(row.moments, [[1572.0, 1504.8], [83.7, 114], [215, 167]])
    np.testing.assert_allclose(row.halves, [[0.05, 0.05], [0.005, 0.5]])
    assert row.test == alternatives.STUDENT


def test_standard_errors_become_standard_deviations(tmp_path):
    row = one(tmp_path, "1,brain,scan,mean|SE|n,,10|0.5|16,11|0.5|25,")
    np.testing.assert_allclose(row.moments[1], [2.0, 2.5])


@pytest.mark.parametrize("kind", ["median|range", "median|IQR|n", "mean|n", "mean|range", "median (IQR)"])
def test_medians_and_means_without_spread_cannot_be_tested(tmp_path, kind):
    assert "single values" in one(tmp_path, f"1,EDSS,scan,{kind},,1.5|0-2.5,5|3-9,<0.001").why_not


@pytest.mark.parametrize("kind", ["mean|SD|n", "mean (SD)|n", "Mean \N{PLUS-MINUS SIGN} SD n", "mean SD n (t-test)"])
def test_moments_have_many_spellings(tmp_path, kind):
    assert one(tmp_path, f"1,age,patient,{kind},,10|2|20,12|4|20,").moments.shape == (3, 2)


def test_a_test_that_needs_the_values_is_said_to(tmp_path):
    row = one(tmp_path, "1,age,patient,mean|SD|n (Mann-Whitney),,10|2|20,12|4|20,0.06")
    assert row.notes == ("mann-whitney cannot be made from printed numbers",)
    assert one(tmp_path, "1,sex,patient,n (%),F|M,10 (25%)|30,20|20,").notes == ()


def test_three_groups_and_rows_with_two_of_them(tmp_path):
    header = "table;row;unit;kind;levels;group 0;group_1;Group2;p\n"
    file = tmp_path / "rows.csv"
    file.write_text(
        "\ufeff" + header + "1;sex;patient;count;F|M;1|2;3|4;5|6;\n1;age;patient;mean|SD|n;;1|1|9;2|1|9;;0.5\n",
        encoding="utf-8",
    )
    three, two = read(file)
    assert three.counts.shape == (2, 3) and two.moments.shape == (3, 2)
    assert two.printed.value == 0.5


def test_paired_rows_need_the_differences(tmp_path):
    assert one(tmp_path, "1,EDSS,patient,mean|SD|n (paired),,0.5|1.0|30,,").test == alternatives.PAIRED
    assert "differences" in one(tmp_path, "1,EDSS,patient,mean|SD|n (paired),,1|1|30,2|1|30,").why_not
    assert one(tmp_path, "1,relapse,patient,count 2x2 (McNemar),,794|150,86|570,").test == alternatives.MCNEMAR


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("1,x,patient,count 2x2,a|b,1.5|2,3|4,", "cell-invalid", "whole counts"),
        ("1,x,patient,count 2x2,a|b,-1|2,3|4,", "cell-invalid", "whole counts"),
        ("1,x,patient,count 2x2,a|b,1|2|3,3|4,", "cell-invalid", "as many counts"),
        ("1,x,patient,count 2x2,a|b|c,1|2,3|4,", "cell-invalid", "3 counts, one a level"),
        ("1,x,patient,count 4x2,,1|2,3|4,", "cell-invalid", "4x2"),
        ("1,x,patient,count,a,1,3,", "cell-invalid", "for every level"),
        ("1,x,patient,mean|SD|n,,7.6|6.6,1|2|3,", "cell-invalid", "mean|spread|n"),
        ('1,x,patient,mean|SD|n,,"7,6|6.6|9",1|2|3,', "cell-invalid", "decimal point"),
        ("1,x,patient,mean|SD|n,,7.6|-1|9,1|2|3,", "cell-invalid", "spread of 0"),
        ("1,x,patient,mean|SD|n,,7.6|1|9.5,1|2|3,", "cell-invalid", "whole number"),
        ("1,x,patient,percent|n,,120|9,1|2,", "cell-invalid", "100 %"),
        ("1,x,patient,hazard,,1|2,3|4,", "kind-unknown", "hazard"),
        ("1,x,patient,count,,1|2,3|4,maybe", "p-invalid", "maybe"),
        ("1,x,patient,count,,1|2,3|4,0.1,9,9", "table-ragged", "8 cells"),
    ],
)
def test_bad_cells_are_named_by_their_row(tmp_path, line, code, says):
    with pytest.raises(TableError, match="row 1") as caught:
        one(tmp_path, line)
    assert caught.value.code == code
    assert says in str(caught.value)


def test_all_bad_rows_are_listed_at_once(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + "1,x,p,count,,a|b,3|4,\n1,y,p,count,,1|2,3|4,\n1,z,p,nothing,,1,2,\n")
    with pytest.raises(Problems) as caught:
        read(file)
    assert [problem.row for problem in caught.value.problems] == [1, 3]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "table-columns"),
        ("row,kind,group0\nx,count,1|2\n", "table-columns"),
        ("row,kind,group0,group1,p,P\n", "table-columns"),
        (HEADER, "table-empty"),
    ],
)
def test_a_table_without_what_is_needed_is_refused(tmp_path, text, code):
    file = tmp_path / "rows.csv"
    file.write_text(text)
    with pytest.raises(TableError) as caught:
        read(file)
    assert caught.value.code == code


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(TableError, match="no file"):
        read(tmp_path / "none.csv")
    (tmp_path / "rows.csv").write_bytes(b"\xff\xfe\x00row")
    with pytest.raises(TableError, match="UTF-8"):
        read(tmp_path / "rows.csv")
