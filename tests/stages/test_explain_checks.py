"""The checks of a tiny study: who is checked, what is found, and that nothing is done twice."""

import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from relevox import config
from relevox.attribution import attribute, mean_scan
from relevox.attribution.checks import class_swap, similarity
from relevox.cli import app
from relevox.config import ChecksSettings
from relevox.stages import explain_checks
from relevox.stages.explain_checks import choose_scans, summarise
from relevox.statistics.folds import cohort_rounds
from relevox.store import explanations, layout, models, tables
from relevox.store.atomic import write_text


@pytest.fixture(scope="module")
def settings(tiny_settings):
    checks = ChecksSettings(
        methods=("lrp", "gradient_input"), scans_per_fold=2, supervoxels=20, perturbation_steps=3, random_orders=2
    )
    return tiny_settings.model_copy(update={"checks": checks})


@pytest.fixture(scope="module")
def checked(explained_once, tmp_path_factory, settings):
    study = shutil.copytree(explained_once, tmp_path_factory.mktemp("checked") / "study")
    explain_checks.run(study, settings)
    return study


def read(study, kind="checks"):
    columns = explain_checks.COLUMNS if kind == "checks" else explain_checks.SUMMARY
    return tables.read(layout.existing(study, kind), columns)


def of(rows, **wanted):
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def folds_of(study):
    cohort = tables.read_cohort(study)
    return cohort, cohort_rounds(cohort, tables.read_folds(study, cohort))


def test_two_patients_of_every_fold_are_checked_by_the_network_that_never_saw_them(checked, settings):
    cohort, folds = folds_of(checked)
    rows = read(checked)
    for fold in folds:
        found = {(row["participant_id"], row["session_id"]) for row in of(rows, fold=str(fold.index))}
        assert len(found) == len({participant for participant, _ in found}) == 2
        tested = {(cohort.ids[row].participant, cohort.ids[row].session) for row in fold.test}
        assert found <= tested


def test_scans_are_drawn_from_different_patients_as_long_as_there_are_enough(checked):
    cohort, folds = folds_of(checked)
    for fold in folds:
        chosen = choose_scans(cohort, fold, 99, seed=0)
        assert len(chosen) == len(set(cohort.patients[fold.test]))
        assert set(chosen) <= set(fold.test)
        np.testing.assert_array_equal(choose_scans(cohort, fold, 2, 5), choose_scans(cohort, fold, 2, 5))


def test_what_is_written_is_what_the_functions_say(checked, settings):
    cohort, folds = folds_of(checked)
    rows = read(checked)
    fold = folds[1]
    row = int(choose_scans(cohort, fold, 2, settings.seed)[0])
    scan = cohort.ids[row]
    mine = {"participant_id": scan.participant, "session_id": scan.session}
    inputs = np.load(layout.path(checked, "inputs"))
    x = torch.from_numpy(inputs[row : row + 1].astype(np.float32))
    brain = explanations.read_on_grid(checked, "brain_mask", scan, x.shape[2:], space=settings.preprocessing.space) > 0
    networks = [models.load(checked, other.index)[0] for other in folds]

    (swapped,) = class_swap(networks[1], x, brain[None], "lrp")
    (written,) = of(rows, check="class_swap", method="lrp", measure="pearson", **mine)
    assert float(written["value"]) == pytest.approx(swapped.pearson, abs=1e-5)

    target = {p.id: p.predicted for p in tables.read_predictions(checked)}[scan]
    maps = [attribute(network, x, target).relevance[0].sum(0).numpy()[brain] for network in networks]
    (among_all,) = of(rows, check="stability", method="lrp", step="all", measure="spearman", **mine)
    pairs = [similarity(maps[a], maps[b]).spearman for a, b in ((0, 1), (0, 2), (1, 2))]
    assert float(among_all["value"]) == pytest.approx(np.mean(pairs), abs=1e-4)
    (with_trained,) = of(rows, check="stability", method="lrp", step="tested with trained", measure="spearman", **mine)
    (learned,) = (other.index for other in folds if row in other.train)
    assert float(with_trained["value"]) == pytest.approx(similarity(maps[1], maps[learned]).spearman, abs=1e-4)
    (trained,) = of(rows, check="stability", method="lrp", step="trained", measure="spearman", **mine)
    assert trained["value"] == "n/a"  # one network alone

    baseline = torch.from_numpy(mean_scan(inputs, fold.train))
    with torch.no_grad():
        logits = networks[1](x)[0], networks[1](torch.where(torch.from_numpy(brain), baseline, x))[0]
    margins = [float(values[target] - values[1 - target]) for values in logits]
    for method in ("lrp", "random", "occlusion", "absolute_difference"):
        curve = of(rows, check="perturbation_regions", method=method, measure="fall", **mine)
        falls = {float(one["position"]): float(one["value"]) for one in curve if one["step"] != "ascending"}
        assert falls[0.0] == 0
        assert falls[1.0] == pytest.approx(margins[0] - margins[1], abs=1e-4)


