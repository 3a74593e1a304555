"""Can the maps be believed: sentences follow from numbers, figures show what is there."""

import math
from dataclasses import replace

import numpy as np
import pytest

from relevox.report import map_checks, map_verdicts, section_checks
from relevox.report.drawing import to_png
from relevox.report.page import Note, Picture, Table


def row(check, method, step="", position=math.nan, measure="pearson", value=0.0, half=0.05):
    ends = {"ci_low": value - half, "ci_high": value + half}
    named = {"check": check, "method": method, "step": step, "position": position, "measure": measure}
    return named | {"value": value} | ends | {"n_scans": 7.0, "n_patients": 7.0}


def of_method(method, swap, steps, network, gain, beyond):
    layers = ("head", "blocks.block2", "blocks.block1")
    rows = [row("class_swap", method, value=swap)]
    rows += [
        row("randomisation", method, name, n, value=r) for n, (name, r) in enumerate(zip(layers, steps, strict=True), 1)
    ]
    for measure in ("pearson", "dice_top"):
        rows.append(row("stability", method, "tested with trained", measure=measure, value=network))
    for kind in ("regions", "supervoxels"):
        check = f"perturbation_{kind}"
        rows += [row(check, method, "descending", s, "fall", 3 * s**0.5) for s in np.linspace(0, 1, 5)]
        rows += [row(check, method, "descending", measure="gain", value=gain)]
        rows += [row(check, method, "descending", measure="beyond_image", value=beyond)]
    return rows


def of_the_image():
    return [
        row(f"perturbation_{kind}", method, step, s, "fall", 3 * s)
        for kind in ("regions", "supervoxels")
        for method, step in (("random", "random"), ("absolute_difference", "descending"))
        for s in np.linspace(0, 1, 5)
    ]


@pytest.fixture
def rows():
    """LRP as it is known, gradients as one would wish."""
    lrp = of_method("lrp", swap=0.998, steps=(0.99, 0.8, 0.1), network=0.3, gain=1.0, beyond=-0.5)
    gradients = of_method("integrated_gradients", swap=-0.96, steps=(0.2, 0.1, 0.0), network=0.8, gain=3.0, beyond=1.0)
    return [*lrp, *gradients, *of_the_image(), row("lost", "lrp", "blocks.block1", 1, "share", 0.2)]


def test_a_map_that_ignores_class_and_head_is_said_to(rows):
    said, _ = map_verdicts.sentences(rows)
    assert said.startswith("LRP")
    assert "do not depend on the class (r = 0.998): they show where the network looks, not why" in said
    assert "With a random head it is the same (r = 0.99)" in said
    assert "less than taking what is unlike the mean scan" in said
    assert "another map of the same scan (r = 0.30 (0.25 to 0.35); 30 % of the 5 % most relevant" in said


def test_a_map_that_passes_is_said_to(rows):
    _, said = map_verdicts.sentences(rows)
    assert "speaks against the other (r = -0.96)" in said
    assert "it depends on what was learned" in said
    assert "more than chance, and more than taking what is unlike the mean scan" in said
    assert "nearly the same map" in said


@pytest.mark.parametrize(
    ("half", "expected"), [(0.05, "much of it is the image, not the learning"), (0.9, "too few scans to say more")]
)
def test_what_is_left_without_learning_is_judged_by_its_interval(half, expected):
    steps = [
        row("randomisation", "gradcam", name, n, value=0.5, half=half) for n, name in enumerate(("head", "block1"), 1)
    ]
    assert expected in map_verdicts.of_weights(steps, "gradcam")


@pytest.mark.parametrize(("low", "said"), [(0.35, True), (0.0, False)])
def test_places_that_need_no_learning_are_said_to(low, said):
    found = of_method("integrated_gradients", -0.9, (0.2, 0.1, 0.0), 0.5, gain=1.0, beyond=0.0)
    kept = row("randomisation", "integrated_gradients", "blocks.block1", 3, "spearman_absolute", low + 0.05)
    assert ("that much is the image" in map_verdicts.of_weights([*found, kept], "integrated_gradients")) is said


def test_no_gain_beyond_chance_is_called_no_evidence():
    found = of_method("gradcam", 0.1, (0.1, 0.1, 0.1), 0.2, gain=0.01, beyond=-1.0)
    assert "is not shown to change the answer" in map_verdicts.of_answer(found, "gradcam")


def test_what_was_not_measured_is_not_judged():
    nothing = [row("class_swap", "lrp", value=math.nan)]
    assert map_verdicts.of_class(nothing, "lrp") == map_verdicts.of_weights(nothing, "lrp") == ""
    assert map_verdicts.of_answer(nothing, "lrp") == map_verdicts.of_networks(nothing, "lrp") == ""
    assert map_verdicts.lrp_in_short(nothing) == map_verdicts.lrp_in_short([]) == ""


def test_the_curves_are_those_of_the_table(rows):
    figure = map_checks.perturbation(rows)
    for axes in figure.axes:
        drawn = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        np.testing.assert_allclose(drawn["by chance"], 3 * np.linspace(0, 1, 5))
        np.testing.assert_allclose(drawn["Integrated gradients"], 3 * np.linspace(0, 1, 5) ** 0.5)
    left = map_checks.dependence(rows).axes[0]
    drawn = {line.get_label(): list(line.get_ydata()) for line in left.get_lines()}
    assert drawn["LRP (alpha 1, beta 0)"] == [1.0, 0.99, 0.8, 0.1]
    assert [label.get_text() for label in left.get_xticklabels()] == ["trained", "head", "block 2", "block 1"]


def test_the_figures_can_be_drawn_with_unknown_values(rows):
    holes = [
        r | {"value": math.nan, "ci_low": math.nan, "ci_high": math.nan} if r["method"] == "lrp" else r for r in rows
    ]
    assert to_png(map_checks.dependence(holes)) and to_png(map_checks.perturbation(holes))


def test_the_section_shows_sentences_two_figures_and_the_numbers(results, rows):
    blocks = section_checks.checks(replace(results, checks=rows))
    assert sum(isinstance(block, Picture) for block in blocks) == 2
    dependence, answer = (block for block in blocks if isinstance(block, Table))
    assert [r[0] for r in dependence.rows] == ["LRP (alpha 1, beta 0)", "Integrated gradients"]
    assert [r[0] for r in answer.rows][2:] == ["Difference from the mean image, no network"]
    assert dependence.rows[0][3] == "1.00 (0.95 to 1.05)"
    for table in (dependence, answer):
        assert all(len(r) == len(table.header) for r in table.rows)
        assert "7 scans of 7 patients" in table.caption
    assert any(isinstance(block, Note) for block in blocks)  # so few
    assert "20 %" in blocks[-1].paragraphs[0] and "block 1" in blocks[-1].paragraphs[0]


def test_without_checks_there_is_no_section(results):
    assert section_checks.checks(replace(results, checks=())) == []
