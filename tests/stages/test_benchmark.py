"""Maps against planted causes."""

import numpy as np
import pytest

from relevox.attribution import METHODS
from relevox.errors import StudyError
from relevox.records import Volume
from relevox.stages import analyse, benchmark
from relevox.stages.benchmark_truth import read_causes, read_truth
from relevox.store import images, layout, tables


@pytest.fixture
def simulated(explained_study, tiny_settings, tmp_path):
    """The explained study, and a truth for it."""
    truth, rng = tmp_path / "bids" / benchmark.TRUTH, np.random.default_rng(2)
    cohort = tables.read_cohort(explained_study)
    space = tiny_settings.preprocessing.space
    single = ("periventricular_lesions", "other_lesions", "frontal_cortex", "lateral_ventricles")
    rows = []
    for n, scan in enumerate(cohort.ids):
        brain = images.read(layout.path(explained_study, "brain_mask", scan, space=space)).data > 0

        def write(root, kind, data, scan=scan, **entities):
            images.write(layout.path(root, kind, scan, space=space, **entities), Volume(data, np.diag([8, 8, 8, 1.0])))

        write(truth, "causes", (brain * rng.choice([0, 1, 2], p=[0.9, 0.05, 0.05], size=brain.shape)).astype(np.int16))
        write(truth, "cause_regions", (brain * rng.choice([0, 1, 6], size=brain.shape)).astype(np.int16))
        write(truth, "true_jacobian", np.where(brain, 1 + 0.1 * rng.standard_normal(brain.shape), 1).astype(np.float32))
        for kind, suffix in (("t1w", "T1w"), ("flair", "FLAIR")):
            raw = 300 * images.read(layout.path(explained_study, kind, scan, space=space)).data
            write(tmp_path / "bids" / "derivatives" / "simulated", kind, raw)
            if n < 4:
                raw = raw.copy()
                raw[5:8, 5:8, 5:8] *= 2
                write(truth, "counterfactual", raw, desc="changed_frontal_cortex", suffix=suffix)
        loads = rng.uniform(1, 30, 2)
        rows.append(
            tables.id_columns(scan)
            | {"periventricular_ml": loads[0], "other_ml": loads[1], "scanner": f"scanner {n % 2}"}
            | dict(zip([f"cause_{name}" for name in single], [*np.sqrt(loads), *rng.normal(size=2)], strict=True))
        )
    tables.write(layout.path(truth, "truth_table"), rows)
    targets = [
        {"cause": cause, "weight": weight, "role": role, "file": file, "labels": [label]}
        for cause, weight, role, file, label in (
            (single[0], 1.0, "causal", "causes", 1),
            (single[1], -1.0, "causal", "causes", 2),
            (single[2], 0.0, "associated", "cause_regions", 1),
            (single[3], 0.0, "unrelated", "cause_regions", 6),
        )
    ]
    tables.write_json(
        layout.path(truth, "truth"),
        {
            "bayes_accuracy": 0.88,
            "bayes_auc": 0.95,
            "label": "location",
            "causes": {"periventricular_lesions": 1.0, "other_lesions": -1.0},
            "targets": targets,
            "counterfactuals": {"frontal_cortex": "log volume lower by 0.1, as drawn"},
            "confounding": 1.0,
        },
    )
    return explained_study, tmp_path / "bids"


def measured(study):
    rows = tables.read(layout.existing(study, "benchmark"), benchmark.COLUMNS)
    return {(row["method"], row["target"], row["measure"]): row for row in rows}


def write_maps(study, settings, bids, make):
    """Replace every LRP map by one made from the causes."""
    space = settings.preprocessing.space
    for scan in tables.read_cohort(study).ids:
        causes = images.read(layout.path(bids / benchmark.TRUTH, "causes", scan, space=space)).data
        file = layout.path(study, "relevance", scan, space=space, method="lrp")
        images.write(file, Volume(make(causes).astype(np.float32), np.diag([8, 8, 8, 1.0])))


def test_every_method_is_held_against_every_cause(simulated, tiny_settings):
    study, bids = simulated
    benchmark.run(bids, study, tiny_settings, extra_scans=1)
    found = measured(study)
    ignorant = ("absolute_input", "absolute_difference")
    for method in ("lrp", "integrated_gradients", "integrated_gradients_absolute", *ignorant):
        for target in ("periventricular_lesions", "other_lesions"):
            for measure in ("enrichment", "relevance_mass", "auc"):
                row = found[method, target, measure]
                assert int(row["n"]) == 14
                assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
    for method in METHODS:
        assert -1 <= float(found[method, "class", "class_swap_correlation"]["value"]) <= 1
        assert int(found[method, "class", "class_swap_correlation"]["n"]) == 6  # two a fold
    assert int(found["occlusion", "periventricular_lesions", "correlation_with_cause"]["n"]) == 14
    assert int(found["smoothgrad", "other_lesions", "auc"]["n"]) == 3  # one a fold: the study did not use it


