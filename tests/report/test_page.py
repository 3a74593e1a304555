"""Pages: escaped, self-contained, the same every time."""

from dataclasses import replace

import numpy as np
import pytest

from relevox import config
from relevox.records import ScanId
from relevox.report import drawing
from relevox.report.page import Bullets, Cards, Headed, Note, Picture, Section, Table, Text, render
from relevox.report.patient import patient_page
from relevox.report.results import ModelCard, PatientPage, RegionShare
from relevox.report.study import study_page
from relevox.statistics.novelty import compare, training_range

RNG = np.random.default_rng(0)
TRAINING = training_range(
    ["lesions_ml", "slice_thickness_mm"],
    np.stack([RNG.uniform(2, 40, 319), np.ones(319)], axis=1),
    [str(n) for n in range(319)],
    ["lesions_ml"],
)
EVIL = "<script>alert('x')</script>\"&"


@pytest.fixture(autouse=True)
def blank_drawings(monkeypatch):
    """Pages are read here, not looked at."""
    monkeypatch.setattr(drawing, "to_png", lambda figure: b"blank")


@pytest.fixture
def new_patient(egg):
    scores = [
        {"model": m, "level": "scan", "measure": "auc", "value": v, "ci_low": v - 0.1, "ci_high": v + 0.1}
        for m, v in (("cnn", 0.8), ("scanner", 0.65))
    ]
    return PatientPage(
        id=ScanId("sub-new"),
        probability=0.62,
        vote_share=2 / 3,
        predicted=1,
        fold_probabilities=[0.9, 0.6, 0.36],
        t1w=egg * 1.0,
        flair=egg * 1.0,
        relevance=egg * 1.0,
        brain_mask=egg,
        regions=[RegionShare("frontal_cortex", 0.6, 0.5, 0.4)],
        model=ModelCard(
            settings=config.preset("tiny"),
            cohort={
                "n_scans": 382,
                "n_patients": 319,
                "simulated": False,
                "patients_by_scanner": {"Tim Trio": 200, "other": 119},
            },
            scores=scores,
            training_range=TRAINING,
            map_checks=(),
            n_models=3,
            n_parameters=915810,
            version="0.1.0",
            fingerprint="0123456789abcdef" * 4,
        ),
        novelty=compare(TRAINING, {"lesions_ml": 12.34}),
        volumes_ml={"lesions": 12.34},
    )


def test_every_kind_of_block_escapes_its_text():
    blocks = [
        Text([EVIL]),
        Headed([(EVIL, EVIL)]),
        Bullets([EVIL]),
        Note(EVIL),
        Cards([(EVIL, EVIL, EVIL)]),
        Table(EVIL, [EVIL], [[EVIL, EVIL]]),
        Picture("data:image/png;base64,AA==", EVIL),
    ]
    for template in ("report", "patient"):
        page = render(template, EVIL, EVIL, [Section("a", EVIL, blocks)], EVIL, EVIL)
        assert "<script" not in page
        assert page.count("&lt;script&gt;") >= 18


def test_figures_and_tables_are_numbered():
    blocks = [Table("first", ["h"], [["c"]]), Picture("data:,", "one"), Picture("data:,", "two")]
    page = render("report", "t", "s", [Section("a", "A", blocks), Section("b", "B", blocks[1:])], "1")
    assert "<b>Table 1.</b> first" in page
    assert "<b>Figure 4.</b> two" in page


def test_sections_without_content_are_left_out():
    page = render("report", "t", "s", [Section("a", "A", [Note("x")]), Section("empty", "E", [])], "1")
    assert 'href="#a"' in page
    assert "empty" not in page


def test_a_page_loads_nothing(results):
    page = study_page(results, "0.1.0")
    for outside in ("http:", "https:", "<script", "<link", "@import", "url("):
        assert outside not in page


def test_the_same_study_gives_the_same_page(results):
    assert study_page(results, "0.1.0") == study_page(replace(results), "0.1.0")


def test_every_picture_has_a_caption_that_counts(results):
    page = study_page(results, "0.1.0")
    assert page.count("<img") == page.count("<b>Figure")
    assert "Scores of each model on the 16 scans" in page
    assert page.count("radiological convention") >= 3


