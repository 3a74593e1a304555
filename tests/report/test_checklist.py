"""Reporting checklists, filled in as far as the study knows."""

from dataclasses import replace

import pytest

from relevox.report.checklist import CHECKLISTS, MUST_STATE, details, filled, items, markdown, rows
from relevox.report.checklist_answers import ANSWERS
from relevox.report.page import Section, render

NUMBERS = {
    "tripod_ai": [str(n) for n in range(1, 28)],
    "claim_2024": [str(n) for n in range(1, 45)],
}
"""Items of the guidelines, without the letters of their parts."""


def by_number(name, results):
    return {answer.item.number: answer for answer in filled(name, results)}


@pytest.mark.parametrize("name", CHECKLISTS)
def test_every_item_of_the_guideline_is_asked_once(name):
    numbers = [item.number for item in items(name)]
    assert len(set(numbers)) == len(numbers)
    assert list(dict.fromkeys(number.rstrip("abcdefg") for number in numbers)) == NUMBERS[name]
    assert all(item.question.endswith("?") and item.topic and item.section for item in items(name))


@pytest.mark.parametrize("name", CHECKLISTS)
def test_every_item_has_an_answer_or_says_what_the_author_must_state(name, results):
    for item in items(name):
        assert item.answer in ANSWERS or (item.answer == "" and item.author)
    for answer in filled(name, results):
        assert answer.text
        assert (answer.status == "filled") == (MUST_STATE not in answer.text)


def test_no_answer_is_unused():
    asked = {item.answer for name in CHECKLISTS for item in items(name)}
    assert asked - {""} == set(ANSWERS)


def test_what_only_an_author_knows_is_never_filled_in(results):
    tripod, claim = by_number("tripod_ai", results), by_number("claim_2024", results)
    for number in ("3a", "8b", "8c", "17", "18a", "18b", "18c", "18d", "18e", "19", "25"):
        assert tripod[number].status == "author" and not tripod[number].found
    for number in ("5", "15", "16", "18", "34", "42", "44"):
        assert claim[number].status == "author"


def test_numbers_are_those_of_the_study(results):
    tripod = by_number("tripod_ai", results)
    assert "16 scans of 14 patients; 8 scans of 7 patients with EDSS" in tripod["10"].found
    assert "AUC 0.80 (0.70 to 0.90)" in tripod["23a"].found
    assert "disease duration (years) 1" in tripod["11"].found
    assert "6 (3), 5 (2), 5 (3)" in tripod["21"].found  # scans and events of folds 0, 1, 2


def test_answers_follow_the_results(results):
    assert by_number("tripod_ai", results)["17"].found == ""
    simulated = replace(results, simulated=True)
    assert by_number("tripod_ai", simulated)["17"].text.startswith("The patients are simulated. Author must state")
    treated = replace(results, characteristics={"treatment": ["none"] * 16})
    assert "tables/table2" in by_number("tripod_ai", treated)["6c"].found
    lost = replace(results, versions={})
    assert by_number("claim_2024", lost)["43"].status == "author"


def test_a_paste_of_markdown_keeps_its_columns(results):
    text = markdown("tripod_ai", results)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(items("tripod_ai"))
    assert {line.replace("\\|", "").count("|") for line in lines} == {6}
    assert "<" not in text.split("\n", 4)[4]


def test_the_file_tells_answers_from_what_is_left(results):
    table = {row["item"]: row for row in rows("claim_2024", results)}
    assert table["20"]["status"] == "filled" and table["20"]["author_must_state"] == ""
    assert table["44"]["answer"] == "" and "funding" in table["44"]["author_must_state"]


def test_the_page_folds_them_away(results):
    page = render("report", "t", "s", [Section("a", "A", [details("claim_2024", results)])], "0")
    assert page.count("<details>") == page.count("</details>") == 1
    assert "<b>Table 1.</b> CLAIM 2024" in page
    assert page.count('<th scope="row">') == 44


def test_subgroups_and_scanners_are_named_where_they_were_scored(results):
    plain = by_number("tripod_ai", results)
    assert "subgroups" not in plain["14"].found and "evaluation/" not in plain["23b"].found
    subgroup = {"factor": "age_band", "scans_used": "all", "measure": "accuracy"}
    tables = {"subgroups": [subgroup], "stratified": [{}], "temperatures": [{}], "posthoc": [{}]}
    scored = by_number("tripod_ai", replace(results, evaluation=tables))
    assert "in subgroups by age band" in scored["14"].found
    assert "AUC within scanners: evaluation/stratified_auc.tsv; subgroups" in scored["23b"].found
    assert "temperature was fitted on validation folds" in scored["12f"].found
    assert "posthoc" in by_number("claim_2024", replace(results, evaluation=tables))["30"].found


def test_without_an_external_cohort_that_is_said_in_one_sentence(results):
    assert by_number("tripod_ai", results)["16"].found == "No external cohort was tested."
