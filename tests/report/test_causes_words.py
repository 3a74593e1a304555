"""A wrong map and a wrong model told apart, in words."""

from relevox.report.causes_words import Found, equal_brightness, what_the_network_uses, which_maps_find_it

CARD = {
    "targets": [{"cause": "frontal_cortex", "role": "causal"}, {"cause": "lateral_ventricles", "role": "associated"}],
    "counterfactuals": {"frontal_cortex": "log volume lower by 0.1, as drawn"},
}


def row(method, target, measure, value, half=0.05, n=20.0):
    return {"method": method, "target": target, "measure": measure, "value": value, "n": n} | {
        "ci_low": value - half,
        "ci_high": value + half,
    }


def rows(effect=0.8, of_map=0.4):
    place = "changed_frontal_cortex"
    return [
        row("network", "frontal_cortex", "standardised_beta", effect / 2),
        row("network", "lateral_ventricles", "standardised_beta", 0.3),
        row("network", "causes", "r2", 0.7),
        row("network", "causes", "r2_added_by_scanner", 0.01),
        row("network", place, "effect", effect),
        row("chance", place, "auc", 0.5),
        row("lrp", place, "auc", 0.6),
        row("lrp", place, "enrichment", of_map),
        row("absolute_input", place, "enrichment", 0.2),
        row("absolute_difference", place, "enrichment", 0.25),
    ]


def test_causes_and_decoys_stand_apart():
    first, second = what_the_network_uses(Found(rows()), CARD)
    assert "causes of the score: frontal cortex 0.40" in first.lower()
    assert "decoys, which cause nothing: lateral ventricles 0.30" in first
    assert "the scanner adds 0.01" in first
    assert "log volume lower by 0.1, as drawn" in second and "0.80" in second and "20 scans" in second


def test_a_map_that_beats_the_image_finds_the_cause():
    (sentence,) = which_maps_find_it(Found(rows()), CARD)
    assert "the network uses it" in sentence and "LRP" in sentence


def test_no_map_is_blamed_for_a_cause_that_the_network_does_not_use():
    (sentence,) = which_maps_find_it(Found(rows(effect=0.0)), CARD)
    assert "no map is wrong" in sentence


def test_maps_are_wrong_that_do_not_show_what_the_network_uses():
    (sentence,) = which_maps_find_it(Found(rows(of_map=0.26)), CARD)
    assert "the maps fail, not the model" in sentence


def test_maps_that_tell_equally_bright_lesions_apart_are_named():
    target = "periventricular_against_other"
    made = [row(m, target, "matched_auc", v) for m, v in (("lrp", 0.52), ("gradient_input", 0.9))]
    made += [row(m, "other_lesions", "auc", 0.9) for m in ("lrp", "gradient_input")]
    told, blind = equal_brightness(Found(made))
    assert "input x gradient" in told and "LRP" not in told
    assert "LRP" in blind
