"""Maps and occlusion of a tiny study with untrained networks."""

from typing import get_args

import numpy as np
import pytest
import torch

from relevox.attribution import attribute, occlude_regions
from relevox.config import Method
from relevox.errors import StudyError
from relevox.imaging.regions import REGIONS
from relevox.stages import explain
from relevox.store import images, layout, models, provenance, tables, template

METHODS = ("lrp", "integrated_gradients")


def place(study, settings, kind, scan, method):
    return layout.existing(study, kind, scan, space=settings.preprocessing.space, method=method)


def scans_of_fold(study, fold):
    cohort = tables.read_cohort(study)
    folds = tables.read_folds(study, cohort)
    return [(row, scan) for row, scan in enumerate(cohort.ids) if folds[row] == fold], folds


def test_every_scan_is_explained_by_the_network_of_its_fold(explained_once, tiny_settings):
    predictions = {p.id: p for p in tables.read_predictions(explained_once)}
    inputs = np.load(layout.path(explained_once, "inputs"))
    for fold in range(tiny_settings.training.n_folds):
        network, _ = models.load(explained_once, fold)
        members, folds = scans_of_fold(explained_once, fold)
        training = (folds != fold) & (folds != (fold + 1) % tiny_settings.training.n_folds)
        baseline = torch.from_numpy(inputs[training].astype(np.float64).mean(axis=0).astype(np.float32))
        for row, scan in members:
            x = torch.from_numpy(inputs[row : row + 1].astype(np.float32))
            target = predictions[scan].predicted
            expected = {
                "lrp": attribute(network, x, target),
                "integrated_gradients": attribute(
                    network,
                    x,
                    target,
                    "integrated_gradients",
                    baseline=baseline,
                    steps=4,
                    explained="margin",
                    batch_size=4,
                ),
            }
            for method, result in expected.items():
                written = images.read(place(explained_once, tiny_settings, "relevance", scan, method)).data
                wanted = result.relevance[0].sum(0).numpy()
                np.testing.assert_allclose(written, wanted, atol=1e-4 * np.abs(wanted).max())
                card = tables.read_json(place(explained_once, tiny_settings, "relevance_card", scan, method))
                assert (card["target"], card["fold"], card["group"]) == (target, fold, predictions[scan].group)
                assert card["start"] == pytest.approx(float(result.start[0]), rel=1e-3, abs=1e-5)
                assert card["sum"] + sum(card["losses"].values()) == pytest.approx(card["start"], abs=1e-5)
                assert card["sum"] == pytest.approx(written.sum(dtype=np.float64), rel=1e-3, abs=1e-6)
                assert sum(card["channel_sums"].values()) == pytest.approx(card["sum"], rel=1e-5, abs=1e-7)


def test_regions_are_occluded_by_the_mean_of_the_training_scans(explained_once):
    members, folds = scans_of_fold(explained_once, 1)
    row, scan = members[0]
    inputs = np.load(layout.path(explained_once, "inputs")).astype(np.float32)
    baseline = torch.from_numpy(inputs[(folds == 0)].mean(axis=0))  # of three folds: test 1, validation 2
    network, _ = models.load(explained_once, 1)
    target = {p.id: p.predicted for p in tables.read_predictions(explained_once)}[scan]
    labels = torch.from_numpy(template.load(8).regions.copy())
    expected = occlude_regions(network, torch.from_numpy(inputs[row : row + 1]), labels, baseline, target)
    rows = tables.read(layout.existing(explained_once, "occlusion", scan), ("index", "region", "delta", "target"))
    assert [r["region"] for r in rows] == [region.name for region in REGIONS]
    deltas = {int(r["index"]): float(r["delta"]) for r in rows}
    for index, delta in zip(expected.regions, expected.delta[0], strict=True):
        assert deltas[index] == pytest.approx(float(delta), abs=1e-5)
    assert {r["target"] for r in rows} == {str(target)}


@pytest.mark.parametrize(("setting", "expected"), [("positive", {1}), ("negative", {0}), ("true", {0, 1})])
def test_the_explained_class_is_a_setting(predicted_study, tiny_settings, setting, expected):
    attribution = tiny_settings.attribution.model_copy(update={"target": setting, "methods": ("lrp",)})
    settings = tiny_settings.model_copy(update={"attribution": attribution})
    explain.run(predicted_study, settings)
    cohort = tables.read_cohort(predicted_study)
    cards = [tables.read_json(place(predicted_study, settings, "relevance_card", scan, "lrp")) for scan in cohort.ids]
    assert {card["target"] for card in cards} == expected
    if setting == "true":
        assert [card["target"] for card in cards] == cohort.labels.tolist()


def test_only_what_is_not_up_to_date_is_made_again(explained_study, tiny_settings):
    cohort = tables.read_cohort(explained_study)
    files = {scan: place(explained_study, tiny_settings, "relevance", scan, "lrp") for scan in cohort.ids}

    def made_again():
        before = {scan: file.stat().st_ino if file.exists() else 0 for scan, file in files.items()}
        explain.run(explained_study, tiny_settings)
        return {scan for scan, file in files.items() if file.stat().st_ino != before[scan]}

    assert made_again() == set()
    layout.path(explained_study, "provenance", stage="explain", unit=cohort.ids[3].key).unlink()  # was interrupted
    assert made_again() == {cohort.ids[3]}
    files[cohort.ids[5]].unlink()
    assert made_again() == {cohort.ids[5]}
    card = models.ModelCard.of(tiny_settings, 2, {})
    torch.manual_seed(99)
    provenance.Unit(explained_study, "train", "fold-2").record(models.save(explained_study, card, card.build()))
    assert made_again() == {scan for _, scan in scans_of_fold(explained_study, 2)[0]}


def test_a_scan_without_a_prediction_stops_the_stage(predicted_study, tiny_settings):
    tables.write_predictions(predicted_study, tables.read_predictions(predicted_study)[1:])
    with pytest.raises(StudyError, match="sub-00_ses-01"):
        explain.run(predicted_study, tiny_settings)


def test_a_prediction_by_the_network_of_another_fold_stops_the_stage(predicted_study, tiny_settings):
    cohort = tables.read_cohort(predicted_study)
    folds = tables.read_folds(predicted_study, cohort)
    tables.write_folds(predicted_study, cohort, (folds + 1) % 3)
    with pytest.raises(StudyError, match="run evaluate again"):
        explain.run(predicted_study, tiny_settings)


def test_all_methods_can_be_asked_for(predicted_study, tiny_settings):
    methods = get_args(Method)
    attribution = tiny_settings.attribution.model_copy(update={"methods": methods, "smoothgrad_samples": 2})
    settings = tiny_settings.model_copy(update={"attribution": attribution})
    explain.run(predicted_study, settings)
    for scan in tables.read_cohort(predicted_study).ids:
        for method in methods:
            card = tables.read_json(place(predicted_study, settings, "relevance_card", scan, method))
            assert card["method"] == method
            assert card["baseline"].startswith("mean" if method == "integrated_gradients" else "none")
            assert card["colours"] == ("sequential" if method in ("lrp", "gradcam") else "diverging")
            assert (card["start"] is None) == (method in ("smoothgrad", "gradcam"))
