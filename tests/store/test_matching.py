"""Which score belongs to a scan: windows, choices, and the score at the scan beside a later one."""

from datetime import date, timedelta

import pytest

from relevox.config import CohortSettings
from relevox.errors import TableError
from relevox.records import Scan, ScanId
from relevox.store.clinical import Circumstances, Clinical, Score
from relevox.store.matching import at_scan, match, scores_of

DAY = date(2020, 1, 10)
SCAN = Scan(ScanId("sub-1", "ses-1"))
LATER = CohortSettings(window_from_days=365, window_days=1095)


def known(*scores, on=DAY):
    """Scores as (days after the scan, value); None stands for a score without a date."""
    made = [
        Score("sub-1", "", value, None if days is None else DAY + timedelta(days=days), f"phenotype/edss.tsv row {n}")
        for n, (days, value) in enumerate(scores, start=1)
    ]
    return Clinical((*made, Score("sub-2", "", 9.0, DAY, "elsewhere")), {SCAN.id: Circumstances(on=on)})


def value(settings, *scores):
    found = match(SCAN, known(*scores), settings)
    return None if found is None else found.value


@pytest.mark.parametrize(
    ("settings", "inside", "outside"),
    [
        (CohortSettings(), (0, 183), (-1, 184)),
        (CohortSettings(window_direction="before"), (0, -183), (1, -184)),
        (CohortSettings(window_direction="both"), (-183, 0, 183), (-184, 184)),
        (LATER, (365, 1095), (0, 364, 1096, -365)),
        (LATER.model_copy(update={"window_direction": "before"}), (-365, -1095), (0, -364, -1096, 365)),
        (LATER.model_copy(update={"window_direction": "both"}), (-365, 365), (0, 364, -364)),
    ],
)
def test_both_ends_of_the_window_count(settings, inside, outside):
    assert [value(settings, (days, 2.0)) for days in inside] == [2.0] * len(inside)
    assert [value(settings, (days, 2.0)) for days in outside] == [None] * len(outside)


@pytest.mark.parametrize(
    ("direction", "choice", "expected"),
    [
        ("after", "closest", 3.0),
        ("after", "first", 3.0),
        ("after", "last", 5.0),
        ("before", "closest", 2.0),
        ("before", "first", 1.0),
        ("before", "last", 2.0),
        ("both", "closest", 2.0),
        ("both", "first", 1.0),
        ("both", "last", 5.0),
    ],
)
def test_the_closest_the_first_or_the_last_score_is_taken(direction, choice, expected):
    settings = CohortSettings(window_direction=direction, window_choice=choice)
    assert value(settings, (-150, 1.0), (-10, 2.0), (20, 3.0), (160, 5.0), (400, 9.0)) == expected


def test_two_different_scores_on_the_matched_day_are_an_error_that_names_the_row():
    with pytest.raises(TableError, match=r"row 2.*\[3.0, 6.0\], on the matched day"):
        value(LATER, (30, 1.0), (400, 3.0), (400, 6.0), (500, 4.0))
    assert value(LATER, (400, 3.0), (400, 3.0)) == 3.0
    assert value(LATER.model_copy(update={"window_choice": "last"}), (400, 3.0), (400, 6.0), (500, 4.0)) == 4.0


def test_a_score_without_a_date_is_never_a_later_one():
    assert value(CohortSettings(), (None, 4.0)) == 4.0
    assert value(LATER, (None, 4.0)) is None
    assert value(LATER, (None, 4.0), (500, 2.0)) == 2.0


def test_a_scan_without_a_date_cannot_be_matched_with_dated_scores():
    with pytest.raises(TableError, match="scan-date-missing"):
        match(SCAN, known((400, 3.0), on=None), LATER)


def test_the_score_at_the_scan_is_the_closest_on_either_side():
    settings = CohortSettings(window_from_days=365, window_days=1095, score_at_scan="recorded", score_at_scan_days=90)
    assert at_scan(SCAN, known((-60, 2.0), (80, 3.0), (400, 5.0)), settings).value == 2.0
    assert at_scan(SCAN, known((-91, 2.0), (90, 3.0)), settings).value == 3.0
    assert at_scan(SCAN, known((-91, 2.0), (91, 3.0)), settings) is None
    both = scores_of(SCAN, known((10, 2.0), (400, 5.0)), settings)
    assert (both.at_scan.value, both.outcome.value) == (2.0, 5.0)
    assert scores_of(SCAN, known((10, 2.0), (400, 5.0)), LATER).at_scan is None


def test_a_scan_without_the_score_it_needs_is_not_complete():
    recorded = LATER.model_copy(update={"score_at_scan": "recorded"})
    required = LATER.model_copy(update={"score_at_scan": "required"})
    only_later = known((400, 5.0))
    assert scores_of(SCAN, only_later, recorded).is_complete(recorded)
    assert not scores_of(SCAN, only_later, required).is_complete(required)
    assert not scores_of(SCAN, known((0, 5.0)), recorded).is_complete(recorded)


def test_worsening_is_a_step_that_is_smaller_where_the_score_is_high():
    settings = LATER.model_copy(update={"outcome": "worsening"})
    pairs = {(2.0, 2.5): 0, (2.0, 3.0): 1, (5.5, 6.0): 0, (5.5, 6.5): 1, (6.0, 6.5): 1, (6.0, 6.0): 0, (6.0, 2.0): 0}
    labels = {pair: scores_of(SCAN, known((0, pair[0]), (400, pair[1])), settings).label(settings) for pair in pairs}
    assert labels == pairs
