"""What the figures show, read from their axes."""

import numpy as np
import pytest

from relevox.records import GROUPS
from relevox.report.causes import found_causes
from relevox.report.class_average import group_mean_maps, region_heat
from relevox.report.cohort import score_and_volumes
from relevox.report.discrimination import calibration_bins, roc_and_calibration
from relevox.report.drawing import axial_indices, evenly
from relevox.report.history import training_history
from relevox.report.individual import individual_map, region_bars
from relevox.report.scores import score_intervals
from relevox.report.voxelwise import MapRow, shared_limits, voxelwise_maps


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_an_individual_map_colours_the_top_five_percent(egg):
    relevance = np.where(egg, np.arange(egg.size).reshape(egg.shape) + 1.0, 0)
    figure = individual_map(egg.astype(float), relevance, egg)
    upper, lower = figure.axes[:2]
    assert (upper.get_title(loc="left"), len(lower.images)) == ("FLAIR", 2)
    coloured = np.isfinite(lower.images[1].get_array().filled(np.nan))
    assert 0 < coloured.sum() < 0.2 * egg[:, :, 1:-1].sum()
    assert [t.get_text() for t in upper.texts] == ["R", "L"]


def test_a_map_without_positive_relevance_is_drawn_without_colour(egg):
    figure = individual_map(egg.astype(float), np.zeros(egg.shape), egg)
    assert not np.isfinite(figure.axes[1].images[1].get_array().filled(np.nan)).any()


def test_region_bars_are_sorted_and_chance_is_marked():
    figure = region_bars(["a_cortex", "b_cortex", "c"], [0.2, 0.5, np.nan], [0.3, 0.3, 0.4], [0.1, -0.2, 0.3])
    shares, support = figure.axes
    assert [label.get_text() for label in shares.get_yticklabels()] == ["c", "a cortex", "b cortex"]
    assert [bar.get_width() for bar in shares.patches[1:]] == [20.0, 50.0]
    assert shares.lines[0].get_xdata().tolist() == [40.0, 30.0, 30.0]
    assert [bar.get_width() for bar in support.patches] == [0.3, 0.1, -0.2]


def test_group_maps_say_which_groups_are_empty(egg):
    figure = group_mean_maps({"TP": egg * 1.0}, {"TP": 3, "TN": 2}, egg * 1.0, egg)
    assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == [
        "true positives (n = 3)",
        "false positives (n = 0)",
        "true negatives (n = 2)",
        "false negatives (n = 0)",
    ]
    said = texts(figure)
    assert said.count("no scan in this group") == 2
    assert said.count("no map was made") == 1


