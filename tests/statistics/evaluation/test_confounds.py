import numpy as np
import pytest

from relevox.records import Cohort
from relevox.statistics.baselines import age_sex_design
from relevox.statistics.evaluation.answers import by_model, scans_of
from relevox.statistics.evaluation.confounds import balance_table, left_out_table, stratified_table, verdict_table
from relevox.statistics.evaluation.strata import strata_of


def strata(study):
    return strata_of(study.cohort, scans_of(study.test), (30.0, 40.0, 50.0))


def verdicts(study):
    rows = verdict_table(study.test, strata(study), study.settings.evaluation, 0)
    return {(row["confound"], row["measure"]): row for row in rows}


def test_a_network_that_only_knows_the_scanner_is_called_so(scanner_driven):
    found = verdicts(scanner_driven)["scanner", "auc"]
    assert found["cnn"] > 0.75  # it looks like a result
    assert found["within_interval"] and found["not_shown_better"] and found["confound_driven"]
    assert found["stratified_low"] < 0.5 < found["stratified_high"]
    assert not verdicts(scanner_driven)["age_sex", "auc"]["within_interval"]


def test_a_network_that_knows_the_class_is_not(honest):
    for row in verdicts(honest).values():
        assert not (row["within_interval"] or row["not_shown_better"] or row["confound_driven"])
        assert row["stratified_low"] > 0.5


def test_two_models_at_chance_are_not_called_driven_by_a_confound(scanner_driven):
    blind = [p for p in scanner_driven.test if p.model == "age_sex"]
    study = type(scanner_driven)(
        scanner_driven.cohort,
        [*blind, *(type(p)(p.id, "cnn", p.fold, p.label, 1 - p.probability) for p in blind)],
        [],
        scanner_driven.settings,
    )
    row = verdicts(study)["age_sex", "auc"]
    assert row["not_shown_better"] and not row["confound_driven"]


def test_within_a_scanner_the_scanner_knows_nothing(scanner_driven):
    rows = stratified_table(scanner_driven.test, strata(scanner_driven), scanner_driven.settings.evaluation, 0)
    row = next(row for row in rows if (row["model"], row["factor"]) == ("scanner", "scanner"))
    assert row["stratified_auc"] == 0.5 and row["auc"] > 0.75
    scanners, labels = strata(scanner_driven)["scanner"], scanner_driven.cohort.labels
    pairs = sum(int((labels[scanners == s] == 1).sum() * (labels[scanners == s] == 0).sum()) for s in "AB")
    assert row["n_pairs"] == pairs < row["n_pairs_all"] == int(labels.sum() * (1 - labels).sum())


def test_a_refitted_model_saw_neither_the_scanner_nor_its_patients(honest, monkeypatch):
    from relevox.statistics.evaluation import confounds as module

    seen, design = [], age_sex_design([o.age_years for o in honest.cohort], [o.sex for o in honest.cohort])
    fit = module.fit_logistic
    monkeypatch.setattr(module, "fit_logistic", lambda d, y, rows, balanced: (seen.append(rows), fit(d, y, rows))[1])
    scanners = strata(honest)["scanner"]
    rows = left_out_table(honest.test, scanners, [design], honest.settings.evaluation, 0)
    for left_out, train in zip("AB", seen, strict=True):
        assert not np.isin(honest.cohort.patients[train], honest.cohort.patients[scanners == left_out]).any()
    kinds = {(row["model"], row["training"]) for row in rows}
    assert kinds == {("cnn", "out_of_fold"), ("age_sex", "refitted")}
    cnn = by_model(honest.test)["cnn"]
    of_a = next(row for row in rows if (row["model"], row["scanner"], row["measure"]) == ("cnn", "A", "accuracy"))
    assert of_a["value"] == pytest.approx(cnn.correct[scanners == "A"].mean())


def test_only_the_scanner_that_the_network_never_saw_is_called_so(honest):
    scanners = strata(honest)["scanner"]
    plain = left_out_table(honest.test, scanners, [], honest.settings.evaluation, 0)
    rows = left_out_table(honest.test, scanners, [], honest.settings.evaluation, 0, unseen="B")
    named = {row["scanner"]: row["training"] for row in rows}
    assert named == {"A": "out_of_fold", "B": "never_seen", "all": "mixed"}
    same = [{key: row[key] for key in row if key != "training"} for row in rows]
    assert same == [{key: row[key] for key in row if key != "training"} for row in plain]


def test_with_one_scanner_nothing_can_be_left_out(honest):
    one = np.full(len(honest.cohort), "A")
    assert left_out_table(honest.test, one, [], honest.settings.evaluation, 0) == []


def test_the_balance_counts_every_scan_once_a_factor(honest):
    rows = balance_table(honest.cohort, strata(honest))
    for factor in ("scanner", "field_strength", "sex", "age"):
        assert sum(row["scans"] for row in rows if row["factor"] == factor) == len(honest.cohort)
    women = next(row for row in rows if row["level"] == "female")
    assert women["female_0"] == women["female_1"] == 1
    assert women["share_class_1"] == pytest.approx(np.mean([o.label for o in honest.cohort if o.sex == "F"]))


def test_a_cohort_without_scanners_has_no_such_factor(honest):
    from dataclasses import replace

    cohort = Cohort(tuple(replace(o, scanner="", field_strength_t=np.nan) for o in honest.cohort))
    assert set(strata_of(cohort, cohort.ids, (40.0,))) == {"sex", "age"}
