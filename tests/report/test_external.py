"""The section of an external cohort: what it says follows from its numbers."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.config import CohortSettings
from relevox.records import Ballot, Cohort, Observation, ScanId
from relevox.report import external, section_external, section_leaks
from relevox.report.external_words import external_sentences
from relevox.report.limits import limits
from relevox.report.page import Note, Table
from relevox.report.results import ExternalResults
from relevox.report.study import study_page

MEASURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc", "brier")


def ballot(scan, model, label, share, probability):
    return Ballot(scan, model, label, int(share > 0.5), probability, share, share, (probability,) * 7)


@pytest.fixture
def other():
    rng = np.random.default_rng(0)
    observations = tuple(
        Observation(ScanId(f"sub-x{i:02d}"), float(5 * (i % 2)), i % 2, 40.0 + i, "F", "Skyra") for i in range(20)
    )
    ballots = [
        ballot(o.id, model, o.label, k / 7, float(np.clip(k / 7, 0.05, 0.95)))
        for model in ("cnn", "volumes")
        for o, k in zip(observations, rng.integers(0, 8, 20), strict=True)
    ]
    ends = {f"{name}_{end}": v for name in ("wilson", "clopper_pearson") for end, v in (("low", 0.5), ("high", 0.8))}
    scores = [
        {"model": m, "level": level, "measure": k, "value": 0.65, "ci_low": 0.55, "ci_high": 0.75, "n": 20.0} | ends
        for m in ("cnn", "volumes")
        for level in ("scan", "patient")
        for k in (*MEASURES, "auc_within_scanner")
    ]
    tests = {"difference": -0.04, "statistic": 1.0, "p": 0.3, "n": 20.0}
    audit = {"check": "same image", "against": "the training cohort", "shared": 0.0, "who": "n/a"}
    return ExternalResults(
        name="external",
        settings=CohortSettings(score="PDDS"),
        cohort=Cohort(observations),
        flow=[{"rule": "scans found", "scans_removed": 0.0, "scans_left": 20.0, "patients_left": 20.0}],
        quality=[{"participant_id": "sub-x00", "status": "ok", "flags": "n/a", "snr": "9"}] * 20,
        volume_names=("lesions",),
        volumes_ml=rng.normal(10, 2, (20, 1)),
        ballots=ballots,
        scores=scores,
        comparisons=[{"model": "cnn", "against": "volumes", "test": "delong", "measure": "auc"} | tests],
        calibration=[{"model": "cnn", "probability": "raw", "slope": 0.5, "intercept": 0.1, "n": 20.0}],
        leaks=[audit],
    )


def auc(other, value, low, high):
    new = {"value": value, "ci_low": low, "ci_high": high}
    rows = [r | new if (r["model"], r["measure"]) == ("cnn", "auc") else r for r in other.scores]
    return replace(other, scores=rows)


def said(results, other):
    return " ".join(external_sentences(results, other))


def test_a_drop_is_said_where_the_interval_shows_it(results, other):
    assert "it drops" in said(results, auc(other, 0.65, 0.55, 0.75))  # 0.80 out of fold
    assert "a drop is not shown" in said(results, auc(other, 0.75, 0.65, 0.85))
    assert "not equally hard" in said(results, auc(other, 0.95, 0.9, 0.99))


def test_chance_unseen_scanners_and_few_patients_are_said(results, other):
    assert "not shown to be better than chance" in said(results, auc(other, 0.55, 0.45, 0.65))
    text = said(results, other)
    assert "better than chance" not in text
    assert "20 of its 20 scans come from scanners the models never saw (Skyra)." in text
    assert "Its smaller class has 10 patients" in text
    assert "is not shown to differ from that of the six volumes" in text


def test_a_one_sided_vote_is_said(results, other):
    assert "threshold does not fit" not in said(results, other)
    all_positive = [replace(b, predicted=1) for b in other.ballots]
    assert "call 100 % of the scans of external PDDS ≥ 3" in said(results, replace(other, ballots=all_positive))


def test_the_section_stands_in_the_report_and_the_limits(results, other, monkeypatch):
    monkeypatch.setattr("relevox.report.drawing.to_png", lambda figure: b"blank")
    with_external = replace(results, external=(other,))
    page = study_page(with_external, "0")
    assert "External cohort" in page and "PDDS" in page
    assert not any("No external cohort was tested" in s for s in limits(with_external))
    assert any("No external cohort was tested" in s for s in limits(results))


def test_a_suspected_patient_is_shown_by_name(results, other, monkeypatch):
    monkeypatch.setattr("relevox.report.drawing.to_png", lambda figure: b"blank")
    row = {"check": "alike brains", "against": "the training cohort", "shared": 1.0, "who": "sub-x01 = sub-01 (0.91)"}
    blocks = section_external.external(results, replace(other, leaks=[row])).blocks
    assert any(isinstance(b, Note) and "sub-x01 = sub-01 (0.91)" in b.text for b in blocks)


def test_the_leak_audit_shows_every_side_of_every_fold(results):
    rows = [
        {"check": "size", "part": f"fold {k}, {side}", "against": "n/a", "patients": n, "scans": n + 1.0, "shared": 0.0}
        for k in (0, 1)
        for side, n in (("train", 8.0), ("validation", 3.0), ("test", 2.0))
    ]
    rows += [{"check": "same patient", "part": "", "against": "x", "shared": 0.0, "who": "n/a"}] * 3
    text, table = section_leaks.leaks(replace(results, leaks=rows))
    assert "no patient in two of the 3 pairs" in text.paragraphs[0]
    assert isinstance(table, Table) and table.rows[1] == ("fold 1", "8 (9)", "3 (4)", "2 (3)")
    assert section_leaks.leaks(results) == []


def test_figures_hold_every_model_and_every_scan(results, other):
    figure = external.inside_and_outside(results.scores, other.scores, "external")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        "CNN on the images",
        "six volumes (logistic regression)",
    ]
    figure = external.votes(other.ballots, other.classes)
    _, confusion, spread = figure.axes
    assert sum(int(text.get_text().split("\n")[0]) for text in confusion.texts) == 20
    assert sum(bar.get_height() for bar in spread.patches) == 20
