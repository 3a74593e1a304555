"""Scores by level, small cells, and interaction."""

import numpy as np
import pytest
from scipy import stats

from relevox.errors import InputError
from relevox.statistics.scores import MEASURES, classification_scores, patient_bootstrap
from relevox.statistics.subgroups import bands, interaction, scores_without, subgroup_scores


def cohort(n=120, seed=0, gain=(1.5, 1.5)):
    """Patients of two levels, 1 to 3 scans each; the signal of each level is given."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), rng.integers(1, 4, n))
    level, y = rng.integers(0, 2, n)[patients], rng.integers(0, 2, n)[patients]
    z = np.array(gain)[level] * (y - 0.5) + rng.standard_normal(n)[patients] + 0.3 * rng.standard_normal(len(y))
    return y, 1 / (1 + np.exp(-z)), patients, np.array(["A", "B"])[level]


def test_a_level_is_scored_as_if_it_were_the_cohort():
    y, p, patients, levels = cohort()
    found = {group.level: group for group in subgroup_scores(y, p, patients, levels, n_bootstrap=100)}
    rows = levels == "B"
    expected, intervals = (
        classification_scores(y[rows], p[rows]),
        patient_bootstrap(y[rows], p[rows], patients[rows], 100),
    )
    for name in MEASURES:
        score = found["B"].scores[name]
        assert score.value == pytest.approx(getattr(expected, name))
        assert (score.ci_low, score.ci_high) == pytest.approx(intervals[name])
    assert found["A"].n + found["B"].n == len(y)
    rest = {group.level: group for group in scores_without(y, p, patients, levels, n_bootstrap=100)}
    assert rest["A"].scores == found["B"].scores and rest["A"].n == found["B"].n


def test_small_levels_are_suppressed_and_say_so():
    y = np.array([0, 1] * 4 + [0] * 12 + [1] * 3 + [0, 1] * 10)
    p, patients = np.full(len(y), 0.4), np.arange(len(y))
    levels = ["few"] * 8 + ["one-sided"] * 15 + [""] * 20
    few, one_sided, unknown = subgroup_scores(y, p, patients, levels, n_bootstrap=50)
    assert few.suppressed == MEASURES and np.isnan([score.value for score in few.scores.values()]).all()
    assert one_sided.suppressed == ("balanced_accuracy", "sensitivity", "auc")
    assert one_sided.scores["accuracy"].value == pytest.approx(12 / 15)
    assert one_sided.scores["specificity"].value == 1.0 and np.isnan(one_sided.scores["auc"].value)
    assert (one_sided.n_patients_0, one_sided.n_patients_1) == (12, 3)
    assert unknown.level == "unknown" and unknown.suppressed == ()


def test_the_permutation_is_its_slow_definition():
    y, p, patients, levels = cohort(30, seed=2)
    found = interaction(y, p, patients, levels, "accuracy", smallest=2, smallest_class=1, n_permutations=400)
    names, first = np.unique(patients, return_index=True)
    level, label = levels[first], y[first]

    def spread(of_patient):
        per_scan = of_patient[np.searchsorted(names, patients)]
        shares = np.array([np.mean(of_patient == k) for k in "AB"])
        scores = np.array([((p > 0.5) == y)[per_scan == k].mean() for k in "AB"])
        return (shares * (scores - (shares * scores).sum()) ** 2).sum()

    assert found.statistic == pytest.approx(spread(level))
    rng, reached = np.random.default_rng(1), 0
    for _ in range(400):
        mixed = level.copy()
        for k in (0, 1):
            mixed[label == k] = rng.permutation(mixed[label == k])
        reached += spread(mixed) >= spread(level) - 1e-12
    assert found.p == pytest.approx(reached / 400, abs=4 * np.sqrt(0.25 / 400))


def test_interaction_keeps_its_size_and_sees_a_level_where_the_model_fails():
    p = [interaction(*cohort(60, seed), n_permutations=99, seed=seed).p for seed in range(150)]
    assert stats.binomtest(int((np.array(p) <= 0.05).sum()), 150, 0.05).pvalue > 0.001
    assert interaction(*cohort(150, 1, gain=(3.0, 0.0)), n_permutations=499).p < 0.01


def test_patients_of_several_or_unknown_levels_and_small_levels_are_left_out():
    y, p, patients, levels = cohort(60, seed=4)
    before = interaction(y, p, patients, levels, n_permutations=49)
    assert before.n_excluded == 0 and before.levels == ("A", "B")
    extra = interaction(
        np.r_[y, 0, 1, 0, 1],
        np.r_[p, 0.4, 0.9, 0.2, 0.3],
        np.r_[patients, 100, 100, 101, 102],
        [*levels, "A", "B", "", "C"],
        n_permutations=49,
    )
    assert extra.n_excluded == 3 and extra.statistic == pytest.approx(before.statistic)


def test_one_level_has_no_interaction_and_unknown_measures_are_refused():
    y, p, patients, levels = cohort(40)
    found = interaction(y, p, patients, ["A"] * len(y))
    assert np.isnan([found.statistic, found.p]).all() and found.levels == ("A",)
    with pytest.raises(InputError, match="scores-measure"):
        interaction(y, p, patients, levels, "f1")
    with pytest.raises(InputError, match="subgroup-levels"):
        subgroup_scores(y, p, patients, ["A"])


def test_bands_hold_their_lower_edge():
    assert bands([29.9, 30, 49, 50, np.nan], (30, 50)).tolist() == ["< 30", "30 to < 50", "30 to < 50", ">= 50", ""]
