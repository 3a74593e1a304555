"""What the scores section says of a study whose tables were really computed: 80 patients, four folds."""

from dataclasses import replace

import numpy as np
import pytest

from relevox.config import EvaluationSettings
from relevox.records import Cohort, Observation, Prediction, ScanId
from relevox.report import model_tables, section_scores, verdicts
from relevox.report.discrimination import roc_and_calibration
from relevox.report.limits import limits
from relevox.report.methods import training_text
from relevox.report.page import Details, Note
from relevox.report.subgroups import subgroup_forest
from relevox.report.tables import DASH, interval
from relevox.statistics.baselines import age_sex_design
from relevox.statistics.evaluation.tables import out_of_fold_tables

QUICK = EvaluationSettings(n_bootstrap=200, n_permutations=100)


def evaluated(results, driven):
    """Replace the fixture's cohort; the network sees the scanner (driven) or the class."""
    rng = np.random.default_rng(3)
    observations, predictions, validation, of_subsets = [], [], [], []
    for n in range(80):
        label = n % 2
        scanner = "A" if rng.random() < (0.85 if label else 0.15) else "B"
        if not driven:
            scanner = str(rng.choice(["A", "B", "Rare"], p=[0.5, 0.45, 0.05]))
        o = Observation(
            ScanId(f"sub-{n:02d}"), 5.0 if label else 1.5, label, age_years=float(rng.uniform(25, 60)),
            sex=str(rng.choice(["F", "M"])), scanner=scanner,
        )  # fmt: skip
        observations.append(o)
        fold, hint = (n // 2) % 4, 1.6 * (2 * (scanner == "A") - 1)
        logits = {"cnn": hint if driven else 4 * (label - 0.5), "scanner": hint, "age_sex": 0.0}
        for model, logit in logits.items():
            probability = float(1 / (1 + np.exp(-logit - 1.2 * rng.standard_normal() * (model != "scanner"))))
            predictions.append(Prediction(o.id, model, fold, label, probability))
            validation.append(Prediction(o.id, model, (fold - 1) % 4, label, probability))
        for subset in ("lesions", "white_matter", "white_matter+lesions"):
            of_subsets.append(Prediction(o.id, subset, fold, label, float(rng.random())))
    cohort = Cohort(tuple(observations))
    settings = results.settings.model_copy(update={"evaluation": QUICK})
    design = age_sex_design([o.age_years for o in cohort], [o.sex for o in cohort])
    found = out_of_fold_tables(predictions, validation, of_subsets, ["lesions"] * 4, [design], settings, cohort)
    return replace(
        results,
        settings=settings,
        cohort=cohort,
        folds=np.array([(n // 2) % 4 for n in range(80)]),
        predictions=predictions,
        scores=found.pop("scores"),
        comparisons=found.pop("comparisons"),
        calibration=found.pop("calibration"),
        evaluation={kind: [_filled(row) for row in rows] for kind, rows in found.items() if rows},
    )


def _filled(row):
    """Missing numbers are NaN, as the reader of the tables gives them."""
    names = [f"cnn_minus_model_{m}{end}" for m in ("accuracy", "auc") for end in ("", "_ci_low", "_ci_high", "_p")]
    return dict.fromkeys(names, np.nan) | row


@pytest.fixture(scope="module")
def made():
    return {}


@pytest.fixture
def honest(results, made):
    return made.setdefault("honest", evaluated(results, driven=False))


@pytest.fixture
def driven(results, made):
    return made.setdefault("driven", evaluated(results, driven=True))


def test_a_scanner_driven_cohort_is_called_so_in_the_section_and_in_the_limits(driven):
    blocks = section_scores.scores(driven)
    assert isinstance(blocks[0], Note) and "may come from the scanner alone" in blocks[0].text
    sentence = next(s for s in verdicts.confound_sentences(driven) if s.startswith("The scanner alone"))
    assert "may be all it has learned" in sentence and "no evidence that it reads disability" in sentence
    assert sentence in limits(driven)


def test_a_network_that_knows_more_is_not(honest):
    assert not any(isinstance(block, Note) for block in section_scores.scores(honest))
    sentence = verdicts.confound_sentences(honest)[0]
    assert "the CNN leads by" in sentence and "Among scans of the same scanner the CNN's AUC is" in sentence
    assert not any("may be all it has learned" in s for s in limits(honest))


def test_the_first_table_holds_every_model_with_the_networks_lead(honest):
    table = model_tables.first_table(honest, "patient")
    rows = {row[0]: row for row in table.rows}
    assert next(iter(rows)) == "CNN on the images"
    assert rows["CNN on the images"][4:] == (DASH,) * 4
    assert rows["scanner alone"][7] == "< 0.001"
    assert "best subset, picked by the test scans" in rows
    assert "therefore too good" in table.caption and "all 3 subsets" in table.caption


def test_subsets_come_best_first_and_say_how_often_they_were_picked(honest):
    table = model_tables.subset_table(honest)
    values = [float(row[3].split()[0]) for row in table.rows]
    assert values == sorted(values, reverse=True)
    assert {row[0]: row[4] for row in table.rows}["lesions"] == "4"


def test_small_parts_show_no_score_in_figure_and_table(honest):
    figure = subgroup_forest(honest.evaluation["subgroups"], honest.evaluation["interactions"], honest.scores, ("auc",))
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[0] == "all" and "scanner" in labels and any(label.startswith("Rare") for label in labels)
    assert sum(text.get_text() == "too few patients" for text in figure.axes[0].texts) >= 1
    ages = [label.split("  ")[0] for label in labels if label[0] in "<≥345"]
    assert ages == ["< 30", "30 to < 40", "40 to < 50", "≥ 50"]
    row = next(row for row in model_tables.left_out_table(honest).rows if row[0] == "Rare")
    assert set(row[3:]) == {DASH}
    assert any("Too few patients for an AUC of their own: Rare" in s for s in limits(honest))


def test_the_refitted_and_the_out_of_fold_are_told_apart(honest):
    table = model_tables.left_out_table(honest)
    assert any("CNN on the images, out of fold" in title for title in table.header)
    assert any("age and sex alone, fitted without it" in title for title in table.header)
    assert any("not trained again without a scanner" in s for s in limits(honest))


def without(results, scanner):
    """The study as if the network had been trained without a scanner."""
    training = results.settings.training.model_copy(update={"unseen_scanner": scanner})
    kinds = {scanner: "never_seen", "all": "mixed"}
    rows = [
        row | {"training": kinds.get(row["scanner"], row["training"])} if row["model"] == "cnn" else row
        for row in results.evaluation["left_out_scanners"]
    ]
    return replace(
        results,
        settings=results.settings.model_copy(update={"training": training}),
        evaluation=results.evaluation | {"left_out_scanners": rows},
    )


def test_the_scanner_that_the_network_never_saw_is_named_and_no_other(honest):
    study = without(honest, "B")
    table, plain = model_tables.left_out_table(study), model_tables.left_out_table(honest)
    assert [row[0] for row in table.rows] == ["A", "B (CNN trained without it)", "Rare", "all"]
    assert [row[1:] for row in table.rows] == [row[1:] for row in plain.rows] and table.header == plain.header
    assert "trained without B and without its patients" in table.caption and "not trained again" not in table.caption
    mine = {
        r["measure"]: r for r in study.evaluation["left_out_scanners"] if (r["model"], r["scanner"]) == ("cnn", "B")
    }
    auc, balanced = interval(mine["auc"]), interval(mine["balanced_accuracy"])
    said = " ".join(limits(study))
    assert f"The CNN reaches an AUC of {auc} and a balanced accuracy of {balanced} on B, a scanner it has never" in said
    assert f"({table.rows[1][2]} scans of {table.rows[1][1]} patients)" in said
    assert "How the CNN does on A, Rare without having seen them is not known from this report." in said
    assert "not trained again without a scanner" not in said


def test_an_unseen_scanner_with_too_few_patients_has_no_score(honest):
    said = " ".join(limits(without(honest, "Rare")))
    assert "How the CNN does on Rare, a scanner it has never seen, is not known: too few patients for a score" in said
    assert "The CNN reaches" not in said and "How the CNN does on A, B without" in said


def test_the_methods_say_who_trained_nothing(honest):
    text = training_text(without(honest, "B"))
    n = sum(o.scanner == "B" for o in honest.cohort)  # nobody has a second scan here
    assert "No model learned from scans of B, from other scans of its patients, or from scans of unknown" in text
    assert f"({n} of 80 scans)" in text
    assert "No model learned" not in training_text(honest)


def test_the_decision_curve_and_both_calibrations_are_drawn(honest):
    figure = roc_and_calibration(
        honest.predictions,
        honest.classes,
        reliability=honest.evaluation["reliability"],
        decision=honest.evaluation["decision_curves"],
    )
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["ROC", "calibration of the CNN", "decision curve", "the CNN's answers"]
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["as they are", "with temperature"]
    named = [line.get_label() for line in figure.axes[2].lines]
    assert named[0] == "CNN on the images" and named[-2:] == ["act on all", "act on nobody"]


def test_calibration_is_said_in_words_and_left_out_where_it_was_not_measured(results, honest):
    row = {"model": "cnn", "slope": 0.5, "intercept": -0.1, "n": 240.0}
    text = verdicts.calibration_sentence(replace(results, calibration=[row]))
    assert "240 patients: slope 0.50" in text and "too extreme" in text
    assert verdicts.calibration_sentence(replace(results, calibration=[])) == ""
    assert "changes the Brier score from" in verdicts.calibration_sentence(honest)


@pytest.mark.parametrize(
    ("slope", "low", "high", "said"),
    [(0.5, 0.3, 0.8, "too extreme"), (1.5, 1.2, 1.9, "too timid"), (0.9, 0.7, 1.2, "neither")],
)
def test_the_slopes_interval_decides_what_is_said(results, slope, low, high, said):
    row = {"model": "cnn", "slope": slope, "slope_low": low, "slope_high": high, "intercept": 0.0, "n": 100.0}
    changed = replace(results, calibration=[row | {"probability": "raw"}])
    assert said in verdicts.calibration_sentence(changed)
    assert any("calibration slope" in s for s in limits(changed)) == (said != "neither")


def test_every_lookup_table_is_folded(honest):
    titles = [block.summary for block in section_scores.scores(honest) if isinstance(block, Details)]
    assert "Every subset of the volumes" in titles and "One scanner left out" in titles
    assert len(titles) == len(set(titles)) == 9
