"""The whole road on a tiny simulated cohort, as a user types it."""

import getpass
import gzip
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

from relevox.store import layout, tables

pytestmark = pytest.mark.road

NATIVE_ONLY = {"flair_to_t1w", "t1w_to_template", "t1w_to_template_warp", "overlay"}
"""Files that only a scan from native space has."""
OF_ONE_PATIENT = {kind for kind in layout.PATTERNS if kind.startswith("prediction") and kind != "predictions"}
OF_AN_EXTERNAL_COHORT = {"votes"}
OF_A_BUNDLE = {kind for kind in layout.PATTERNS if kind.startswith("bundle")}
OF_A_PAPER = {"published"}
OF_A_NATIVE_HEAD = {kind for kind in layout.PATTERNS if kind.startswith(("raw_", "native_"))}
OF_THE_SIMULATION = {
    *("truth", "truth_table", "causes", "cause_regions", "true_jacobian", "disease_jacobian", "tissue"),
    *("counterfactual", "anatomy", "anatomy_card", "anatomies"),
}
"""Written beside the patients, not into the study."""
OF_A_PLANTED_SIGNAL = {kind for kind in layout.PATTERNS if kind.startswith("plant")}
OF_A_PERSON = {"quality_decisions"}
TRANSIENT = {"lock", "provenance", "checkpoint", "tensorboard", "group_stack"}


