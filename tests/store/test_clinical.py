"""Scans, scores and their matching, on folders made by hand."""

import numpy as np
import pytest

from relevox.config import CohortSettings, Settings
from relevox.errors import CohortError, InputError, RelevoxError
from relevox.records import ScanId, Volume
from relevox.stages import check, cohort
from relevox.store import bids, clinical, images, matching, tables

SPACE = "MNI152NLin2009aSym"
COLUMNS = "session_id\tacq_time\tEDSS\tEDSS_date"


def add_scan(root, participant, session="ses-1", suffixes=("T1w", "FLAIR")):
    scan = ScanId(participant, session)
    folder = root / participant / session / "anat" if session else root / participant / "anat"
    for suffix in suffixes:
        images.write(folder / f"{scan.key}_{suffix}.nii.gz", Volume(np.ones((3, 3, 3), np.float32), np.eye(4)))


def add_sessions(root, participant, rows, columns=COLUMNS):
    (root / participant / f"{participant}_sessions.tsv").write_text("\n".join([columns, *rows]) + "\n")


@pytest.fixture
def root(tmp_path):
    data_set = tmp_path / "bids"
    for n, score in enumerate((1.5, 2.0, 4.0, 6.5)):
        add_scan(data_set, f"sub-{n}")
        add_sessions(data_set, f"sub-{n}", [f"ses-1\t2020-01-10\t{score}\t2020-03-01"])
    return data_set


def known(root, settings=None):
    return clinical.read(root, bids.index(root, SPACE), settings or CohortSettings())


def message(root):
    with pytest.raises(RelevoxError) as caught:
        known(root)
    return str(caught.value)


def test_scans_and_scores_are_found_and_matched(root, tmp_path):
    found = cohort.run(root, tmp_path / "study", Settings())
    assert [o.score for o in found] == [1.5, 2.0, 4.0, 6.5] and found.labels.tolist() == [0, 0, 1, 1]
    assert [row["scans_left"] for row in tables.read(tmp_path / "study" / "flow.tsv")] == ["4", "4", "4"]


@pytest.mark.parametrize(
    ("score_date", "matched"),
    [("2020-01-10", True), ("2020-07-11", True), ("2020-07-12", False), ("2020-01-09", False)],
)
def test_a_score_counts_from_the_day_of_the_scan_to_day_183(root, score_date, matched):
    add_sessions(root, "sub-0", [f"ses-1\t2020-01-10\t1.5\t{score_date}"])
    scan = bids.index(root, SPACE)[0]
    assert (matching.match(scan, known(root), CohortSettings()) is not None) == matched


def test_the_first_score_within_the_window_is_taken_and_two_on_its_day_are_an_error(root):
    (root / "phenotype").mkdir()
    rows = ["sub-0\t2020-02-01\t3.5", "sub-0\t2020-01-20\t2.5"]
    (root / "phenotype" / "edss.tsv").write_text("\n".join(["participant_id\tdate\tEDSS", *rows]) + "\n")
    scan = bids.index(root, SPACE)[0]
    assert matching.match(scan, known(root), CohortSettings()).value == 2.5
    add_sessions(root, "sub-0", ["ses-1\t2020-01-10\t4.0\t2020-01-20"])
    with pytest.raises(RelevoxError, match="two different scores"):
        matching.match(scan, known(root), CohortSettings())


def test_a_table_without_dates_is_taken_as_already_matched(root):
    for n in range(4):
        add_sessions(root, f"sub-{n}", [f"ses-1\t{n}.0"], "session_id\tEDSS")
    scan = bids.index(root, SPACE)[3]
    assert matching.match(scan, known(root), CohortSettings()).value == 3.0


