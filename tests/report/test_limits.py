"""Honesty, sentence by sentence."""

from dataclasses import replace

import numpy as np

from relevox.records import Prediction, ScanId
from relevox.report.limits import baseline_sentences, limits


def said(results, fragment):
    return any(fragment in sentence for sentence in limits(results))


def test_a_baseline_inside_the_interval_is_said_plainly(with_auc):
    inside = with_auc("scanner", 0.72, 0.6, 0.8)
    (sentence,) = baseline_sentences(inside)
    assert "lies inside the CNN's 95 % interval (0.70 to 0.90)" in sentence
    assert "does not show that the CNN reads more from the images than the scanner model gives away" in sentence
    assert sentence in limits(inside)


def test_a_baseline_below_is_no_limit_and_one_above_is(with_auc):
    below = with_auc("scanner", 0.6, 0.5, 0.7)
    assert "below the CNN's" in baseline_sentences(below)[0]
    assert not said(below, "The scanner alone")
    assert said(with_auc("scanner", 0.95, 0.9, 0.99), "the CNN is the worse model")


def test_an_interval_that_holds_chance_is_said(with_auc, results):
    assert said(with_auc("cnn", 0.55, 0.45, 0.65), "not shown to be better than chance")
    assert not said(results, "better than chance")


def test_simulated_patients_come_first(results):
    first = limits(replace(results, simulated=True))[0]
    assert first == "A model trained on simulated patients says nothing about a person."
    assert not said(results, "simulated")


def test_the_class_swap_is_given_where_it_was_measured(results):
    assert said(results, "was not measured in this study")
    row = {"method": "lrp", "target": "class", "measure": "class_swap_correlation", "value": 0.9968, "n": 14.0}
    assert said(replace(results, benchmark=[row]), "Here maps of the two classes correlate 0.997 (n = 14).")


def test_empty_and_small_groups_are_named(results):
    predictions = [Prediction(ScanId(f"sub-{i}"), "cnn", 0, int(i < 3), 0.9 if i < 3 else 0.1) for i in range(20)]
    sentences = limits(replace(results, predictions=predictions))
    assert "There are no false positives and no false negatives: these groups have no maps." in sentences
    assert "Small groups: true positives (3). Their mean maps are the maps of a few scans." in sentences


def test_r2_near_its_null_expectation_is_said(results):
    row = {"group": "FN", "n_scans": 6.0, "r2_mean": 0.42, "r2_expected": 0.4}
    assert said(replace(results, groups=[row]), "false negatives 0.420 against 0.400")
    assert not said(replace(results, groups=[row | {"r2_mean": 0.9}]), "against")
    assert not said(replace(results, groups=[row | {"r2_mean": np.nan}]), "against")


def test_failed_scans_are_counted(results):
    assert said(results, "Quality of the 16 scans: 0 failed and were left out, 1 flagged and kept.")


def test_what_is_missing_is_said(results):
    assert said(replace(results, missing=["region occlusion"]), "does not hold it: region occlusion.")


def test_lost_relevance_is_reported(results):
    sums = {"lrp": [(0.8, 0.6), (0.5, 0.4), (1.0, 0.7)]}
    assert said(replace(results, relevance_sums=sums), "the maps sum to 75 % of the value they explain")


def test_a_leak_is_named_only_beyond_chance(results):
    row = {"channel": "FLAIR", "correlation_lesion_load": 0.1, "correlation_label": 0.0, "auc_label": 0.7}
    assert not said(replace(results, input_leak=[row]), "FLAIR intensity")  # 8 against 8 scans: within chance
    assert said(replace(results, input_leak=[row | {"auc_label": 0.1}]), "an AUC of 0.90: the network may read")
    load = row | {"correlation_lesion_load": -0.64}
    assert said(replace(results, input_leak=[load]), "intensity alone correlates -0.64 with the lesion load")
