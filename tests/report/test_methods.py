"""The methods section says what ran, not what usually runs."""

from dataclasses import replace
from typing import get_args

from relevox import config
from relevox.config import Method, preset
from relevox.report.methods import attribution_text, checks_text, methods, unique_steps


def method_of(results):
    return dict(methods(results))


def with_settings(results, **sections):
    updates = {name: getattr(results.settings, name).model_copy(update=values) for name, values in sections.items()}
    return replace(results, settings=results.settings.model_copy(update=updates))


def test_counts_come_from_the_cohort(results):
    text = method_of(results)["Cohort"]
    assert text.startswith("16 scans (T1w and FLAIR) of 14 patients were used, 8 with EDSS ≥ 3 and 8 with EDSS < 3.")
    assert "simulated patients" in method_of(replace(results, simulated=True))["Cohort"]


def test_steps_that_not_every_scan_had_are_counted(results):
    text = method_of(results)["Preprocessing"]
    assert "Recorded steps: N4 bias field correction; affine registration (15 of 16 scans)." in text
    assert "no record" in method_of(replace(results, steps=()))["Preprocessing"]


def test_settings_change_the_text(results):
    assert (
        "minimum and maximum"
        in method_of(with_settings(results, preprocessing={"normalisation": "minmax"}))["Preprocessing"]
    )
    assert (
        "Adam, learning rate 0.0001"
        in method_of(with_settings(results, training={"optimiser": "adam", "learning_rate": 1e-4}))[
            "Network and training"
        ]
    )
    assert "2 epochs were run per fold" in method_of(results)["Network and training"]
    assert "started from 1" in method_of(with_settings(results, attribution={"lrp_start": "one"}))["Attention maps"]
    assert "not rescaled" in method_of(with_settings(results, analysis={"normalise": False}))["Group analysis"]


def test_only_models_that_ran_are_named(results):
    text = method_of(results)["Comparison models"]
    assert "scanner alone" in text
    assert "volumes" not in text


def test_every_preset_can_be_described(results):
    for settings in config.PRESETS.values():
        for heading, paragraph in methods(replace(results, settings=settings)):
            assert heading
            assert "None" not in paragraph
            assert "_" not in paragraph.replace("sub_", "")


def test_steps_keep_their_first_order():
    assert unique_steps([["a", "b"], ["c", "a", "a"]]) == [("a", 2), ("b", 1), ("c", 1)]


def test_tests_between_models_are_described_only_where_they_ran(results):
    assert "DeLong" not in method_of(replace(results, comparisons=()))["Evaluation"]
    rows = [{"model": "cnn", "against": "chance", "test": "permutation"}]
    assert "DeLong" in method_of(replace(results, comparisons=rows))["Evaluation"]


def test_the_checks_of_the_maps_are_described_where_they_were_made(results):
    assert "checked" not in checks_text(results)
    row = {"n_scans": 7.0}
    text = checks_text(replace(results, checks=[row]))
    assert "Maps of 7 test scans" in text
    assert "Grad-CAM" in text and "2 orders by chance" in text


def test_every_method_is_described():
    settings = preset("demo")
    attribution = settings.attribution.model_copy(update={"methods": get_args(Method), "baseline": "zero"})
    text = attribution_text(settings.model_copy(update={"attribution": attribution}))
    assert "from an empty image (8 steps)" in text
    assert "SmoothGrad (16 samples" in text
    assert "Grad-CAM at the last block" in text
    assert "input x gradient" in text
