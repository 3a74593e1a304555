"""The tables of an evaluation hang together, and agree with the functions they are made of."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.config import CohortSettings, EvaluationSettings, Settings
from relevox.statistics import comparison
from relevox.statistics.conformal import fit_conformal
from relevox.statistics.evaluation import calibration, conformal, subgroups, tables
from relevox.statistics.evaluation.answers import by_model
from relevox.statistics.scores import classification_scores, patient_bootstrap


@pytest.fixture(scope="module")
def scored(honest):
    return tables.score_tables(honest.test, honest.settings, honest.cohort)


def one(rows, **wanted):
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def test_every_table_has_the_columns_it_names(honest, scored):
    rest = tables.out_of_fold_tables(honest.test, honest.validation, [], [], [], honest.settings, honest.cohort)
    for kind, rows in (scored | rest).items():
        for row in rows:
            assert set(row) <= set(tables.COLUMNS[kind]), kind
    assert not rest["subset_scores"]


def test_differences_have_the_intervals_of_the_paired_bootstrap(honest, scored):
    answers, e = by_model(honest.test), honest.settings.evaluation
    for level in ("scan", "patient"):
        a, b = answers["cnn"].at(level), answers["scanner"].at(level)
        expected = comparison.paired_bootstrap(a.labels, a.probability, b.probability, a.patients, e.n_bootstrap)
        for measure in ("accuracy", "balanced_accuracy", "auc"):
            row = one(
                scored["comparisons"],
                model="cnn",
                against="scanner",
                level=level,
                test="paired_bootstrap",
                measure=measure,
            )
            for name in ("difference", "ci_low", "ci_high", "p"):
                assert row[name] == pytest.approx(getattr(expected[measure], name), abs=1e-12)


def test_the_first_table_repeats_scores_and_comparisons(scored):
    for level, p_of in (("scan", "mcnemar_durkalski"), ("patient", "paired_bootstrap")):
        row = one(scored["summary"], model="scanner", level=level)
        cnn = one(scored["summary"], model="cnn", level=level)
        assert row["cnn_minus_model_auc"] == pytest.approx(cnn["auc"] - row["auc"])
        assert row["cnn_minus_model_accuracy"] == pytest.approx(cnn["accuracy"] - row["accuracy"])
        assert row["cnn_minus_model_accuracy_test"] == p_of
        assert row["auc_ci_low"] < row["auc"] < row["auc_ci_high"]
    assert "cnn_minus_model_auc" not in cnn


def test_the_order_of_the_cohort_does_not_matter(honest, scored):
    turned = replace(honest.cohort, observations=honest.cohort.observations[::-1])
    again = tables.score_tables(honest.test[::-1], honest.settings, turned)
    assert again == scored


def test_an_external_cohort_without_folds_is_scored_without_a_test_over_folds(honest):
    outside = [replace(p, fold=-1) for p in honest.test]
    found = tables.score_tables(outside, honest.settings, honest.cohort)
    assert {row["test"] for row in found["comparisons"]}.isdisjoint({"corrected_t"})
    assert one(found["scores"], model="cnn", level="scan", measure="auc")["value"] > 0.8


def test_a_worse_outcome_has_no_ends_of_the_scale(honest):
    later = CohortSettings(outcome="worsening", window_from_days=365, window_days=1095)
    settings = Settings(cohort=later, evaluation=honest.settings.evaluation)
    assert "posthoc" not in tables.score_tables(honest.test, settings, honest.cohort)


def test_the_ends_of_the_scale_are_a_subset_of_the_same_answers(honest, scored):
    score = np.array([o.score for o in honest.cohort])
    kept = (score <= 2) | (score >= 4)
    cnn = by_model(honest.test)["cnn"]
    expected = classification_scores(cnn.labels[kept], cnn.probability[kept])
    row = one(scored["posthoc"], model="cnn", level="scan", measure="auc")
    assert row["subset"] == "<= 2 or >= 4"
    assert row["value"] == expected.auc
    assert (row["n"], row["n_left_out"]) == (kept.sum(), (~kept).sum())


def test_small_subgroups_are_suppressed_and_said_so(honest):
    few = EvaluationSettings(n_bootstrap=100, smallest_group=1000)
    strata = {"sex": np.array([o.sex for o in honest.cohort])}
    rows = subgroups.subgroup_table(by_model(honest.test)["cnn"], strata, few, 0)
    assert rows and all(row["suppressed"] and np.isnan(row["value"]) for row in rows)


def test_a_score_that_differs_between_the_sexes_is_found(honest):
    sex = np.array([o.sex for o in honest.cohort])
    answers = by_model(honest.test)["cnn"]
    worse = replace(answers, probability=np.where(sex == "F", answers.probability, 0.5 * np.ones(len(sex))))
    few = EvaluationSettings(n_permutations=200)

    def p_of(given):
        return one(subgroups.interaction_table(given, {"sex": sex}, few, 0), factor="sex", measure="auc")["p"]

    # visits of one patient have their own sex in this cohort: patients of both are left out
    assert p_of(worse) < 0.02 < p_of(answers)


def test_the_temperature_undoes_a_sharpening_of_the_logits(honest):
    def sharpened(predictions, factor):
        def sharpen(p):
            logit = factor * np.log(p / (1 - p))
            return float(1 / (1 + np.exp(-logit)))

        return [replace(p, probability=sharpen(p.probability)) for p in predictions]

    def mended_by_temperature(factor):
        return calibration.calibrated(
            sharpened(honest.test, factor), calibration.temperature_table(sharpened(honest.validation, factor))
        )

    plain, sharp = mended_by_temperature(1), mended_by_temperature(2)
    assert [p.probability for p in sharp] == pytest.approx([p.probability for p in plain], abs=1e-6)
    of_kind = {"raw": sharpened(honest.test, 4), "temperature": mended_by_temperature(4)}
    rows = calibration.calibration_table(of_kind, honest.settings.evaluation, 0)
    raw = one(rows, model="cnn", probability="raw")
    mended = one(rows, model="cnn", probability="temperature")
    assert mended["brier"] < raw["brier"] and mended["ece"] < raw["ece"]
    assert abs(mended["slope"] - 1) < abs(raw["slope"] - 1)


def test_a_folds_temperature_comes_from_its_validation_scans_alone(honest):
    rows = calibration.temperature_table(honest.validation)
    changed = [replace(p, probability=1 - p.probability) if p.fold == 2 else p for p in honest.validation]
    again = calibration.temperature_table(changed)
    for before, after in zip(rows, again, strict=True):
        assert (before == after) == (before["fold"] != 2)
    assert one(again, model="cnn", fold=2)["temperature"] == np.inf
    assert "0.5" in one(again, model="cnn", fold=2)["note"]


def test_a_fold_that_is_always_right_keeps_its_probabilities(honest):
    sure = [replace(p, probability=0.9 if p.label else 0.2) for p in honest.validation if p.model == "cnn"]
    rows = calibration.temperature_table(sure)
    assert all(np.isnan(row["temperature"]) and row["note"] for row in rows)
    test = [p for p in honest.test if p.model == "cnn"]
    assert calibration.calibrated(test, rows) == test


def test_conformal_sets_keep_their_promise_on_exchangeable_patients(honest):
    rows = conformal.conformal_table(honest.test, honest.validation, honest.settings.evaluation, 0)
    overall = one(rows, model="cnn", promise="overall", fold="all")
    assert overall["patient_ci_high"] > 0.9
    assert overall["empty"] + overall["single"] + overall["both"] == pytest.approx(1)
    folds = [row for row in rows if row["model"] == "cnn" and row["promise"] == "overall" and row["fold"] != "all"]
    assert len(folds) == 4 and sum(row["n"] for row in folds) == overall["n"]
    validation = by_model(honest.validation)["cnn"]
    mine = validation.where(validation.folds == 1)
    rule = fit_conformal(mine.labels, mine.probability, mine.patients)
    assert one(folds, fold=1)["threshold_1"] == rule.thresholds[1]


def test_scores_have_the_patient_bootstraps_interval(honest, scored):
    cnn, e = by_model(honest.test)["cnn"], honest.settings.evaluation
    low, high = patient_bootstrap(cnn.labels, cnn.probability, cnn.patients, e.n_bootstrap)["auc"]
    row = one(scored["scores"], model="cnn", level="scan", measure="auc")
    assert (row["ci_low"], row["ci_high"]) == (low, high)
