"""A known signal in a study's own scans: learned, found, and kept apart from the study."""

import hashlib

import numpy as np
import pytest

from relevox.config import PlantSettings, plant_settings
from relevox.errors import SettingsError
from relevox.records import ScanId
from relevox.stages import benchmark_plant
from relevox.stages.benchmark_plant_fold import PlantedScan, score_maps
from relevox.stages.benchmark_plant_scores import scan_rows, summarise
from relevox.stages.benchmark_planter import deal_classes, planter_for
from relevox.store import layout, tables


@pytest.fixture
def plant():
    return PlantSettings(kind="blob", region="frontal_white_matter", strength=2.0, radius_mm=16.0, folds=1, epochs=2)


def digests(study):
    return {
        path.relative_to(study): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in study.rglob("*")
        if path.is_file() and "planted" not in path.parts
    }


def test_a_planted_study_leaves_tables_and_the_study_as_it_was(trained_study, tiny_settings, plant, caplog):
    before = digests(trained_study)
    root = benchmark_plant.run(trained_study, tiny_settings, plant)
    assert digests(trained_study) == before
    assert root == trained_study / "planted" / "blob-frontal-white-matter"
    assert not layout.path(root, "inputs").exists()  # as large as the study's own

    card = tables.read_json(layout.existing(root, "plant"))
    rows = tables.read(layout.existing(root, "plant_benchmark"))
    found = {(row["method"], row["target"], row["measure"]): row for row in rows}
    assert 0 <= float(found["network", "classes", "auc"]["value"]) <= 1
    assert card["n_with_signal"] >= card["n_found_by_network"] >= card["n_explained"]
    n_scans = len({(r["participant_id"], r["session_id"]) for r in tables.read(layout.path(root, "plant_scans"))})
    assert n_scans == card["n_test_scans"]

    caplog.set_level("INFO", "relevox")
    benchmark_plant.run(trained_study, tiny_settings, plant)
    assert "up to date" in caplog.text


def test_atrophy_is_planted_by_networks_that_start_anew(trained_study, tiny_settings):
    plant = PlantSettings(kind="atrophy", start="scratch", folds=1, epochs=1)
    root = benchmark_plant.run(trained_study, tiny_settings, plant)
    assert tables.read_json(layout.existing(root, "plant"))["plant"]["region"] == "frontal_cortex"


def test_half_of_the_patients_of_every_fold_get_the_signal_in_all_their_scans(trained_study):
    cohort = tables.read_cohort(trained_study)
    folds = tables.read_folds(trained_study, cohort)
    dealt = deal_classes(cohort, folds, seed=0)
    for fold in np.unique(folds):
        labels = {p: set(dealt.labels[dealt.patients == p]) for p in np.unique(dealt.patients[folds == fold])}
        assert all(len(classes) == 1 for classes in labels.values())
        assert abs(sum(1 if classes == {1} else -1 for classes in labels.values())) <= 1
    assert not np.array_equal(deal_classes(cohort, folds, seed=1).labels, dealt.labels)


def test_a_region_that_is_none_names_the_nearest(tiny_settings):
    with pytest.raises(SettingsError, match="frontal_cortex"):
        planter_for(tiny_settings, PlantSettings(region="frontal_cortx"))
    with pytest.raises(SettingsError, match="tissue"):
        planter_for(tiny_settings, PlantSettings(region="lateral_ventricles"))


def test_impossible_options_are_refused():
    with pytest.raises(SettingsError, match="kind"):
        plant_settings(kind="tumour")
    with pytest.raises(SettingsError, match="epochs"):
        plant_settings(kind="blob", epochs=0)


def test_more_folds_than_the_study_has_are_refused(trained_study, tiny_settings):
    with pytest.raises(SettingsError, match="3 folds"):
        benchmark_plant.run(trained_study, tiny_settings, PlantSettings(folds=4))


def test_a_map_of_both_signals_cannot_tell_them_apart_and_a_map_of_one_can(tiny_settings):
    planter = planter_for(tiny_settings, PlantSettings(region="frontal_white_matter"))
    shape = planter.regions.shape
    signal, decoy = np.zeros(shape), np.zeros(shape)
    inside = np.argwhere(planter.regions == planter.region)[:10]
    outside = np.argwhere(np.isin(planter.regions, planter.elsewhere))[:10]
    signal[tuple(inside.T)] = decoy[tuple(outside.T)] = np.linspace(2, 1, 10)
    maps = {"both": signal + decoy, "right": signal, "wrong": decoy}
    found = score_maps(maps, signal, decoy, planter.regions > 0, planter)
    assert found["both", "signal", "auc_against_decoy"] == 0.5
    assert found["right", "signal", "auc_against_decoy"] == 1
    assert found["wrong", "signal", "auc_against_decoy"] == 0
    assert found["right", "signal", "region_first"] == 1 and found["wrong", "signal", "region_first"] == 0
    assert found["right", "signal", "rank_accuracy"] == 1 and found["right", "decoy", "rank_accuracy"] == 0


def scans(n, probability_of_signal, effect, rank_accuracy=0.5):
    made = []
    for k in range(n):
        label = k % 2
        p = probability_of_signal if label else 0.3
        measures = {}
        if label and p > 0.5 and effect > 0:
            for method, value in (("lrp", rank_accuracy), ("absolute_input", 0.2), ("absolute_difference", 0.3)):
                measures[method, "signal", "rank_accuracy"] = value + 0.01 * (k % 5)
            measures["chance", "signal", "rank_accuracy"] = 0.1
        effects = (effect + 0.1 * (k % 3), 0.0) if label else (np.nan, np.nan)
        made.append(PlantedScan(ScanId(f"sub-{k}"), 0, label, p, *effects, measures=measures))
    return made


def test_a_network_that_learned_nothing_is_said_to_have_learned_nothing(tiny_settings):
    _, card = summarise(scans(20, 0.3, effect=0.0), tiny_settings, PlantSettings())
    assert not card["learned"] and card["n_explained"] == 0
    assert "did not learn" in card["conclusion"] and "cannot be judged" in card["conclusion"]


def test_the_gain_is_over_the_better_of_the_maps_that_know_no_network(tiny_settings):
    made = scans(20, 0.9, effect=2.0, rank_accuracy=0.5)
    rows, card = summarise(made, tiny_settings, PlantSettings())
    assert card["learned"] and card["n_explained"] == 10
    gain = next(row for row in rows if row["measure"] == "rank_accuracy_gain")
    assert gain["method"] == "lrp" and gain["value"] == pytest.approx(0.2)
    assert len([row for row in scan_rows(made) if row["measure"] == "label"]) == 20
