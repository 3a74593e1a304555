"""Sharing models: what leaves, and what is refused when it comes back."""

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from relevox.config import preset
from relevox.errors import CohortError, EngineError, ModelError, SettingsError, StudyError
from relevox.learning import onnx
from relevox.records import Cohort, Observation, ScanId
from relevox.stages import export
from relevox.store import bundle, layout, models, provenance, shared_model, tables, weights
from relevox.store.provenance import sha256

CANARIES = ("DOE^JOHN", "MRN12345", "/home/drdoe", "19700101", "drdoe", "DOEJOHN")


@pytest.fixture(scope="module")
def made_bundle(sharable_once, tmp_path_factory):
    return export.run(sharable_once, tmp_path_factory.mktemp("bundles") / "bundle")


@pytest.fixture
def shared(made_bundle, tmp_path):
    """A bundle that a test may change."""
    return shutil.copytree(made_bundle, tmp_path / "shared")


def card(folder, **changes):
    """Change ``model.json``."""
    file = layout.path(folder, "bundle_card")
    values = tables.read_json(file) | changes
    tables.write_json(file, values)
    return values


def put(folder, name, content):
    """Replace a file and its hashes, as somebody would who wants it to be read."""
    (folder / name).write_bytes(content)
    digest = sha256(folder / name)
    values = tables.read_json(layout.path(folder, "bundle_card"))
    folds = [f | {"sha256": digest} if name == f"fold-{f['fold']}.safetensors" else f for f in values["folds"]]
    card(folder, folds=folds, files=values["files"] | {name: digest})


def refused(folder):
    with pytest.raises(ModelError) as caught:
        bundle.read(folder)
    return caught.value.code


def test_what_is_shared_comes_back(sharable_once, made_bundle):
    sent, got = shared_model.of_study(sharable_once), bundle.read(made_bundle)
    assert got.training_range == sent.training_range
    assert (got.scores, got.fingerprint) == (sent.scores, sent.fingerprint)
    assert str(got.cohort) == str(sent.cohort)  # as text: NaN is not equal to itself
    assert got.cards == tuple(replace(c, training=got.cards[n].training) for n, c in enumerate(sent.cards))
    np.testing.assert_array_equal(got.mean_scan, sent.mean_scan)
    for ours, theirs in zip(sent.networks, got.networks, strict=True):
        assert not theirs.training
        assert all(torch.equal(ours.state_dict()[k], v) for k, v in theirs.state_dict().items())


def test_what_the_checks_found_of_the_maps_goes_with_the_models(sharable_study, tmp_path):
    file = layout.path(sharable_study, "checks_summary")
    columns = ("check", "method", "step", "position", "measure", *tables.CHECK_NUMBERS[1:])
    swap = ("class_swap", "lrp", "", 0, "pearson", 0.999, 0.99, 1.0)
    rows = [(*swap, 14, 14), (*swap[:1], "gradient_input", *swap[2:], 14, 14), (*swap[:4], "spearman", *swap[5:], 4, 4)]
    tables.write(file, [dict(zip(columns, row, strict=True)) for row in rows], columns)
    made = export.run(sharable_study, tmp_path / "bundle")
    (kept,) = bundle.read(made).map_checks  # not of other methods, nor of fewer than five patients
    assert (kept["measure"], kept["value"], kept["n_patients"]) == ("pearson", 0.999, 14)
    assert "do not depend on the class (r = 0.999)" in layout.path(made, "bundle_text").read_text(encoding="utf-8")


def test_the_same_study_gives_the_same_bytes(sharable_once, made_bundle, tmp_path):
    again = export.run(sharable_once, tmp_path / "again")
    assert {f.name for f in again.iterdir()} == {f.name for f in made_bundle.iterdir()}
    assert all((made_bundle / f.name).read_bytes() == f.read_bytes() for f in again.iterdir())


def test_the_study_is_not_changed_and_nothing_is_left_beside_the_bundle(sharable_study, tmp_path):
    before = {f: f.stat().st_mtime_ns for f in sharable_study.rglob("*")}
    export.run(sharable_study, tmp_path / "bundle")
    assert before == {f: f.stat().st_mtime_ns for f in sharable_study.rglob("*")}
    assert {f.name for f in tmp_path.iterdir()} == {"study", "bundle"}