def test_scan_ids_in_captions_are_escaped(results):
    example = results.examples[0]
    bad = replace(example.prediction, id=ScanId("sub-<script>"))
    page = study_page(replace(results, examples=[replace(example, prediction=bad)]), "0.1.0")
    assert "sub-&lt;script&gt;" in page
    assert "<script" not in page


def test_a_patients_page_shows_answer_votes_and_disagreement(new_patient):
    page = patient_page(new_patient, "0.1.0")
    assert "0.62" in page
    assert "2 of 3" in page
    assert "The models disagree" in page
    assert "Trained on 382 scans of 319 patients to tell EDSS ≥ 3." in page
    assert "0.65 (0.55 to 0.75)" in page  # the scanner alone stands beside the CNN
    agreed = replace(new_patient, vote_share=1.0, fold_probabilities=[0.9, 0.8, 0.7])
    assert "The models disagree" not in patient_page(agreed, "0.1.0")


def test_models_of_simulated_patients_put_a_warning_across_the_top(new_patient):
    card = new_patient.model
    simulated = replace(new_patient, model=replace(card, cohort={**card.cohort, "simulated": True}))
    assert '<div class="banner"' in patient_page(simulated, "0.1.0")
    assert "says nothing about a person" in patient_page(simulated, "0.1.0")
    assert '<div class="banner"' not in patient_page(new_patient, "0.1.0")


def test_the_map_stands_beside_what_the_checks_found_of_such_maps(new_patient):
    page = patient_page(new_patient, "0.1.0")
    assert "What such maps are worth with these models has not been checked" in page
    swap = {"check": "class_swap", "method": "lrp", "step": "", "position": 0, "measure": "pearson"}
    found = swap | {"value": 0.999, "ci_low": 0.99, "ci_high": 1.0, "n_scans": 14, "n_patients": 14}
    page = patient_page(replace(new_patient, model=replace(new_patient.model, map_checks=(found,))), "0.1.0")
    assert "has not been checked" not in page
    assert "What the checks found of such maps (14 patients of the study)" in page
    assert "do not depend on the class (r = 0.999): they show where the network looks, not why" in page


def test_a_flagged_scan_is_said_to_be_flagged(new_patient):
    flagged = replace(new_patient, quality_status="flagged", quality_flags=["slices of 5 mm"])
    page = patient_page(flagged, "0.1.0")
    assert "The quality of this scan is flagged" in page
    assert "slices of 5 mm" in page


def test_a_negative_answer_is_named_as_such(new_patient):
    page = patient_page(replace(new_patient, predicted=0, vote_share=0.0, probability=0.2), "0.1.0")
    assert "EDSS &lt; 3" in page


def test_a_patient_without_relevance_still_has_a_page(new_patient):
    blank = replace(new_patient, relevance=np.zeros_like(new_patient.relevance), regions=[])
    assert "Where the network looked" in patient_page(blank, "0.1.0")


def test_a_scan_unlike_the_training_scans_is_said_to_be_so_beside_the_answer(new_patient):
    page = patient_page(new_patient, "0.1.0")
    assert "All 1 measures lie inside the range of the training scans" in page
    assert "outside the training scans" not in page
    thick = replace(new_patient, novelty=compare(TRAINING, {"lesions_ml": 900.0, "slice_thickness_mm": 5.0}))
    page = patient_page(thick, "0.1.0")
    assert "This scan lies outside the training scans (lesions (ml), slice thickness (mm))" in page
    assert "slice thickness (mm) is 5; training scans: 1 in every scan." in page
    assert "lesions (ml) is 900; training scans: " in page


def test_the_spread_of_the_models_stands_beside_their_mean(new_patient):
    low, high, sd = new_patient.spread
    assert (low, high) == (0.36, 0.9) and sd == pytest.approx(np.std([0.9, 0.6, 0.36], ddof=1))
    assert "mean of 3 models; 0.36 to 0.90, SD 0.27" in patient_page(new_patient, "0.1.0")