def test_a_perfect_map_is_perfect_and_a_uniform_one_at_chance(simulated, tiny_settings):
    study, bids = simulated
    write_maps(study, tiny_settings, bids, lambda causes: causes == 1)
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    found = measured(study)
    assert float(found["lrp", "periventricular_lesions", "relevance_mass"]["value"]) == pytest.approx(1)
    assert float(found["lrp", "periventricular_lesions", "auc"]["value"]) == pytest.approx(1)
    assert float(found["lrp", "periventricular_lesions", "enrichment"]["value"]) == pytest.approx(20, rel=0.05)
    assert float(found["lrp", "other_lesions", "relevance_mass"]["value"]) == 0

    write_maps(study, tiny_settings, bids, np.ones_like)
    layout.path(study, "benchmark").unlink()
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    found = measured(study)
    for target in ("periventricular_lesions", "other_lesions"):
        assert float(found["lrp", target, "enrichment"]["value"]) == pytest.approx(1)
        assert float(found["lrp", target, "auc"]["value"]) == 0.5


def test_occlusion_is_held_against_the_cause_in_the_region(simulated, tiny_settings):
    study, bids = simulated
    cohort = tables.read_cohort(study)
    loads = {
        tables.identity(row): (float(row["periventricular_ml"]), float(row["other_ml"]))
        for row in tables.read(layout.path(bids / benchmark.TRUTH, "truth_table"))
    }
    for scan in cohort.ids:
        file = layout.path(study, "occlusion", scan)
        rows = tables.read(file)
        for row in rows:
            sign = 1 if row["target"] == "1" else -1  # written for the explained class
            if row["region"] == "periventricular_white_matter":
                row["delta"] = sign * np.sqrt(loads[scan][0])
            if row["region"] == "occipital_white_matter":
                row["delta"] = sign * -np.sqrt(loads[scan][1])  # speaks against class 1
            elif row["region"].endswith("white_matter") and not row["region"].startswith(("peri", "cere")):
                row["delta"] = 0.0
        tables.write(file, rows)
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    for target in ("periventricular_lesions", "other_lesions"):
        row = measured(study)["occlusion", target, "correlation_with_cause"]
        assert float(row["value"]) == pytest.approx(1)


def test_the_card_tells_what_could_be_known_and_what_the_network_used(simulated, tiny_settings):
    study, bids = simulated
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    card = tables.read_json(layout.existing(study, "bayes"))
    assert (card["bayes_accuracy"], card["bayes_auc"], card["label"]) == (0.88, 0.95, "location")
    assert set(card["logit_explained_by"]) == {
        *("periventricular_lesions", "other_lesions", "frontal_cortex", "lateral_ventricles"),
        *("r2", "r2_added_by_scanner"),
    }
    roles = {target["cause"]: target["role"] for target in card["targets"]}
    assert roles["frontal_cortex"] == "associated" and "lateral_ventricles" not in roles


OPTIONS = {"n_bootstrap": 50}


def test_the_logit_of_a_network_that_uses_one_cause_is_explained_by_it(simulated, tiny_settings):
    study, bids = simulated
    cohort = tables.read_cohort(study)
    causes, scanners = read_causes(read_truth(bids, tiny_settings.preprocessing.space), cohort)
    logit = 2 * causes["periventricular_lesions"] - 5
    predictions = [
        type(p)(p.id, p.model, p.fold, p.label, float(1 / (1 + np.exp(-value))))
        for p, value in zip(tables.read_predictions(study), logit, strict=True)
    ]
    tables.write_predictions(study, predictions)
    used = benchmark.logit_on_causes(study, cohort, causes, scanners, OPTIONS)
    assert used["r2"].value == pytest.approx(1)
    assert used["periventricular_lesions"].value == pytest.approx(1)
    assert used["other_lesions"].value == pytest.approx(0, abs=1e-6)


def test_a_counterfactual_is_on_the_scale_of_the_input_and_differs_where_the_cause_was_changed(
    simulated, tiny_settings
):
    study, bids = simulated
    truth = read_truth(bids, tiny_settings.preprocessing.space)
    cohort = tables.read_cohort(study)
    x = np.load(layout.path(study, "inputs"), mmap_mode="r")[0].astype(np.float32)
    changed = truth.changed(cohort.ids[0], x)["frontal_cortex"]
    assert changed[:, 5:8, 5:8, 5:8] == pytest.approx(2 * x[:, 5:8, 5:8, 5:8], rel=0.01)
    changed[:, 5:8, 5:8, 5:8] = x[:, 5:8, 5:8, 5:8]
    assert changed == pytest.approx(x, abs=0.002)
    assert truth.changed(cohort.ids[-1], x) == {}