def test_the_flow_counts_who_has_no_later_score_and_who_has_none_at_the_scan(root, tmp_path):
    columns = "session_id\tacq_time\tEDSS\tEDSS_date"
    (root / "phenotype").mkdir()
    later = ["sub-0\t2021-05-01\t3.5", "sub-1\t2021-05-01\t2.0", "sub-2\t2022-05-01\t4.5", "sub-2\t2021-06-01\t4.0"]
    (root / "phenotype" / "edss.tsv").write_text("\n".join(["participant_id\tdate\tEDSS", *later]) + "\n")
    add_sessions(root, "sub-0", ["ses-1\t2020-01-10\tn/a\tn/a"], columns)
    window = {"window_from_days": 365, "window_days": 1095, "score_at_scan": "required"}
    settings = Settings(cohort=CohortSettings(**window))
    found = cohort.run(root, tmp_path / "study", settings)
    assert [(o.id.participant, o.score_at_scan, o.score, o.label) for o in found] == [
        ("sub-1", 2.0, 2.0, 0),
        ("sub-2", 4.0, 4.0, 1),
    ]
    assert tables.read_cohort(tmp_path / "study") == found
    flow = [(row["rule"], row["scans_removed"]) for row in tables.read(tmp_path / "study" / "flow.tsv")]
    assert flow[1:3] == [("no EDSS 365 to 1095 days after the scan", "1"), ("no EDSS within 183 days of the scan", "1")]
    worse = Settings(cohort=CohortSettings(**window | {"outcome": "worsening", "window_choice": "last"}))
    with pytest.raises(CohortError, match=r"both classes \(EDSS not worse; EDSS worse\)"):
        cohort.run(root, tmp_path / "study", worse)


def test_the_middle_of_the_scale_can_be_left_out_and_the_flow_says_how_many(root, tmp_path):
    for n, score in enumerate((3.5, 2.5)):
        add_scan(root, f"sub-{4 + n}")
        add_sessions(root, f"sub-{4 + n}", [f"ses-1\t2020-01-10\t{score}\t2020-03-01"])
    settings = Settings(cohort=CohortSettings(exclude_between=(2.0, 4.0)))
    found = cohort.run(root, tmp_path / "study", settings)
    assert [o.score for o in found] == [1.5, 2.0, 4.0, 6.5]  # both ends stay
    flow = {row["rule"]: row["scans_removed"] for row in tables.read(tmp_path / "study" / "flow.tsv")}
    assert flow["EDSS between 2 and 4"] == "2"
    assert settings.cohort.class_words == ("EDSS <= 2", "EDSS >= 4")


@pytest.mark.parametrize("wrong", ["abc", "3,5", "11", "-1", "0.5"])
def test_a_score_that_does_not_exist_is_named_with_file_and_row(root, wrong):
    add_sessions(root, "sub-2", [f"ses-1\t2020-01-10\t{wrong}\t2020-03-01"])
    text = message(root)
    assert "sub-2/sub-2_sessions.tsv: row 1" in text and f"'{wrong}'" in text


def test_a_blank_score_is_a_missing_score(root, tmp_path):
    add_sessions(root, "sub-0", ["ses-1\t2020-01-10\tn/a\tn/a"])
    assert len(cohort.run(root, tmp_path / "study", Settings())) == 3


def test_impossible_dates_and_repeated_sessions_are_listed_together(root):
    add_sessions(root, "sub-0", ["ses-1\t2020-02-30\t2.0\t2020-03-01"])
    add_sessions(root, "sub-1", ["ses-1\t10/01/2020\t2.0\t01/03/2020"])
    add_sessions(root, "sub-2", ["ses-1\t2020-01-10\t4.0\t2020-03-01"] * 2)
    text = message(root)
    assert "2020-02-30" in text and "01/03/2020" in text and "appears twice" in text


def test_one_class_only_is_an_error_of_the_cohort(root, tmp_path):
    for n in (2, 3):
        add_sessions(root, f"sub-{n}", ["ses-1\t2020-01-10\t1.0\t2020-03-01"])
    with pytest.raises(CohortError, match="one-class"):
        cohort.run(root, tmp_path / "study", Settings())


def test_a_missing_flair_is_named_and_a_session_without_both_is_no_scan(root):
    add_scan(root, "sub-1", "ses-2", ("T1w",))
    with pytest.raises(InputError, match=r"flair-missing.*sub-1_ses-2"):
        bids.index(root, SPACE)
    assert [scan.flair for scan in bids.index(root, SPACE, incomplete=True)].count(None) == 1
    (root / "sub-1" / "ses-2" / "anat" / "sub-1_ses-2_T1w.nii.gz").unlink()
    assert len(bids.index(root, SPACE)) == 4