def rename(study, patients):
    """Give patients ids, sessions, scanners and more that must not leave."""
    cohort = tables.read_cohort(study)
    order = list(dict.fromkeys(cohort.patients))

    def id_of(scan):
        return ScanId(patients(order.index(scan.participant)), scan.session.replace("ses-0", "ses-1970010"))

    new = {o.id: id_of(o.id) for o in cohort}
    scanners = ("DOE^JOHN", "MRN12345", "/home/drdoe", "19700101")
    observations: list[Observation] = [
        replace(o, id=new[o.id], scanner=scanners[n % 4], age_years=41.0625 + n) for n, o in enumerate(cohort)
    ]
    tables.write_cohort(study, Cohort(tuple(observations)))
    for kind in ("volumes", "quality", "folds"):
        file = layout.path(study, kind)
        rows = [row | tables.id_columns(new[tables.identity(row)]) for row in tables.read(file)]
        tables.write(file, rows)


def test_no_byte_of_a_bundle_tells_of_a_patient(sharable_study, tmp_path):
    home = tmp_path / "home" / "drdoe"
    home.mkdir(parents=True)
    study = shutil.move(sharable_study, home / "study")
    rename(study, lambda n: f"sub-MRN12345DOEJOHN{n}")
    cohort = tables.read_cohort(study)
    assert len(cohort) == 14
    folder = export.run(study, tmp_path / "bundle")
    traces = {*CANARIES, *map(str, cohort.ids), *cohort.patients, str(home), "ses-", "Avanto"}
    traces |= {f"{o.age_years:g}" for o in cohort}
    for row in tables.read(layout.path(study, "volumes")):
        traces |= {value for name, value in row.items() if name.endswith("_ml")}
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        assert not [t for t in traces if len(t) > 3 and t.encode() in content], file.name
    values = tables.read_json(layout.path(folder, "bundle_card"))["cohort"]
    assert values["patients_by_scanner"] == {"other": 12}


def test_a_patients_id_in_the_settings_does_not_leave(sharable_study, tmp_path):
    file = layout.path(sharable_study, "settings")
    file.write_text(file.read_text().replace('score = "EDSS"', 'score = "EDSS of sub-03"'))
    for fold in range(3):
        model = layout.path(sharable_study, "model", fold=fold)
        tables.write_json(model, tables.read_json(model) | {"outcome": "EDSS of sub-03 >= 3"})
    with pytest.raises(ModelError, match="bundle-trace"):
        export.run(sharable_study, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_models_of_fewer_than_five_patients_do_not_leave(sharable_study, tmp_path):
    cohort = tables.read_cohort(sharable_study)
    few = tuple(o for o in cohort if o.id.participant in {"sub-00", "sub-01", "sub-02", "sub-03"})
    tables.write_cohort(sharable_study, Cohort(few))
    with pytest.raises(CohortError, match="too-few-patients"):
        export.run(sharable_study, tmp_path / "bundle")


def test_models_that_left_a_scanner_out_do_not_leave(sharable_study, tmp_path):
    settings = layout.path(sharable_study, "settings")
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace('unseen_scanner = ""', 'unseen_scanner = "Tim Trio"'), encoding="utf-8")
    with pytest.raises(StudyError, match="trained without Tim Trio") as error:
        export.run(sharable_study, tmp_path / "bundle")
    assert error.value.code == "models-partial"
    assert not (tmp_path / "bundle").exists()


def test_scores_of_models_that_were_trained_again_are_not_shared(sharable_study, tmp_path):
    digests = {f"fold-{fold}": provenance.digest(sharable_study, "train", f"fold-{fold}") for fold in range(3)}
    assert all(digests.values())
    unit = provenance.Unit(sharable_study, "evaluate", "cohort", inputs=digests)
    unit.record([layout.path(sharable_study, "scores")])
    export.run(sharable_study, tmp_path / "bundle")
    replace(unit, inputs=digests | {"fold-2": "0" * 64}).record([layout.path(sharable_study, "scores")])
    with pytest.raises(StudyError, match=r"scores-stale.*fold-2"):
        export.run(sharable_study, tmp_path / "again")


