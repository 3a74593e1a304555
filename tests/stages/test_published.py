"""The paper's printed tables, recomputed from the rows in docs/."""

import subprocess
import sys
from pathlib import Path

from relevox.stages import published
from relevox.store import tables

ROWS = Path(__file__).parents[2] / "docs" / "coll2023_tables.csv"


def test_every_row_of_the_papers_tables_gets_its_verdict(tmp_path):
    table, sentence = published.run(ROWS, tmp_path)
    rows = tables.read(tmp_path / "published_tables.tsv")
    verdict = {(row["table"], row["row"]): row["verdict"] for row in rows}
    misprints = {key for key, words in verdict.items() if words == "not reproduced"}
    assert misprints == {("2", "CIS topography"), ("3", "sex")}
    assert verdict["2", "sex"] == "reproduced with Yates only"
    untested = {name for (_, name), words in verdict.items() if words == "not testable"}
    assert untested == {"age at CIS (years)", "EDSS", "age at diagnosis (years)", "PDDS"}
    rest = [words for key, words in verdict.items() if key not in misprints and key[1] not in untested]
    assert all(words.startswith("reproduced") for words in rest) and len(rest) == 17
    p = {(row["table"], row["row"]): tables.number(row, "p") for row in rows}
    assert f"{p['2', 'CIS topography']:.3f} {p['3', 'sex']:.3f}" == "0.047 0.002"
    assert "23 rows: 17 reproduced" in sentence and "CIS topography (table 2), sex (table 3)" in sentence
    assert len(table.rows) == 23


def test_the_same_content_is_written_as_latex(tmp_path):
    table, _ = published.run(ROWS, tmp_path)
    text = (tmp_path / "published_tables.tex").read_text(encoding="utf-8")
    assert text.count(r"\\" + "\n") == len(table.rows) + 1
    assert "CIS topography & patient & chi-square & 7.95 & 0.047" in text


def test_the_command_prints_the_verdicts_and_names_bad_rows(tmp_path):
    command = [sys.executable, "-c", "from relevox.cli import main; main()", "tables"]
    good = subprocess.run([*command, str(ROWS)], capture_output=True, text=True, check=True)
    assert "does not follow from the printed numbers for: CIS topography (table 2), sex (table 3)" in good.stdout
    bad = tmp_path / "bad.csv"
    bad.write_text("row,kind,group0,group1\nage,count,1|x,2|3\n")
    failed = subprocess.run([*command, str(bad)], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "bad.csv: row 1: age" in failed.stderr and "Traceback" not in failed.stderr