def test_every_map_is_drawn_again_down_to_the_first_block(checked, settings):
    steps = of(read(checked), check="randomisation", method="lrp", measure="spearman")
    assert list(dict.fromkeys(row["step"] for row in steps)) == ["head", *(f"blocks.block{n}" for n in (4, 3, 2, 1))]
    assert [float(row["position"]) for row in steps[:5]] == [1, 2, 3, 4, 5]


def test_gains_are_areas_beyond_chance(checked):
    rows = of(read(checked), check="perturbation_supervoxels")
    chance = {
        (row["participant_id"], row["session_id"]): float(row["value"])
        for row in of(rows, method="random", measure="area")
    }
    areas = of(rows, method="lrp", step="descending", measure="area")
    gains = of(rows, method="lrp", step="descending", measure="gain")
    assert len(areas) == len(gains) == 6
    for area, gain in zip(areas, gains, strict=True):
        expected = float(area["value"]) - chance[area["participant_id"], area["session_id"]]
        assert float(gain["value"]) == pytest.approx(expected, abs=1e-5)


def test_the_summary_averages_over_scans(checked):
    rows, summary = read(checked), read(checked, "checks_summary")
    wanted = {"check": "class_swap", "method": "gradient_input", "measure": "pearson"}
    (mean,) = of(summary, **wanted)
    values = [float(row["value"]) for row in of(rows, **wanted)]
    assert float(mean["value"]) == pytest.approx(np.mean(values), abs=1e-6)
    assert (mean["n_scans"], mean["n_patients"]) == ("6", "6")
    assert float(mean["ci_low"]) <= float(mean["value"]) <= float(mean["ci_high"])


def test_a_number_that_is_not_known_is_left_out_of_its_mean(tiny_settings):
    named = {"fold": "0", "check": "stability", "method": "lrp", "step": "all", "position": "n/a", "measure": "pearson"}
    rows = [
        named | {"participant_id": f"sub-{n}", "session_id": "n/a", "value": value}
        for n, value in enumerate(("0.2", "n/a", "0.6"))
    ]
    (mean,) = summarise(rows, tiny_settings)
    assert mean["value"] == pytest.approx(0.4)
    assert (mean["n_scans"], mean["n_patients"]) == (2, 2)


def test_what_was_checked_is_not_checked_again(checked, settings, tmp_path):
    study = shutil.copytree(checked, tmp_path / "study")
    files = [layout.path(study, "checks_fold", fold=n) for n in range(3)] + [layout.path(study, "checks_summary")]

    def made_again(chosen):
        before = [file.stat().st_ino for file in files]
        explain_checks.run(study, chosen)
        return [file.stat().st_ino != inode for file, inode in zip(files, before, strict=True)]

    assert made_again(settings) == [False] * 4
    files[1].unlink()
    files[1].write_text("half")
    assert made_again(settings) == [False, True, False, False]  # and what it gives is the same as before


def test_none_can_be_asked_for(explained_study, settings):
    none = settings.model_copy(update={"checks": settings.checks.model_copy(update={"scans_per_fold": 0})})
    explain_checks.run(explained_study, none)
    assert not layout.path(explained_study, "checks").exists()


def test_the_command_explains_and_checks(explained_study, settings):
    few = settings.checks.model_copy(update={"scans_per_fold": 1, "methods": ("gradient_input",)})
    write_text(layout.path(explained_study, "settings"), config.to_toml(settings.model_copy(update={"checks": few})))
    done = CliRunner().invoke(app, ["explain", str(explained_study), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert {row["method"] for row in of(read(explained_study), check="class_swap")} == {"gradient_input"}