def test_a_folder_that_holds_something_is_not_written_to(sharable_once, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StudyError, match="bundle-exists"):
        export.run(sharable_once, tmp_path)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_model_card_says_whom_how_good_and_where_it_ends(made_bundle):
    text = layout.path(made_bundle, "bundle_text").read_text(encoding="utf-8")
    assert "no medical device" in text and "Simulated" not in text
    assert "| patients | 12 |" in text and "| scans | 14 |" in text
    assert "0.80 (0.70 to 0.90)" in text and "scanner alone" in text
    assert "lesions (ml)" in text and "EDSS >= 3" in text


def test_a_card_of_simulated_patients_says_so_first(sharable_study, tmp_path):
    tables.write_json(layout.path(sharable_study, "cohort_card"), {"simulated": True})
    folder = export.run(sharable_study, tmp_path / "bundle")
    text = layout.path(folder, "bundle_text").read_text(encoding="utf-8")
    assert text.index("says nothing about a person") < text.index("## What it is")


def test_a_weak_network_is_called_weak(sharable_study, tmp_path):
    file = layout.path(sharable_study, "scores")
    rows = [row | ({"ci_low": "0.45"} if row["model"] == "cnn" else {}) for row in tables.read(file)]
    tables.write(file, rows)
    text = layout.path(export.run(sharable_study, tmp_path / "b"), "bundle_text").read_text(encoding="utf-8")
    assert "not shown to be better than chance" in text
    assert "scanner alone (0.60) reaches the network's interval" in text


def test_a_bundle_of_a_newer_relevox_is_refused_with_the_reason(shared):
    card(shared, version="99.0.0")
    with pytest.raises(ModelError, match=r"written by relevox 99\.0\.0 .* newer than this one"):
        bundle.read(shared)
    card(shared, version="0.0.1", format=bundle.FORMAT + 1)
    assert refused(shared) == "model-newer"


def test_a_fold_trained_by_a_newer_relevox_is_refused(shared):
    values = tables.read_json(layout.path(shared, "bundle_card"))
    card(shared, model=values["model"] | {"version": "99.0.0"})
    assert refused(shared) == "model-newer"


@pytest.mark.parametrize("name", ["fold-1.safetensors", "mean_scan.safetensors"])
def test_changed_truncated_and_missing_files_are_refused(shared, name):
    content = (shared / name).read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (bytes(flipped), content[:-4], pickle.dumps({"a": 1}), b""):
        (shared / name).write_bytes(damaged)
        assert refused(shared) == "model-changed"
    (shared / name).unlink()
    assert refused(shared) == "model-missing"


