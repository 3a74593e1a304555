import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from relevox.records import Cohort, Observation, ScanId
from relevox.statistics.baselines import (
    Design,
    age_sex_design,
    choose,
    cohort_designs,
    feature_values,
    fit_all,
    fit_logistic,
    model_order,
    scanner_design,
    subset_designs,
    volumes_design,
)
from relevox.statistics.scores import classification_scores

TABLE_2 = {  # scans per scanner and class (paper, Table 2)
    "Avanto": (19, 45),
    "Avanto Fit": (43, 21),
    "Symphony": (7, 3),
    "Symphony Tim": (13, 38),
    "Tim Trio": (133, 60),
}


def volume_like(n=80, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.array([707, 800, 25, 150, 1570, 20]) + rng.standard_normal((n, 6)) * [60, 50, 12, 10, 90, 15]
    X[:, 5] += 15 * y
    return X, y


def test_it_is_the_library_pipeline_on_the_training_scans():
    X, y = volume_like()
    train, test = np.arange(60), np.arange(60, 80)
    baseline = fit_logistic(volumes_design(tuple("abcdef"), X), y, train)
    oracle = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced")).fit(X[train], y[train])
    assert baseline.predict(X[test]) == pytest.approx(oracle.predict_proba(X[test])[:, 1], abs=1e-4)
    assert baseline.features[0] == "a_ml"


def test_scans_outside_the_training_folds_change_nothing():
    X, y = volume_like()
    train = np.arange(50)
    before = fit_logistic(volumes_design(tuple("abcdef"), X), y, train)
    X[50:] *= 1000
    assert fit_logistic(volumes_design(tuple("abcdef"), X), y, train) == before


def test_units_do_not_matter():
    X, y = volume_like()
    rows = np.arange(80)
    ml = fit_logistic(volumes_design(tuple("abcdef"), X), y, rows)
    mm3 = fit_logistic(volumes_design(tuple("abcdef"), X * 1000), y, rows)
    assert mm3.predict(X * 1000) == pytest.approx(ml.predict(X))


def test_the_scanner_alone_reaches_what_table_2_says():
    scanners, labels = [], []
    for scanner, counts in TABLE_2.items():
        for label, count in enumerate(counts):
            scanners += [scanner] * count
            labels += [label] * count
    labels, rows = np.array(labels), np.arange(len(labels))
    design = scanner_design(scanners)
    scores = classification_scores(labels, fit_logistic(design, labels, rows).predict(design.values))
    assert scores.accuracy == pytest.approx(0.696, abs=5e-4)
    assert scores.balanced_accuracy == pytest.approx(0.674, abs=5e-4)
    assert scores.auc == pytest.approx(0.680, abs=5e-4)


def test_unknown_values_become_the_training_mean_and_are_counted():
    X, y = volume_like()
    X[3, 5] = np.nan
    X[70, 5] = np.nan
    baseline = fit_logistic(volumes_design(tuple("abcdef"), X), y, np.arange(60))
    assert baseline.n_filled == (0, 0, 0, 0, 0, 1)
    assert volumes_design(tuple("abcdef"), X).n_unknown == {"f_ml": 2}
    assert baseline.mean[5] == pytest.approx(np.nanmean(X[:60, 5]))
    filled = X[70].copy()
    filled[5] = baseline.mean[5]
    assert baseline.predict(X[70:71]) == pytest.approx(baseline.predict(filled[None]))
    assert np.isfinite(baseline.predict(X)).all()


def test_a_constant_or_unknown_feature_is_left_out_and_named():
    X, y = volume_like()
    X[:, 1], X[:, 2] = 1e6 + 0.1, np.nan
    baseline = fit_logistic(volumes_design(tuple("abcdef"), X), y, np.arange(60))
    assert baseline.left_out == ("b_ml", "c_ml")
    assert np.isfinite(baseline.predict(X)).all()
    X[:, 1] = 5.0
    assert baseline.predict(X) == pytest.approx(baseline.predict(np.where(np.arange(6) == 1, 9.0, X)))


def test_age_and_sex_become_numbers():
    design = age_sex_design([30.0, np.nan, 50.0], ["F", "M", ""])
    assert design.features == ("age_years", "female")
    np.testing.assert_array_equal(design.values, [[30, 1], [np.nan, 0], [50, np.nan]])


def test_an_unknown_scanner_is_a_level_of_its_own():
    design = scanner_design(["A", "", "B"])
    assert design.features == ("scanner=A", "scanner=B", "scanner=unknown")
    np.testing.assert_array_equal(design.values, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])


def test_a_scanner_that_was_not_trained_on_gives_a_finite_answer():
    design, labels = scanner_design(["A", "A", "B", "B", "C"]), np.array([0, 1, 0, 1, 1])
    baseline = fit_logistic(design, labels, np.arange(4))
    assert baseline.left_out == ("scanner=C",)
    assert np.isfinite(baseline.predict(design.values)).all()


@pytest.mark.parametrize(
    ("values", "informative"),
    [([[1.0], [2.0]], True), ([[1.0], [1.0]], False), ([[1.0], [np.nan]], False), ([[np.nan], [np.nan]], False)],
)
def test_a_design_says_whether_there_is_anything_to_learn_from(values, informative):
    assert Design("x", ("a",), np.array(values)).is_informative is informative