def test_a_counterfactual_is_a_target_and_has_an_effect(simulated, tiny_settings):
    study, bids = simulated
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    found = measured(study)
    assert int(found["network", "changed_frontal_cortex", "effect"]["n"]) == 4
    assert int(found["lrp", "changed_frontal_cortex", "auc"]["n"]) == 4
    assert -1 <= float(found["lrp", "changed_frontal_cortex", "correlation"]["value"]) <= 1
    assert float(found["chance", "other_lesions", "enrichment"]["value"]) == 1
    by_scan = tables.read(layout.existing(study, "benchmark_scans"))
    values = [
        float(r["value"])
        for r in by_scan
        if (r["method"], r["target"], r["measure"]) == ("lrp", "other_lesions", "auc")
    ]
    assert np.mean(values) == pytest.approx(float(found["lrp", "other_lesions", "auc"]["value"]))


def test_maps_of_one_kind_of_lesions_tell_it_from_the_other_at_equal_brightness(simulated, tiny_settings):
    study, bids = simulated
    write_maps(study, tiny_settings, bids, lambda causes: causes == 1)
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    by_scan = tables.read(layout.existing(study, "benchmark_scans"))
    values = {
        tables.identity(r): float(r["value"]) for r in by_scan if (r["method"], r["measure"]) == ("lrp", "matched_auc")
    }
    predicted = {p.id: p.predicted for p in tables.read_predictions(study)}
    # relevance for class 0 speaks against class 1
    assert all(value == (1.0 if predicted[scan] else 0.0) for scan, value in values.items())


def test_a_truth_of_an_older_version_is_refused(simulated, tiny_settings):
    study, bids = simulated
    file = layout.path(bids / benchmark.TRUTH, "truth")
    tables.write_json(file, {key: value for key, value in tables.read_json(file).items() if key != "targets"})
    with pytest.raises(StudyError, match="truth-older"):
        benchmark.run(bids, study, tiny_settings, extra_scans=0)


def test_a_data_set_without_a_truth_has_no_benchmark(predicted_study, tiny_settings, tmp_path):
    with pytest.raises(StudyError, match="truth-missing"):
        benchmark.run(tmp_path, predicted_study, tiny_settings)


def test_the_truth_of_other_scans_is_refused(simulated, tiny_settings):
    study, bids = simulated
    file = layout.path(bids / benchmark.TRUTH, "truth_table")
    tables.write(file, tables.read(file)[1:])
    with pytest.raises(StudyError, match="truth-other"):
        benchmark.run(bids, study, tiny_settings, extra_scans=0)


def explained(study):
    return {(row["group"], row["model"]): row for row in tables.read(layout.existing(study, "explained"))}


def test_maps_made_of_planted_lesions_are_explained_by_them_and_not_by_the_measured_ones(simulated, tiny_settings):
    study, bids = simulated
    write_maps(study, tiny_settings, bids, lambda causes: 1.0 + (causes > 0))
    settings = tiny_settings.model_copy(
        update={"analysis": tiny_settings.analysis.model_copy(update={"normalise": False})}
    )
    benchmark.run(bids, study, settings, extra_scans=0)
    found = explained(study)
    for group in ("TN", "all"):
        assert float(found[group, "planted"]["variance_share"]) == pytest.approx(1)
        measured = found[group, "measured"]  # masks drawn without regard to the planted ones
        assert float(measured["variance_share"]) == pytest.approx(float(measured["variance_share_expected"]), abs=0.05)
        assert 0 < float(measured["lesion_dice"]) < 0.2
        assert abs(float(measured["jacobian_correlation"])) < 0.1
    assert (found["FN", "planted"]["n_scans"], found["FN", "planted"]["note"]) == ("0", "too few scans")
    assert not (study / "analysis" / ".stack").exists()


def test_what_is_explained_is_what_the_regression_of_the_stage_explains(simulated, tiny_settings):
    study, bids = simulated
    analyse.run(study, tiny_settings)
    benchmark.run(bids, study, tiny_settings, extra_scans=0)
    reported = {row["group"]: row for row in tables.read(layout.existing(study, "analysis_groups"))}
    for group in ("TP", "TN", "all"):
        found = explained(study)[group, "measured"]
        assert float(found["r2_mean"]) == pytest.approx(float(reported[group]["r2_mean"]), rel=1e-6)


def test_a_load_of_the_whole_brain_explains_maps_that_follow_it(simulated, tiny_settings):
    study, bids = simulated
    loads = {
        tables.identity(row): float(row["periventricular_ml"])
        for row in tables.read(layout.path(bids / benchmark.TRUTH, "truth_table"))
    }
    space, noise = tiny_settings.preprocessing.space, np.random.default_rng(5)
    for scan, load in loads.items():
        file = layout.path(study, "relevance", scan, space=space, method="lrp")
        shape = tiny_settings.preprocessing.shape
        data = (np.sqrt(load) + 0.01 * noise.standard_normal(shape)).astype(np.float32)
        images.write(file, Volume(data, np.diag([8, 8, 8, 1.0])))
    settings = tiny_settings.model_copy(
        update={"analysis": tiny_settings.analysis.model_copy(update={"normalise": False})}
    )
    benchmark.run(bids, study, settings, extra_scans=0)
    found = explained(study)
    assert float(found["all", "planted_and_loads"]["variance_share"]) > 0.99
    assert float(found["all", "planted"]["variance_share"]) < 0.5