def test_a_pickle_is_refused_and_not_run_even_when_its_hash_fits(shared, tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").write_text, ("",)

    put(shared, "fold-0.safetensors", pickle.dumps(Evil()))
    assert refused(shared) == "model-unreadable"
    torch.save({"a": torch.ones(1)}, tmp_path / "weights.pt")
    put(shared, "fold-0.safetensors", (tmp_path / "weights.pt").read_bytes())
    assert refused(shared) == "model-unreadable"
    assert not (tmp_path / "ran").exists()


def change(state, how):
    name = "head.1.weight"
    if how == "nan":
        state[name][0] = float("nan")
    elif how == "shape":
        state[name] = state[name][:1].clone()
    elif how == "missing":
        del state[name]
    elif how == "extra":
        state["spy"] = torch.ones(1)
    elif how == "half":
        state[name] = state[name].half()
    return safetensors.torch.save(state)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("nan", "model-not-finite"),
        ("shape", "model-shape"),
        ("missing", "model-shape"),
        ("extra", "model-shape"),
        ("half", "model-shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused_even_when_their_hash_fits(shared, how, code):
    state = weights.load(shared / "fold-2.safetensors")
    put(shared, "fold-2.safetensors", change(state, how))
    assert refused(shared) == code


def test_repeated_keys_are_refused_even_when_the_hash_fits(shared):
    content = (shared / "fold-0.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length].rstrip(b" ")
    first = header[1 : header.index(b"},") + 1]
    twice = b"{" + first + b"," + header[1:]
    put(shared, "fold-0.safetensors", len(twice).to_bytes(8, "little") + twice + content[8 + length :])
    assert json.loads(twice) and refused(shared) == "model-unreadable"


def test_two_of_three_models_are_refused(shared):
    values = tables.read_json(layout.path(shared, "bundle_card"))
    card(shared, folds=values["folds"][:2])
    assert refused(shared) == "model-missing"
    card(shared, folds=[*values["folds"][:2], values["folds"][1]])
    assert refused(shared) == "model-missing"


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("model", {"channels": ["T1w", "T2w"]}),
        ("model", {"shape": [36, 46, 38]}),
        ("model", {"voxel_size_mm": 4}),
        ("model", {"normalisation": "minmax"}),
        ("model", {"widths": [4, 8, 8, 10**9]}),
        ("model", {"widths": ["4", "8", "8", "8"]}),
        ("settings", {"preprocessing": {"voxel_size_mm": 4}}),
        ("settings", {"cohort": {"threshold": 4.0}}),
    ],
)
def test_models_for_other_inputs_are_refused(shared, section, change):
    values = tables.read_json(layout.path(shared, "bundle_card"))
    if section == "settings":
        key, inner = next(iter(change.items()))
        change = {key: values["settings"][key] | inner}
    card(shared, **{section: values[section] | change})
    assert refused(shared) == "model-inputs"


def test_a_mean_scan_of_another_grid_is_refused(shared):
    put(shared, "mean_scan.safetensors", safetensors.torch.save({"mean_scan": torch.zeros(2, 3, 3, 3)}))
    assert refused(shared) == "bundle-broken"


@pytest.mark.parametrize(
    "change",
    [
        {"folds": None},
        {"cohort": 3},
        {"settings": {"training": {"n_folds": -1}}},
        {"spy": 1},
        {"format": "one"},
        {"scores": [{"model": "cnn"}]},
        {"training_range": {"measures": []}},
    ],
)
def test_a_broken_card_is_refused(shared, change):
    card(shared, **change)
    assert refused(shared) == "bundle-broken"


def test_a_file_name_that_leads_out_of_the_bundle_is_not_followed(shared, tmp_path):
    (tmp_path / "secret").write_text("")
    values = tables.read_json(layout.path(shared, "bundle_card"))
    card(shared, files=values["files"] | {"../secret": sha256(tmp_path / "secret")})
    assert refused(shared) == "model-missing"


def test_a_person_may_add_to_the_model_card(shared):
    with layout.path(shared, "bundle_text").open("a") as file:
        file.write("Contact: us\n")
    assert len(bundle.read(shared).networks) == 3


def test_a_network_of_another_channel_is_refused_in_a_study(sharable_study):
    file = layout.path(sharable_study, "model", fold=0)
    tables.write_json(file, tables.read_json(file) | {"channels": ["FLAIR", "T1w"]})
    with pytest.raises(ModelError, match="channels"):
        models.load_all(sharable_study, preset("tiny"))


def test_without_the_optional_packages_it_is_said_what_to_install(sharable_once, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(SettingsError, match=r"pip install 'relevox\[onnx\]'"):
        export.run(sharable_once, tmp_path / "bundle", with_onnx=True)
    assert not (tmp_path / "bundle").exists()


def test_onnx_that_answers_otherwise_is_not_shared(sharable_once, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "check_installed", lambda: None)
    monkeypatch.setattr(onnx, "to_onnx", lambda network, *shape: b"made up")
    monkeypatch.setattr(onnx, "largest_difference", lambda network, *given: 0.1)
    with pytest.raises(EngineError, match="onnx-differs"):
        export.run(sharable_once, tmp_path / "bundle", with_onnx=True)
    assert not (tmp_path / "bundle").exists()
    monkeypatch.setattr(onnx, "largest_difference", lambda network, *given: 1e-6)
    folder = export.run(sharable_once, tmp_path / "bundle", with_onnx=True)
    assert (folder / "fold-2.onnx").read_bytes() == b"made up"
    assert "at most 1.0e-06" in layout.path(folder, "bundle_text").read_text(encoding="utf-8")
    (folder / "fold-2.onnx").write_bytes(b"changed")
    assert refused(folder) == "model-changed"
