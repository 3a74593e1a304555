"""Maps against planted causes."""

import numpy as np
import pytest

from relevox.errors import StudyError
from relevox.records import Volume
from relevox.stages import analyse, benchmark
from relevox.store import images, layout, tables


@pytest.fixture
def simulated(explained_study, tiny_settings, tmp_path):
    """The explained study, and a truth for it."""
    truth, rng = tmp_path / "bids" / benchmark.TRUTH, np.random.default_rng(2)
    cohort = tables.read_cohort(explained_study)
    space = tiny_settings.preprocessing.space
    rows = []
    for scan in cohort.ids:
        brain = images.read(layout.path(explained_study, "brain_mask", scan, space=space)).data > 0
        causes = (brain * rng.choice([0, 1, 2], p=[0.9, 0.05, 0.05], size=brain.shape)).astype(np.int16)
        images.write(layout.path(truth, "causes", scan, space=space), Volume(causes, np.diag([8, 8, 8, 1.0])))
        jacobian = np.where(brain, 1 + 0.1 * rng.standard_normal(brain.shape), 1).astype(np.float32)
        images.write(layout.path(truth, "true_jacobian", scan, space=space), Volume(jacobian, np.diag([8, 8, 8, 1.0])))
        rows.append(
            tables.id_columns(scan)
            | {"periventricular_ml": float(rng.uniform(1, 30)), "other_ml": float(rng.uniform(1, 30))}
        )
    tables.write(layout.path(truth, "truth_table"), rows)
    tables.write_json(
        layout.path(truth, "truth"),
        {
            "bayes_accuracy": 0.88,
            "bayes_auc": 0.95,
            "label": "location",
            "causes": {"periventricular_lesions": 1.0, "other_lesions": -1.0},
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
    benchmark.run(bids, study, tiny_settings)
    found = measured(study)
    ignorant = ("absolute_input", "absolute_difference")
    for method in ("lrp", "integrated_gradients", "integrated_gradients_absolute", *ignorant):
        for target in ("periventricular_lesions", "other_lesions"):
            for measure in ("enrichment", "relevance_mass", "auc"):
                row = found[method, target, measure]
                assert int(row["n"]) == 14
                assert float(row["ci_low"]) <= float(row["value"]) <= float(row["ci_high"])
    for method in ("lrp", "integrated_gradients"):
        assert -1 <= float(found[method, "class", "class_swap_correlation"]["value"]) <= 1
        assert int(found[method, "class", "class_swap_correlation"]["n"]) == 6  # two a fold
    assert int(found["occlusion", "periventricular_lesions", "correlation_with_cause"]["n"]) == 14


def test_a_perfect_map_is_perfect_and_a_uniform_one_at_chance(simulated, tiny_settings):
    study, bids = simulated
    write_maps(study, tiny_settings, bids, lambda causes: causes == 1)
    benchmark.run(bids, study, tiny_settings)
    found = measured(study)
    assert float(found["lrp", "periventricular_lesions", "relevance_mass"]["value"]) == pytest.approx(1)
    assert float(found["lrp", "periventricular_lesions", "auc"]["value"]) == pytest.approx(1)
    assert float(found["lrp", "periventricular_lesions", "enrichment"]["value"]) == pytest.approx(20, rel=0.05)
    assert float(found["lrp", "other_lesions", "relevance_mass"]["value"]) == 0

    write_maps(study, tiny_settings, bids, np.ones_like)
    layout.path(study, "benchmark").unlink()
    benchmark.run(bids, study, tiny_settings)
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
    benchmark.run(bids, study, tiny_settings)
    for target in benchmark.TARGETS:
        row = measured(study)["occlusion", target, "correlation_with_cause"]
        assert float(row["value"]) == pytest.approx(1)


def test_the_card_tells_what_could_be_known_and_what_the_network_used(simulated, tiny_settings):
    study, bids = simulated
    benchmark.run(bids, study, tiny_settings)
    card = tables.read_json(layout.existing(study, "bayes"))
    assert (card["bayes_accuracy"], card["bayes_auc"], card["label"]) == (0.88, 0.95, "location")
    assert set(card["logit_explained_by"]) == {"periventricular_lesions", "other_lesions", "r2"}


def test_the_logit_of_a_network_that_uses_one_cause_is_explained_by_it(simulated):
    study, bids = simulated
    cohort = tables.read_cohort(study)
    causes = benchmark.read_causes(bids / benchmark.TRUTH, cohort)
    logit = 2 * causes["periventricular_lesions"] - 5
    predictions = [
        type(p)(p.id, p.model, p.fold, p.label, float(1 / (1 + np.exp(-value))))
        for p, value in zip(tables.read_predictions(study), logit, strict=True)
    ]
    tables.write_predictions(study, predictions)
    used = benchmark.logit_on_causes(study, cohort, causes)
    assert used["r2"] == pytest.approx(1)
    assert used["periventricular_lesions"] == pytest.approx(1)
    assert used["other_lesions"] == pytest.approx(0, abs=1e-6)


def test_a_data_set_without_a_truth_has_no_benchmark(predicted_study, tiny_settings, tmp_path):
    with pytest.raises(StudyError, match="truth-missing"):
        benchmark.run(tmp_path, predicted_study, tiny_settings)


def test_the_truth_of_other_scans_is_refused(simulated, tiny_settings):
    study, bids = simulated
    file = layout.path(bids / benchmark.TRUTH, "truth_table")
    tables.write(file, tables.read(file)[1:])
    with pytest.raises(StudyError, match="truth-other"):
        benchmark.run(bids, study, tiny_settings)


def test_a_logit_that_never_changes_is_explained_by_nothing(simulated):
    study, bids = simulated
    cohort = tables.read_cohort(study)
    constant = [type(p)(p.id, p.model, p.fold, p.label, 0.7) for p in tables.read_predictions(study)]
    tables.write_predictions(study, constant)
    used = benchmark.logit_on_causes(study, cohort, benchmark.read_causes(bids / benchmark.TRUTH, cohort))
    assert np.isnan(list(used.values())).all()


def explained(study):
    return {(row["group"], row["model"]): row for row in tables.read(layout.existing(study, "explained"))}


def test_maps_made_of_planted_lesions_are_explained_by_them_and_not_by_the_measured_ones(simulated, tiny_settings):
    study, bids = simulated
    write_maps(study, tiny_settings, bids, lambda causes: 1.0 + (causes > 0))
    settings = tiny_settings.model_copy(
        update={"analysis": tiny_settings.analysis.model_copy(update={"normalise": False})}
    )
    benchmark.run(bids, study, settings)
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
    benchmark.run(bids, study, tiny_settings)
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
    benchmark.run(bids, study, settings)
    found = explained(study)
    assert float(found["all", "planted_and_loads"]["variance_share"]) > 0.99
    assert float(found["all", "planted"]["variance_share"]) < 0.5