def test_region_heat_prints_every_value():
    figure = region_heat(
        ["a", "b"], {"TP": [0.2, 1.0], "FN": [0.1, np.nan]}, {"TP": [0.5, 0.5], "FN": [1, 0]}, [0.4, 0.6]
    )
    assert sorted(texts(figure)) == ["0.10", "0.20", "1.00", "n/a"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["TP", "FN"]


def test_voxelwise_maps_tell_empty_from_unfitted(egg):
    rows = [MapRow("R2", {"TP": egg * 0.5, "FP": np.full(egg.shape, np.nan)}, "viridis", (0, 1))]
    figure = voxelwise_maps(rows, {"TP": 9, "FP": 2, "TN": 4}, egg)
    assert texts(figure)[2:] == ["nothing could\nbe fitted", "not made", "no scans"]  # after R and L
    assert figure.axes[0].get_title() == "true positives (n = 9)"


def test_colour_limits_come_from_the_brain_of_all_groups(egg):
    low, high = np.where(egg, 1.0, 50.0), np.where(egg, 1.9, 50.0)
    assert shared_limits({"TP": low, "TN": high}, egg) == (0.0, 2.0)
    assert shared_limits({"TP": np.full(egg.shape, np.nan)}, egg) == (0.0, 1.0)


def test_tested_voxels_are_outlined_and_counted(egg):
    where = np.zeros(egg.shape, dtype=bool)
    where[6:8, 8:10] = egg[6:8, 8:10]
    row = MapRow("t", {"TP": egg * 3.0}, "RdBu_r", (-5, 5), "{:.0f}", "both", {"TP": where}, {"TP": "4 of 900"})
    figure = voxelwise_maps([row], dict.fromkeys(GROUPS, 5), egg, np.diag([8.0, 8, 8, 1]))
    axes = figure.axes[0]
    edges = axes.collections[0].get_segments()
    assert len(edges) == 2 * 8  # a square of two by two voxels in each of two slices
    assert axes.get_xlabel() == "4 of 900"
    assert [text.get_text() for text in axes.texts][:2] == ["R", "L"]
    assert axes.texts[2].get_text().startswith("z = ")


def test_even_relevance_is_one(egg):
    assert evenly(np.where(egg, 1e-6, 5.0), egg)[egg] == pytest.approx(1)
    assert (evenly(np.zeros(egg.shape), egg) == 0).all()


def test_slices_say_their_height(egg):
    affine = np.diag([4.0, 4, 4, 1])
    affine[2, 3] = -70.5
    figure = group_mean_maps({"TP": egg * 1.0}, {"TP": 3}, egg * 1.0, egg, affine=affine)
    said = [text.get_text() for text in figure.axes[0].texts if text.get_text() not in "RL"]
    assert said[0] == f"z = {-70.5 + 4 * axial_indices(egg, 6, 0.2, 0.82)[0]:.0f}"
    assert len(said) == 6


def test_score_intervals_show_scan_level_chance_and_bayes(results):
    figure = score_intervals(results.scores, best_possible={"auc": 0.95})
    balanced, auc = figure.axes
    assert [t.get_text() for t in balanced.get_yticklabels()] == ["CNN on the images", "scanner alone"]
    assert len(balanced.lines) == 1 + 2 * 2  # chance, and line and point a model
    assert auc.lines[1].get_xdata()[0] == 0.95
    assert auc.lines[2].get_xdata() == pytest.approx([0.7, 0.9])


def test_a_perfect_model_has_a_square_roc_curve(results):
    figure = roc_and_calibration(results.predictions, ("EDSS < 3", "EDSS >= 3"))
    curve = figure.axes[0].lines[0]
    assert curve.get_label() == "CNN on the images"
    labels = np.array([p.label for p in results.predictions if p.model == "cnn"])
    probability = np.array([p.probability for p in results.predictions if p.model == "cnn"])
    wins = (probability[labels == 1][:, None] > probability[labels == 0][None]).mean()
    ties = (probability[labels == 1][:, None] == probability[labels == 0][None]).mean()
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(wins + ties / 2)


def test_calibration_bins_hold_wilson_intervals():
    label, probability = np.r_[np.ones(313), np.zeros(127)].astype(int), np.full(440, 0.7)
    ((mean, share, low, high),) = calibration_bins(label, probability, 1)
    # Wilson, 313 of 440 (R, prop.test without correction): 0.667339 to 0.751730
    assert (mean, share) == pytest.approx((0.7, 313 / 440))
    assert (low, high) == pytest.approx((0.667339, 0.751730), abs=1e-6)


def test_history_draws_every_fold_and_their_median():
    def fold(level):
        return [
            {"epoch": e, "train_loss": level, "validation_loss": 2 * level, "validation_balanced_accuracy": level / 4}
            for e in (1, 2)
        ]

    losses, accuracy = training_history({0: fold(1.0), 1: fold(2.0), 2: fold(3.0)}).axes
    assert len(losses.lines) == 8
    assert list(losses.lines[3].get_ydata()) == [2.0, 2.0]
    assert list(accuracy.lines[3].get_ydata()) == [0.5, 0.5]


def test_folds_that_stopped_early_do_not_stop_the_others():
    def fold(epochs):
        row = {"train_loss": 1.0, "validation_loss": 1.0, "validation_balanced_accuracy": 0.5}
        return [{"epoch": e} | row for e in range(1, epochs + 1)]

    losses, _ = training_history({0: fold(2), 1: fold(5)}).axes
    assert list(losses.lines[2].get_xdata()) == [1, 2, 3, 4, 5]


def test_cohort_figure_counts_scans_by_class():
    score, label = np.array([1.0, 1.0, 3.0, 3.5]), np.array([0, 0, 1, 1])
    volumes = np.array([[1.0], [2.0], [np.nan], [4.0]])
    histogram, volume = score_and_volumes(score, label, "EDSS", ("low", "high"), ["lesions"], volumes).axes
    assert [bar.get_height() for bar in histogram.patches] == [2, 1, 1]
    assert [len(dots.get_offsets()) for dots in volume.collections if dots.get_offsets().shape[0] > 0][:1] == [2]
    assert volume.get_title() == "lesions"


def test_known_causes_are_drawn_beside_chance():
    rows = [
        {"method": m, "target": t, "measure": k, "value": 2.0, "ci_low": 1.5, "ci_high": 2.5}
        for m in ("lrp", "absolute_input")
        for t in ("periventricular_lesions", "other_lesions")
        for k in ("enrichment", "auc", "class_swap_correlation")
    ]
    enrichment, auc = found_causes(rows).axes
    assert [t.get_text() for t in enrichment.get_yticklabels()] == [
        "LRP (alpha 1, beta 0)",
        "the image itself, no network",
    ]
    assert enrichment.lines[0].get_xdata()[0] == 1.0
    assert auc.lines[0].get_xdata()[0] == 0.5