def test_two_images_to_choose_from_are_an_error(root):
    for run in (1, 2):
        path = root / "sub-3" / "ses-1" / "anat" / f"sub-3_ses-1_run-{run}_T1w.nii.gz"
        images.write(path, Volume(np.ones((3, 3, 3), np.float32), np.eye(4)))
    with pytest.raises(InputError, match="t1w-several"):
        bids.index(root, SPACE)


def test_no_score_at_all_says_which_column_was_looked_for(root):
    for n in range(4):
        add_sessions(root, f"sub-{n}", ["ses-1\t1"], "session_id\tPDDS")
    assert "score-missing" in message(root)
    assert len(known(root, CohortSettings(score="PDDS")).scores) == 4


def test_derivatives_in_template_space_make_a_scan_without_raw_images(root):
    folder = root / "derivatives" / "mine" / "sub-9" / "anat"
    for name in ("desc-preproc_T1w", "desc-preproc_FLAIR", "desc-brain_mask"):
        images.write(folder / f"sub-9_space-{SPACE}_{name}.nii.gz", Volume(np.ones((3, 3, 3), np.float32), np.eye(4)))
    scan = bids.index(root, SPACE)[-1]
    assert scan.id == ScanId("sub-9") and scan.t1w is None
    assert set(scan.derivatives) == {"space_t1w", "space_flair", "space_brain_mask"}


def test_check_lists_images_tables_and_folds_at_once(root):
    image = root / "sub-0" / "ses-1" / "anat" / "sub-0_ses-1_T1w.nii.gz"
    image.write_bytes(image.read_bytes()[:-4])
    with pytest.raises(RelevoxError) as caught:
        check.run(root, Settings())
    text = str(caught.value)
    assert "image-damaged" in text and "too-few-patients" in text


def test_a_folder_without_scans_is_an_error(tmp_path):
    with pytest.raises(CohortError, match="no-scans"):
        bids.index(tmp_path, SPACE)
    with pytest.raises(InputError, match="bids-missing"):
        bids.index(tmp_path / "nowhere", SPACE)


def test_further_columns_are_kept_for_the_cohort_table_the_session_before_the_patient(root, tmp_path):
    lines = ["participant_id\tMS_type\ttreatment", *(f"sub-{n}\tRR\tnone" for n in range(4))]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")
    add_sessions(root, "sub-0", ["ses-1\t2020-01-10\t1.5\t2020-03-01\tfirst line"], COLUMNS + "\ttreatment")
    add_sessions(root, "sub-1", ["ses-1\t2020-01-10\t2.0\t2020-03-01\tn/a"], COLUMNS + "\ttreatment")
    made = cohort.run(root, tmp_path / "study", Settings())
    columns = tables.read_characteristics(tmp_path / "study", made)
    assert columns == {"ms_type": ["RR"] * 4, "treatment": ["first line", "none", "none", "none"]}
    contrasts = [row["contrast"] for row in tables.read(tmp_path / "study" / "acquisition.tsv")]
    assert contrasts == ["T1w", "FLAIR"] * 4


def test_a_column_that_was_asked_for_must_be_there(root):
    with pytest.raises(InputError, match=r"cohort\.describe names hair_colour"):
        known(root, CohortSettings(describe=("ms_type", "hair_colour")))


def test_scans_that_a_person_failed_are_left_out_and_counted(root, tmp_path):
    add_scan(root, "sub-9")
    add_sessions(root, "sub-9", ["ses-1\t2020-01-10\t6.0\t2020-03-01"])
    study = tmp_path / "study"
    rows = [
        {"participant_id": "sub-1", "session_id": "ses-1", "decision": "pass", "note": ""},
        {"participant_id": "sub-9", "session_id": "ses-1", "decision": "fail", "note": "skull in the mask"},
    ]
    tables.write(study / "quality_decisions.tsv", rows)
    found = cohort.run(root, study, Settings())
    assert ScanId("sub-9", "ses-1") not in found.ids and len(found) == 4
    last = tables.read(study / "flow.tsv")[-1]
    assert (last["rule"], last["scans_removed"]) == ("failed by a person's look", "1")
