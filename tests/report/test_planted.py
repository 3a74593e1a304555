"""What the report says and draws of a planted signal."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.report.page import Note, Picture, Table
from relevox.report.planted import distributions, found_sentence, network_sentence
from relevox.report.planted_results import PlantedResults
from relevox.report.section_planted import planted

MEASURES = {"enrichment": 20.0, "auc": 0.9, "rank_accuracy": 0.4, "pointing": 0.8, "auc_against_decoy": 0.8}


def row(method, target, measure, value, half=0.05):
    interval = {"ci_low": value - half, "ci_high": value + half, "n": 12.0}
    return {"method": method, "target": target, "measure": measure, "value": value} | interval


@pytest.fixture
def results():
    rows = [row("network", "classes", "auc", 0.9), row("network", "signal", "effect", 2.0)]
    rows += [row("network", "decoy", "effect", 0.1)]
    for method, factor in (("lrp", 1.0), ("absolute_input", 0.5), ("absolute_difference", 0.4), ("chance", 0.1)):
        rows += [row(method, "signal", measure, factor * value) for measure, value in MEASURES.items()]
    rows.append(row("lrp", "signal", "rank_accuracy_gain", 0.2))
    scans = [
        {"method": method, "target": "signal", "measure": "rank_accuracy", "value": value / 20}
        for method in ("lrp", "absolute_input", "absolute_difference")
        for value in range(12)
    ]
    shape = (12, 14, 10)
    brain = np.zeros(shape, dtype=np.float32)
    brain[2:-2, 2:-2, 2:-2] = 1
    signal, decoy = np.zeros(shape), np.zeros(shape)
    signal[4:6, 4:6, 4:6], decoy[7:9, 7:9, 6:8] = 1, 1
    plant = {"kind": "blob", "region": "deep_grey", "strength": 0.6, "radius_mm": 8.0}
    card = {
        "plant": plant | {"start": "study", "folds": 2, "epochs": 6},
        "n_test_scans": 30,
        "n_with_signal": 15,
        "n_found_by_network": 13,
        "n_explained": 12,
        "learned": True,
        "conclusion": "",
    }
    example = {"t1w": brain, "flair": brain, "signal": signal, "decoy": decoy, "lrp": signal * 2.0}
    return PlantedResults("blob-deep-grey", card, rows, scans, example)


def test_a_map_that_beats_the_image_and_tells_the_decoy_finds_the_signal(results):
    said = found_sentence(results, "lrp")
    assert "finds it" in said and "40 %" in said and "+20 points" in said and "tells it from the decoy" in said


def test_a_map_that_is_no_better_than_the_image_is_said_to_be_none(results):
    worse = [
        r | {"value": 0.0, "ci_low": -0.1, "ci_high": 0.1} if r["measure"].endswith("gain") else r for r in results.rows
    ]
    assert "no more than the image alone" in found_sentence(replace(results, rows=worse), "lrp")


def test_a_network_that_learned_nothing_is_blamed_before_its_maps(results):
    card = {**results.card, "learned": False, "n_explained": 0}
    blocks = planted([replace(results, card=card)])
    assert any(isinstance(block, Note) for block in blocks)
    assert not any(isinstance(block, Table) for block in blocks)
    assert "no fault of theirs" in network_sentence(replace(results, card=card))
    assert "a map that does not show it in these scans is wrong" in network_sentence(results)


def test_the_table_ends_with_chance_and_figures_say_how_many_scans(results):
    blocks = planted([results])
    (table,) = (block for block in blocks if isinstance(block, Table))
    assert table.rows[-1][0] == "chance" and len(table.rows) == 4
    pictures = [block for block in blocks if isinstance(block, Picture)]
    assert len(pictures) == 2 and "12 scans" in pictures[0].caption


def test_the_distributions_show_every_method():
    figure = distributions({"lrp": [0.1, 0.2, np.nan], "absolute_input": []}, "share", 0.1)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "LRP (alpha 1, beta 0) (n = 3)",
        "the image itself, no network (n = 0)",
    ]