def relevox(*arguments, expect=0):
    """Run a command as a user does, and return what it printed."""
    command = [sys.executable, "-m", "relevox", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == expect, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def bids(tmp_path_factory):
    folder = tmp_path_factory.mktemp("road") / "bids"
    relevox("simulate", folder, "--preset", "tiny", "--workers", 1)
    return folder


@pytest.fixture(scope="module")
def study(bids):
    folder = bids.parent / "study"
    relevox("run", bids, folder, "--preset", "tiny", "--workers", 1)
    relevox("benchmark", bids, folder)
    elsewhere = bids.parent / "elsewhere"
    relevox("simulate", elsewhere, "--preset", "tiny_external", "--workers", 1)
    relevox("validate", folder, elsewhere, "--score", "PDDS", "--threshold", 3, "--workers", 2)
    relevox("report", folder)
    return folder


def files(folder):
    return {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}


def state(folder):
    return {name: (path.stat().st_mtime_ns, path.stat().st_size) for name, path in files(folder).items()}


def test_every_kind_of_file_is_there(study):
    missing = {
        kind
        for kind in set(layout.PATTERNS)
        - NATIVE_ONLY
        - OF_ONE_PATIENT
        - OF_AN_EXTERNAL_COHORT
        - OF_A_BUNDLE
        - OF_A_PAPER
        - OF_A_NATIVE_HEAD
        - OF_THE_SIMULATION
        - OF_A_PLANTED_SIGNAL
        - OF_A_PERSON
        - TRANSIENT
        if not any(layout.find(study, kind))
    }
    assert missing == set()


def test_every_kind_of_file_of_a_simulation_is_beside_its_patients(bids):
    folders = [folder for folder in (bids / "derivatives").iterdir() if folder.is_dir()]
    missing = {kind for kind in OF_THE_SIMULATION if not any(any(layout.find(folder, kind)) for folder in folders)}
    assert missing == set()


def test_every_model_predicted_every_scan_once(study):
    cohort = tables.read_cohort(study)
    by_model = {}
    for prediction in tables.read_predictions(study):
        by_model.setdefault(prediction.model, []).append(prediction.id)
    assert {"cnn", "volumes", "scanner", "age_sex"} <= set(by_model)
    assert all(sorted(ids) == sorted(cohort.ids) for ids in by_model.values())


def test_the_external_cohort_was_voted_on_by_all_models(study):
    own = layout.path(study, "external", name="external")
    ballots = tables.read_ballots(study, "external")
    assert {b.id for b in ballots if b.model == "cnn"} == set(tables.read_cohort(own).ids)
    assert tables.read_json(layout.path(own, "cohort_card"))["score"] == "PDDS"
    assert {row["verdict"] for row in tables.read(layout.path(own, "leak_audit"))} == {"none"}


def test_a_study_is_no_external_cohort_of_itself(bids, study):
    assert "leak-found" in relevox("validate", study, bids, "--name", "itself", "--workers", 1, expect=2)


def test_the_input_folder_is_never_written_to(bids, study):
    before = state(bids)
    relevox("run", bids, study, "--workers", 1)
    assert state(bids) == before


def test_a_second_run_computes_no_map_and_no_weight_again(bids, study):
    kept = {name: value for name, value in state(study).items() if name.name.endswith((".safetensors", ".nii.gz"))}
    relevox("run", bids, study, "--workers", 1)
    after = state(study)
    assert kept == {name: after[name] for name in kept}


def test_a_lost_fold_comes_back_the_same_bit_for_bit(study):
    weights = layout.path(study, "model_weights", fold=1)
    before = hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.unlink()
    relevox("train", study, "--workers", 1)
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == before
    assert "are up to date" in relevox("evaluate", study)


def test_the_report_says_that_the_patients_are_simulated_and_loads_nothing(study):
    html = layout.path(study, "report").read_text(encoding="utf-8")
    assert "says nothing about a person" in html
    assert not re.search(r"(src|href)\s*=\s*[\"'](https?:)?//", html)
    assert "<script" not in html


def test_no_output_holds_a_path_a_host_or_a_user(study):
    secrets = {str(study.parent), os.path.expanduser("~"), socket.gethostname(), getpass.getuser()}
    secrets = {secret.encode() for secret in secrets if len(secret) > 4}  # shorter ones are found in any noise
    for name, path in files(study).items():
        content = path.read_bytes()
        content = gzip.decompress(content) if name.suffix == ".gz" else content
        assert not [secret for secret in secrets if secret in content], name


def test_the_models_leave_without_a_patient(study, tmp_path):
    cohort = tables.read_cohort(study)
    relevox("export", study, tmp_path / "bundle")
    assert {name.name for name in files(tmp_path / "bundle")} >= {"model.json", "MODEL_CARD.md", "fold-0.safetensors"}
    traces = [trace.encode() for trace in (*cohort.patients, str(study.parent), os.path.expanduser("~"))]
    for name, path in files(tmp_path / "bundle").items():
        assert not [trace for trace in traces if trace in path.read_bytes()], name


def test_bad_input_ends_in_one_message_with_file_and_row(bids, tmp_path):
    broken = tmp_path / "bids"
    shutil.copytree(bids, broken)
    table = next(iter(sorted(broken.glob("sub-*/sub-*_sessions.tsv"))))
    rows = tables.read(table)
    tables.write(table, [{**rows[0], "EDSS": "3,5"}, *rows[1:]])
    text = relevox("run", broken, tmp_path / "study", "--preset", "tiny", expect=2)
    assert "table-number" in text and table.name in text and "row 1" in text


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (("train", "nowhere"), 4, "study-incomplete"),
        (("export", "nowhere", "out"), 4, "study-incomplete"),
        (("predict", "nowhere", "--t1w", "a", "--flair", "b", "--out", "out"), 4, "model-unknown"),
        (("run", "nowhere", "out"), 2, "bids-missing"),
        (("run", "nowhere", "out", "--preset", "papper"), 3, "did you mean 'paper'"),
        (("check", "nowhere"), 2, "bids-missing"),
        (("simulate", "out", "--preset", "tinny"), 3, "did you mean 'tiny'"),
        (("simulate", "out", "--label", "locaton"), 3, "did you mean 'location'"),
        (("simulate", "out", "--weight", "frontal_cotex=-1"), 3, "did you mean 'frontal_cortex'"),
        (("simulate", "out", "--weight", "frontal_cortex"), 3, "expected CAUSE=W"),
        (("simulate", "out", "--confounding", 2), 3, "confounding"),
    ],
)
def test_a_wrong_command_ends_in_a_message_and_its_exit_code(tmp_path, monkeypatch, arguments, code, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in relevox(*arguments, expect=code)
