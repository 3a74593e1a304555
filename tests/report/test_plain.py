"""Tables as plain text and as LaTeX."""

from relevox.report.page import Table
from relevox.report.plain import aligned, escape_latex, latex

TABLE = Table("A & B: 5 %", ("", "EDSS < 3: 20 patients, 24 scans", "p"), [("\N{EM SPACE}a_b", "1", "< 0.001")])


def test_columns_line_up_and_empty_ones_are_left_out():
    table = Table("", ("name", "nothing", "p"), [("a", "", "0.1"), ("longer", "", "0.25")])
    header, rule, first, second = aligned(table).splitlines()
    assert "nothing" not in header and set(rule) == {"-"}
    assert header.index("p") == first.index("0.1") == second.index("0.25")


def test_nothing_in_a_cell_is_a_latex_command():
    assert escape_latex(r"\input{/etc}") == r"\textbackslash{}input\{/etc\}"
    assert escape_latex("5 % & #1 $x_2$ ~^") == r"5 \% \& \#1 \$x\_2\$ \textasciitilde{}\textasciicircum{}"
    assert escape_latex("a\nb\x00") == "a b "


def test_a_latex_table_holds_every_cell_once_and_balances_its_braces():
    text = latex(TABLE, "tab:one two")
    assert r"\caption{A \& B: 5 \%}" in text and r"\label{tab:onetwo}" in text
    assert r"\quad a\_b & 1 & $<$ 0.001 \\" in text
    assert r"EDSS $<$ 3: \\ 20 patients, \\ 24 scans" in text  # a long heading in three lines
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{table}"):
        assert text.count(command) == 1
    plain = text.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