def test_without_class_weights_the_prevalence_counts():
    design, labels = Design("x", ("a",), np.zeros((10, 1))), np.array([1] * 2 + [0] * 8)
    rows = np.arange(10)
    assert fit_logistic(design, labels, rows, balanced=False).predict(design.values)[0] == pytest.approx(0.2, abs=1e-3)
    assert fit_logistic(design, labels, rows, balanced=True).predict(design.values)[0] == pytest.approx(0.5, abs=1e-3)


def test_six_volumes_have_63_subsets_each_with_its_own_columns():
    X, _ = volume_like()
    subsets = subset_designs(tuple("abcdef"), X)
    assert len(subsets) == len({design.name for design in subsets}) == 63
    assert [len(design.features) for design in subsets] == sorted(len(design.features) for design in subsets)
    named = {design.name: design for design in subsets}
    np.testing.assert_array_equal(named["b+e"].values, X[:, [1, 4]])
    assert named["b+e"].features == ("b_ml", "e_ml")


def test_the_subset_is_chosen_by_the_validation_scans_and_no_others():
    X, y = volume_like(n=300)
    designs = subset_designs(tuple("abcdef"), X)
    train, validation, test = np.arange(150), np.arange(150, 220), np.arange(220, 300)
    fitted = fit_all(designs, y, train)
    chosen = choose(designs, fitted, y, validation)
    aucs = [classification_scores(y[validation], fitted[d.name].predict(d.values[validation])).auc for d in designs]
    best = designs[int(np.argmax(aucs))]
    assert (chosen.name, chosen.features) == ("volumes_chosen", best.features)
    assert chosen.weights == fitted[best.name].weights
    y[test] = 1 - y[test]
    assert choose(designs, fitted, y, validation) == chosen


def test_of_two_subsets_that_do_equally_well_the_smaller_is_chosen():
    y = np.tile([0, 1], 20)
    X = np.column_stack([y, y, np.zeros(40), np.zeros(40), np.zeros(40), np.zeros(40)]).astype(float)
    designs, rows = subset_designs(tuple("abcdef"), X), np.arange(40)
    assert choose(designs, fit_all(designs, y, rows), y, rows).features == ("a_ml",)


def cohort_of(*about):
    return Cohort(
        tuple(
            Observation(ScanId(f"sub-{n}"), 3.0, n % 2, age_years=age, sex=sex, scanner=scanner)
            for n, (age, sex, scanner) in enumerate(about)
        )
    )


def test_a_baseline_finds_its_columns_in_any_cohort():
    cohort = cohort_of((30.0, "F", "A"), (40.0, "M", "B"), (50.0, "", ""))
    volumes = np.arange(6.0).reshape(3, 2)
    for design in cohort_designs(cohort, ("x", "y"), volumes):
        np.testing.assert_array_equal(feature_values(design.features, cohort, ("x", "y"), volumes), design.values)


def test_a_scanner_of_another_centre_is_unknown_not_no_scanner_at_all():
    elsewhere = cohort_of((30.0, "F", "C"), (40.0, "M", "A"))
    found = feature_values(("scanner=A", "scanner=B", "z_ml"), elsewhere, ("x",), np.ones((2, 1)))
    np.testing.assert_array_equal(found, [[np.nan, np.nan, np.nan], [1, 0, np.nan]])


def test_models_come_in_the_reports_order():
    assert model_order(["zz", "scanner", "cnn", "aa"]) == ["cnn", "scanner", "aa", "zz"]


def test_a_scanner_that_stays_unseen_is_no_column_and_its_scans_get_the_training_mean():
    scanners, labels = ["A", "A", "B", "B", "C", ""], np.array([0, 1, 0, 1, 1, 0])
    design = scanner_design(scanners, unseen="C")
    assert design.features == ("scanner=A", "scanner=B")
    assert np.isnan(design.values[4:]).all() and np.isfinite(design.values[:4]).all()
    fitted = fit_logistic(design, labels, np.arange(4))
    cohort = Cohort(tuple(Observation(ScanId(f"sub-{n}"), 1.0, 0, scanner=s) for n, s in enumerate(scanners)))
    values = feature_values(fitted.features, cohort, (), np.zeros((6, 0)))
    np.testing.assert_array_equal(values, design.values)
    mean = fitted.predict(np.array([fitted.mean]))
    np.testing.assert_allclose(fitted.predict(values)[4:], np.repeat(mean, 2))


def test_covariates_stand_beside_the_volumes_and_alone_and_are_found_again_in_another_cohort():
    cohort = Cohort(
        tuple(
            Observation(ScanId(f"sub-{n}", "ses-1"), 1.0, 0, age_years=30.0 + n, disease_duration_years=float(n))
            for n in range(4)
        )
    )
    volumes = np.arange(24.0).reshape(4, 6)
    names = tuple("abcdef")
    without = {design.name for design in cohort_designs(cohort, names, volumes)}
    designs = {d.name: d for d in cohort_designs(cohort, names, volumes, covariates=("disease_duration", "age"))}
    assert set(designs) - without == {"clinical", "volumes_clinical"}
    clinical = designs["clinical"]
    assert clinical.features == ("disease_duration_years", "age_years")
    np.testing.assert_array_equal(clinical.values, [[0, 30], [1, 31], [2, 32], [3, 33]])
    np.testing.assert_array_equal(designs["volumes_clinical"].values, np.hstack([volumes, clinical.values]))
    np.testing.assert_array_equal(feature_values(clinical.features, cohort, names, volumes), clinical.values)
