"""Freedman-Lane permutations of whole patients against their definition, and the expected R2."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.stats import binom

import relevox.statistics.permutation as permutation
from relevox.errors import InputError
from relevox.statistics.cluster_enhancement import ClusterEnhancement
from relevox.statistics.exchange import exchange_patients
from relevox.statistics.permutation import freedman_lane, null_r2
from relevox.statistics.voxelwise import VoxelwiseRegression

GROUPS = np.repeat(np.arange(8), [1, 1, 2, 2, 2, 3, 3, 3])


def random_data(n=17, k=2, v=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k, v)) + rng.standard_normal((n, 1, v))
    return np.einsum("nkv,kv->nv", X, 0.5 * rng.standard_normal((k, v))) + rng.standard_normal((n, v)), X


def t_of(y, X, tested):
    """T of one regressor in the full model, by statsmodels."""
    return sm.OLS(y, sm.add_constant(X)).fit().tvalues[1 + tested]


def by_definition(y, X, tested, orders):
    """T of one regressor in one voxel for every order of the residuals, as Freedman and Lane write it."""
    others = sm.add_constant(np.delete(X, tested, axis=1), has_constant="add")
    reduced = sm.OLS(y, others).fit()
    return np.array([t_of(reduced.fittedvalues + reduced.resid[order], X, tested) for order in orders])


def same(a, b):
    for name in ("t", "p_fwe", "p_uncorrected", "null_max", "tfce", "p_tfce", "null_max_tfce"):
        if getattr(a, name) is not None:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_every_permutation_has_the_t_of_the_definition(k):
    y, X = random_data(k=k, seed=k)
    orders, _ = exchange_patients(GROUPS, 30, np.random.default_rng(7))
    test = freedman_lane(y, X, GROUPS, 30, seed=7)
    for j in range(k):
        slow = np.array([by_definition(y[:, v], X[:, :, v], j, orders) for v in range(y.shape[1])]).T  # (b, v)
        observed = np.array([t_of(y[:, v], X[:, :, v], j) for v in range(y.shape[1])])
        np.testing.assert_allclose(test.t[j], observed, rtol=1e-9)
        np.testing.assert_allclose(test.null_max[:, j], np.abs(slow).max(axis=1), rtol=1e-9)
        np.testing.assert_array_equal(test.p_uncorrected[j], (1 + (np.abs(slow) >= np.abs(observed)).sum(axis=0)) / 31)
        largest = np.abs(slow).max(axis=1, keepdims=True)
        np.testing.assert_array_equal(test.p_fwe[j], (1 + (largest >= np.abs(observed)).sum(axis=0)) / 31)


def test_t_is_that_of_the_regression():
    y, X = random_data(v=20)
    test, fit = freedman_lane(y, X, GROUPS, 2), VoxelwiseRegression(2).update(y, X).fit()
    df = len(y) - 3
    np.testing.assert_allclose(test.t**2 / (test.t**2 + df), fit.partial_r2, rtol=1e-9)
    np.testing.assert_array_equal(np.sign(test.t), np.sign(fit.standardised_beta))


def test_cluster_enhancement_takes_the_maps_of_every_permutation():
    y, X = random_data(v=24, k=1)
    mask = np.ones((2, 3, 4), dtype=bool)
    orders, _ = exchange_patients(GROUPS, 9, np.random.default_rng(3))
    test = freedman_lane(y, X, GROUPS, 9, seed=3, mask=mask)
    enhance = ClusterEnhancement(mask)
    slow = np.array([by_definition(y[:, v], X[:, :, v], 0, orders) for v in range(24)]).T
    largest = np.array([np.abs(enhance(t)).max() for t in slow])
    np.testing.assert_allclose(test.tfce[0], enhance(test.t[0]), rtol=1e-12)
    np.testing.assert_allclose(test.null_max_tfce[:, 0], largest, rtol=1e-9)
    expected = [(1 + (largest >= abs(h)).sum()) / 10 for h in test.tfce[0]]
    np.testing.assert_array_equal(test.p_tfce[0], expected)


def test_tiles_threads_and_chunks_change_no_bit(monkeypatch):
    y, X = random_data(v=24)
    mask = np.ones((2, 3, 4), dtype=bool)
    whole = freedman_lane(y, X, GROUPS, 50, mask=mask)
    monkeypatch.setattr(permutation, "READ", 7)
    monkeypatch.setattr(permutation, "TILE", 3)
    monkeypatch.setattr(permutation, "ORDERS", 4)
    same(freedman_lane(y, X, GROUPS, 50, mask=mask, threads=3, memory_gb=3e-6), whole)


def test_the_seed_decides():
    y, X = random_data()
    first = freedman_lane(y, X, GROUPS, 50, seed=1)
    same(freedman_lane(y, X, GROUPS, 50, seed=1), first)
    assert not np.array_equal(freedman_lane(y, X, GROUPS, 50, seed=2).null_max, first.null_max)


def test_patient_level_regressors_and_mapped_files_of_any_type(tmp_path):
    y, X = random_data()
    age = np.arange(len(y)) % 7
    lesion = (X[:, 0] > 0).astype(np.uint8)
    X = X.astype(np.float16)
    np.save(tmp_path / "y.npy", y)
    mapped = np.load(tmp_path / "y.npy", mmap_mode="r")
    as_list = freedman_lane(mapped, [X[:, 1], age, lesion], GROUPS, 20)
    in_full = np.stack([X[:, 1], np.repeat(age[:, None], 5, axis=1), lesion], axis=1).astype(float)
    same(freedman_lane(y, in_full, GROUPS, 20), as_list)
    same(freedman_lane(y, [X[:, 1], age[:, None], lesion], GROUPS, 20), as_list)


def test_offsets_and_units_cost_no_digits():
    y, X = (np.round(values * 2**10) / 2**10 for values in random_data())
    plain = freedman_lane(y, X, GROUPS, 20)
    moved = freedman_lane(y + 2.0**20, X * 2.0**-20 + 1, GROUPS, 20)
    np.testing.assert_allclose(moved.t, plain.t, rtol=1e-9)
    np.testing.assert_allclose(moved.null_max, plain.null_max, rtol=1e-9)


def test_a_dropped_regressor_has_no_t_and_counts_in_no_maximum():
    y, X = random_data(v=6)
    X[:, 1, 2] = 4.0  # constant
    X[:, 1, 3] = 1 - 2 * X[:, 0, 3]  # repeats the first
    y[:, 4] = 0.1
    y[:, 5] = 3 * X[:, 0, 5]  # nothing left for the second
    test = freedman_lane(y, X, GROUPS, 20, mask=np.ones((1, 2, 3), dtype=bool))
    for values in (test.t, test.p_fwe, test.p_uncorrected, test.tfce, test.p_tfce):
        assert np.isnan(values).tolist() == [[False] * 4 + [True, False], [False] * 2 + [True] * 4]
    alone = freedman_lane(y[:, 2:4], X[:, :1, 2:4], GROUPS, 20)
    np.testing.assert_allclose(test.t[0, 2:4], alone.t[0], rtol=1e-10)
    np.testing.assert_array_equal(test.p_uncorrected[0, 2:4], alone.p_uncorrected[0])
    kept = freedman_lane(y[:, :2], X[:, :, :2], GROUPS, 20)
    np.testing.assert_array_equal(test.null_max[:, 1], kept.null_max[:, 1])


def test_where_nothing_can_be_tested_all_is_nan():
    y, X = random_data()
    for bad_y, bad_x, groups in ((0 * y, X, GROUPS), (y, 0 * X, GROUPS), (y[:3], X[:3], [1, 2, 3])):
        test = freedman_lane(bad_y, bad_x, groups, 5)
        for values in (test.t, test.p_fwe, test.p_uncorrected, test.null_max):
            assert np.isnan(values).all()
        null = null_r2(bad_y, bad_x, groups, 5)
        assert np.isnan(null.r2).all() and np.isnan(null.mean) and np.isnan(null.formula_mean)


def test_ties_count_whatever_their_rounding():
    # exchanging patients with the same lesion changes nothing: 3 lesions, 3 not, 20 different t
    x = np.array([1, 1, 1, 0, 0, 0])
    y = np.array([[0.1], [0.2], [0.3], [0.7], [1.1], [1.3]])
    test = freedman_lane(y, [x], np.arange(6), 10_000)
    assert test.n_permutations == 719 and test.n_arrangements == 720
    assert test.p_uncorrected[0, 0] == test.p_fwe[0, 0] == 2 / 20


def test_progress_is_told_to_the_end():
    y, X = random_data(v=24)
    told = []
    freedman_lane(y, X, GROUPS, 5, mask=np.ones((2, 3, 4), dtype=bool), progress=lambda *step: told.append(step))
    assert told == [(step, 13) for step in range(1, 14)]  # one tile, 6 orders x 2 regressors


@pytest.mark.parametrize("spoil", [np.nan, np.inf])
def test_a_value_that_is_not_finite_names_its_scan(spoil):
    y, X = random_data()
    X[3, 1, 2] = spoil
    for function in (freedman_lane, null_r2):
        with pytest.raises(InputError, match=r"row 4.*finite"):
            function(y, X, GROUPS, 5)


def test_arguments_that_do_not_fit_are_refused():
    y, X = random_data()
    for arguments, message in (
        ((y, X[:, :, :3], GROUPS), "expected y"),
        ((y, X[:, :0], GROUPS), "expected y"),
        ((y, [X[:, 0, :3]], GROUPS), "expected y"),
        ((y + 1j, X, GROUPS), "real numbers"),
        ((y, X, GROUPS[1:]), "groups"),
        ((y, X, np.zeros(len(y))), "only one arrangement"),
        ((y, X, GROUPS, 0), "at least one permutation"),
    ):
        with pytest.raises(InputError, match=message):
            freedman_lane(*arguments)
    with pytest.raises(InputError, match="mask of 5 voxels"):
        freedman_lane(y, X, GROUPS, mask=np.ones((2, 2, 2), dtype=bool))


# --- the expected R2 ---------------------------------------------------------------------------


def test_the_expected_r2_is_the_mean_r2_of_permuted_patients():
    y, X = random_data()
    X[:, 1, 2] = 1.0  # dropped
    orders, _ = exchange_patients(GROUPS, 25, np.random.default_rng(4))
    null = null_r2(y, X, GROUPS, 25, seed=4)
    slow = np.mean([VoxelwiseRegression(2).update(y[order], X).fit().r2 for order in orders], axis=0)
    np.testing.assert_allclose(null.r2, slow, rtol=1e-9)
    np.testing.assert_allclose(null.mean, slow.mean(), rtol=1e-9)
    np.testing.assert_allclose(null.formula, np.array([2, 2, 1, 2, 2]) / (len(y) - 1))


def test_independent_scans_expect_k_over_n_minus_one():
    y, X = random_data(n=25, v=300)
    null = null_r2(y, X, np.arange(25), 100)
    np.testing.assert_allclose(null.mean, null.formula_mean, rtol=0.02)


def test_repeated_scans_expect_more():
    rng = np.random.default_rng(0)
    y, x = (np.repeat(rng.standard_normal((20, 300)), 3, axis=0) for _ in range(2))
    null = null_r2(y, [x], np.repeat(np.arange(20), 3), 100)
    np.testing.assert_allclose(null.formula_mean, 1 / 59)
    np.testing.assert_allclose(null.mean, 1 / 19, rtol=0.05)


# --- the false-positive rate -------------------------------------------------------------------


def smooth_maps(rng, n_patients, n_scans, shape=(10, 10, 10)):
    """Maps (n, v) of white noise smoothed over space, two thirds of whose variance belongs to the patient."""
    patient = np.repeat(rng.standard_normal((n_patients, *shape)), n_scans, axis=0)
    maps = np.sqrt(2) * patient + rng.standard_normal(patient.shape)
    return gaussian_filter(maps, (0, 1.5, 1.5, 1.5)).reshape(len(maps), -1)


def test_permuting_patients_keeps_the_false_positive_rate_and_permuting_scans_does_not():
    rng = np.random.default_rng(1)
    n_studies, patients = 120, np.repeat(np.arange(12), 3)
    wrong = {"patients": 0, "scans": 0}
    for study in range(n_studies):
        y, x = smooth_maps(rng, 12, 3), smooth_maps(rng, 12, 3)
        for name, groups in (("patients", patients), ("scans", np.arange(36))):
            wrong[name] += freedman_lane(y, [x], groups, 39, seed=study).p_fwe.min() <= 0.05
    low, high = binom.interval(0.99, n_studies, 0.05)
    assert low <= wrong["patients"] <= high
    assert wrong["scans"] / n_studies > 0.25


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_shifting_and_scaling_leave_p_as_it_is(seed, k, shift, scale):
    y, X = random_data(k=k, v=3, seed=seed)
    test = freedman_lane(y, X, GROUPS, 19, seed=seed)
    moved = freedman_lane(shift - scale * y, X * scale + shift, GROUPS, 19, seed=seed)
    np.testing.assert_allclose(moved.t, -test.t, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(moved.p_fwe, test.p_fwe)
    np.testing.assert_array_equal(moved.p_uncorrected, test.p_uncorrected)
