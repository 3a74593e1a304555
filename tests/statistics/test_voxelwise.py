"""Voxel-wise regression against least squares, one voxel at a time, and the degenerate cases."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

import relevox.statistics.voxelwise as voxelwise
from relevox.errors import InputError
from relevox.statistics.voxelwise import VoxelwiseRegression

MTCARS = np.array(
    # mpg, wt, am (Motor Trend 1974, as in R)
    [
        (21.0, 2.62, 1), (21.0, 2.875, 1), (22.8, 2.32, 1), (21.4, 3.215, 0), (18.7, 3.44, 0), (18.1, 3.46, 0),
        (14.3, 3.57, 0), (24.4, 3.19, 0), (22.8, 3.15, 0), (19.2, 3.44, 0), (17.8, 3.44, 0), (16.4, 4.07, 0),
        (17.3, 3.73, 0), (15.2, 3.78, 0), (10.4, 5.25, 0), (10.4, 5.424, 0), (14.7, 5.345, 0), (32.4, 2.2, 1),
        (30.4, 1.615, 1), (33.9, 1.835, 1), (21.5, 2.465, 0), (15.5, 3.52, 0), (15.2, 3.435, 0), (13.3, 3.84, 0),
        (19.2, 3.845, 0), (27.3, 1.935, 1), (26.0, 2.14, 1), (30.4, 1.513, 1), (15.8, 3.17, 1), (19.7, 2.77, 1),
        (15.0, 3.57, 1), (21.4, 2.78, 1),
    ]
)  # fmt: skip


def random_data(n=23, k=2, v=7, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k, v))
    return np.einsum("nkv,kv->nv", X, rng.standard_normal((k, v))) + rng.standard_normal((n, v)), X


def by_least_squares(y, X):
    """R2, adjusted R2, partial R2 and standardised betas of one voxel, by their definitions."""

    def sse(columns):
        design = np.column_stack([np.ones(len(y)), *columns])
        beta = np.linalg.lstsq(design, y, rcond=None)[0]
        return ((y - design @ beta) ** 2).sum(), beta

    full, beta = sse(X.T)
    total = ((y - y.mean()) ** 2).sum()
    n, k = X.shape
    without = [sse(np.delete(X, j, axis=1).T)[0] for j in range(k)]
    return (
        1 - full / total,
        1 - (full / total) * (n - 1) / (n - k - 1),
        [(w - full) / w for w in without],
        beta[1:] * X.std(axis=0) / y.std(),
    )


def assert_equal_fits(a, b, rtol=1e-9):
    assert a.n == b.n
    for name in ("r2", "adjusted_r2", "partial_r2", "standardised_beta", "fitted"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=1e-12, err_msg=name)


def test_mtcars_gives_the_numbers_of_r():
    mpg, wt, am = MTCARS.T
    fit = VoxelwiseRegression(2).update(mpg[:, None], np.stack([wt, am], axis=1)[..., None]).fit()
    assert fit.n == 32
    np.testing.assert_allclose(fit.r2, 0.7528347832, rtol=1e-9)
    np.testing.assert_allclose(fit.adjusted_r2, 0.7357889062, rtol=1e-9)
    np.testing.assert_allclose(fit.partial_r2[:, 0], [0.6139256344, 8.0494e-6], rtol=1e-5)
    np.testing.assert_allclose(fit.standardised_beta[:, 0], [-0.8690133, -0.0019552], rtol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_every_voxel_has_the_least_squares_solution(k):
    y, X = random_data(k=k, seed=k)
    fit = VoxelwiseRegression(k).update(y, X).fit()
    for v in range(y.shape[1]):
        r2, adjusted, partial, beta = by_least_squares(y[:, v], X[:, :, v])
        np.testing.assert_allclose(fit.r2[v], r2, rtol=1e-10)
        np.testing.assert_allclose(fit.adjusted_r2[v], adjusted, rtol=1e-10)
        np.testing.assert_allclose(fit.partial_r2[:, v], partial, rtol=1e-9)
        np.testing.assert_allclose(fit.standardised_beta[:, v], beta, rtol=1e-9)
    assert fit.fitted.all()


def two_pass(y, X):
    """R2 and standardised betas by QR of centred columns, all in float64 and seen at once."""
    y, X = y - y.mean(axis=0), X - X.mean(axis=0)
    sd = X.std(axis=0)
    beta = np.stack([np.linalg.lstsq(X[:, :, v] / sd[:, v], y[:, v], rcond=None)[0] for v in range(y.shape[1])], axis=1)
    error = y - np.einsum("nkv,kv->nv", X / sd, beta)
    return 1 - (error**2).sum(axis=0) / (y**2).sum(axis=0), beta / y.std(axis=0)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, 4),
    n=st.integers(8, 90),
    cuts=st.lists(st.integers(1, 7), max_size=5),
    offset=st.sampled_from([0.0, 1.0, -1e3, 1e6]),
    spread=st.sampled_from([1.0, 1e-6, 1e6]),
)
def test_any_pieces_merged_in_any_order_agree_with_two_passes(seed, k, n, cuts, offset, spread):
    y, X = random_data(n=n, k=k, seed=seed)
    X = X * spread + offset * spread  # offsets of up to a million sd
    expected = two_pass(y, X)
    rng = np.random.default_rng(seed)
    pieces = [
        VoxelwiseRegression(k).update(part_y, part_x)
        for part_y, part_x in zip(np.split(y, sorted(cuts)), np.split(X, sorted(cuts)), strict=True)
    ]
    while len(pieces) > 1:
        a, b = rng.choice(len(pieces), 2, replace=False)
        pieces[a].merge(pieces[b])
        del pieces[b]
    fit = pieces[0].fit()
    assert fit.n == n
    # the data themselves are rounded to 1e-16 of the offset
    np.testing.assert_allclose(fit.r2, expected[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fit.standardised_beta, expected[1], rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(["constant", "repeats", "free"]), min_size=1, max_size=4))
def test_whatever_is_dropped_the_rest_is_fitted_as_if_alone(seed, kinds):
    y, X = random_data(n=30, k=len(kinds), seed=seed)
    kept = []
    for j, kind in enumerate(kinds):
        if kind == "constant":
            X[:, j] = 0.1
        elif kind == "repeats" and kept:
            X[:, j] = 3 - X[:, kept].sum(axis=1)
        else:
            kept.append(j)
    fit = VoxelwiseRegression(len(kinds)).update(y, X).fit()
    assert fit.fitted.all(axis=1).tolist() == [j in kept for j in range(len(kinds))]
    if not kept:
        assert np.isnan(fit.r2).all()
        return
    alone = VoxelwiseRegression(len(kept)).update(y, X[:, kept]).fit()
    np.testing.assert_allclose(fit.r2, alone.r2, rtol=1e-8)
    np.testing.assert_allclose(fit.adjusted_r2, alone.adjusted_r2, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(fit.partial_r2[kept], alone.partial_r2, rtol=1e-7, atol=1e-9)


def test_one_column_stands_for_all_voxels():
    y, X = random_data(n=40, k=2)
    age = np.arange(40.0) % 9
    as_list = VoxelwiseRegression(3).update(y[:30], [X[:30, 0], age[:30], X[:30, 1]])
    as_list.update(y[30:], (X[30:, 0], age[30:, None], X[30:, 1]))
    in_full = np.stack([X[:, 0], np.repeat(age[:, None], y.shape[1], axis=1), X[:, 1]], axis=1)
    assert_equal_fits(as_list.fit(), VoxelwiseRegression(3).update(y, in_full).fit())


@pytest.mark.parametrize("dtype", [np.float16, np.uint8, bool, np.int64])
def test_values_of_any_type_are_taken(dtype, tmp_path):
    y, X = random_data(n=40)
    X = (X > 0).astype(dtype)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert_equal_fits(
        VoxelwiseRegression(2).update(y, mapped).fit(), VoxelwiseRegression(2).update(y, X.astype(float)).fit()
    )


@pytest.mark.parametrize("where", ["y", "X"])
def test_a_value_that_is_not_finite_names_its_scan_and_spoils_the_sums(where):
    y, X = random_data(n=40)
    regression = VoxelwiseRegression(2).update(y, X)
    (y if where == "y" else X)[35, ..., 3] = np.nan
    with pytest.raises(InputError, match="row 36"):
        regression.update(y, X)
    for use in (
        regression.fit,
        lambda: regression.update(y[:5], X[:5]),
        lambda: VoxelwiseRegression(2).merge(regression),
    ):
        with pytest.raises(InputError, match="start again"):
            use()


def test_statsmodels_agrees():
    y, X = random_data()
    fit = VoxelwiseRegression(2).update(y, X).fit()
    for v in range(y.shape[1]):
        ols = sm.OLS(y[:, v], sm.add_constant(X[:, :, v])).fit()
        np.testing.assert_allclose(fit.r2[v], ols.rsquared, rtol=1e-10)
        np.testing.assert_allclose(fit.adjusted_r2[v], ols.rsquared_adj, rtol=1e-10)
        t2 = ols.tvalues[1:] ** 2
        np.testing.assert_allclose(fit.partial_r2[:, v], t2 / (t2 + ols.df_resid), rtol=1e-9)


@pytest.mark.parametrize("cuts", [[1], [2, 3, 20], list(range(1, 23))])
def test_pieces_and_merges_give_the_same_as_all_at_once(cuts):
    y, X = random_data()
    whole = VoxelwiseRegression(2).update(y, X).fit()
    pieces = VoxelwiseRegression(2)
    merged = VoxelwiseRegression(2)
    for part_y, part_x in zip(np.split(y, cuts), np.split(X, cuts), strict=True):
        pieces.update(part_y, part_x)
        merged.merge(VoxelwiseRegression(2).update(part_y, part_x))
    assert_equal_fits(pieces.fit(), whole)
    assert_equal_fits(merged.fit(), whole)


def test_a_merge_leaves_the_other_as_it_was():
    y, X = random_data()
    other = VoxelwiseRegression(2).update(y[:5], X[:5])
    before = other.products.copy()
    VoxelwiseRegression(2).merge(other).update(y[5:], X[5:])
    np.testing.assert_array_equal(other.products, before)
    assert other.n == 5


def test_tiles_do_not_show(monkeypatch):
    y, X = random_data(v=11)
    whole = VoxelwiseRegression(2).update(y, X).fit()
    monkeypatch.setattr(voxelwise, "TILE", 4)
    assert_equal_fits(VoxelwiseRegression(2).update(y, X).fit(), whole)


@pytest.mark.parametrize(("offset", "scale"), [(1e6, 1.0), (-1e6, 1.0), (1.0, 1e-6), (0.0, 1e-8), (0.0, 1e8)])
def test_offsets_and_units_cost_no_digits(offset, scale):
    # the same numbers, exactly representable after the offset
    y, X = (np.round(values * 2**10) / 2**10 for values in random_data(n=60))
    plain = VoxelwiseRegression(2).update(y, X).fit()
    scale = 2.0 ** np.round(np.log2(scale))
    moved = VoxelwiseRegression(2)
    for part in np.array_split(np.arange(60), 4):
        piece = VoxelwiseRegression(2).update(y[part] * scale + offset, X[part] * scale + offset)
        moved.merge(piece)
    assert_equal_fits(moved.fit(), plain, rtol=1e-9)


def test_a_first_scan_far_from_all_others_costs_no_digits():
    y, X = random_data(n=400, v=3)
    X[:, 0], X[0, 0] = 0.0, 1.0  # a lesion in the first scan only
    X[:, 1] = 1 + 1e-6 * X[:, 1]
    y[0] += 1000
    plain = VoxelwiseRegression(2).update(y[::-1], X[::-1]).fit()
    assert_equal_fits(VoxelwiseRegression(2).update(y, X).fit(), plain)
    r2, beta = two_pass(y, X)
    np.testing.assert_allclose(plain.r2, r2, rtol=1e-9)
    np.testing.assert_allclose(plain.standardised_beta, beta, rtol=1e-9)


def test_a_constant_regressor_is_dropped_and_the_rest_fitted():
    y, X = random_data()
    X[:, 1] = 3.7
    fit = VoxelwiseRegression(2).update(y, X).fit()
    alone = VoxelwiseRegression(1).update(y, X[:, :1]).fit()
    np.testing.assert_allclose(fit.r2, alone.r2, rtol=1e-10)
    np.testing.assert_allclose(fit.adjusted_r2, alone.adjusted_r2, rtol=1e-10)
    np.testing.assert_allclose(fit.partial_r2[0], alone.partial_r2[0], rtol=1e-10)
    assert np.isnan(fit.partial_r2[1]).all() and np.isnan(fit.standardised_beta[1]).all()
    assert fit.fitted.tolist() == [[True] * 7, [False] * 7]


def test_a_regressor_that_repeats_another_is_dropped():
    y, X = random_data()
    X[:, 1] = 2 * X[:, 0] + 1
    fit = VoxelwiseRegression(2).update(y, X).fit()
    alone = VoxelwiseRegression(1).update(y, X[:, :1]).fit()
    np.testing.assert_allclose(fit.r2, alone.r2, rtol=1e-9)
    assert fit.fitted.tolist() == [[True] * 7, [False] * 7]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda y, X: y.__setitem__(slice(None), 2.5),  # constant outcome
        lambda y, X: X.__setitem__(slice(None), 1.0),  # nothing to fit
    ],
)
def test_where_nothing_can_be_fitted_all_is_nan(spoil):
    y, X = random_data()
    spoil(y, X)
    fit = VoxelwiseRegression(2).update(y, X).fit()
    for values in (fit.r2, fit.adjusted_r2, fit.partial_r2, fit.standardised_beta):
        assert np.isnan(values).all()
    assert not fit.fitted.any()


@pytest.mark.parametrize(("n", "defined"), [(1, False), (2, False), (3, False), (4, True)])
def test_three_scans_are_too_few_for_two_regressors(n, defined):
    y, X = random_data(n=n)
    assert np.isfinite(VoxelwiseRegression(2).update(y, X).fit().r2).all() == defined


def test_a_perfect_fit_is_one_and_not_more():
    _, X = random_data()
    fit = VoxelwiseRegression(2).update(X[:, 0] - 2 * X[:, 1] + 5, X).fit()
    np.testing.assert_allclose(fit.r2, 1.0, rtol=1e-12)
    assert (fit.r2 <= 1).all()


def test_without_an_effect_the_mean_r2_is_two_over_n_minus_one():
    rng = np.random.default_rng(0)
    n, v = 12, 20_000
    fit = VoxelwiseRegression(2).update(rng.standard_normal((n, v)), rng.standard_normal((n, 2, v))).fit()
    np.testing.assert_allclose(fit.r2.mean(), 2 / (n - 1), rtol=0.02)


def test_float32_scans_are_summed_in_float64():
    y, X = random_data(n=50)
    y32, X32 = y.astype(np.float32) + np.float32(1000), X.astype(np.float32) + np.float32(1000)
    fit = VoxelwiseRegression(2).update(y32, X32).fit()
    assert_equal_fits(fit, VoxelwiseRegression(2).update(y32.astype(float), X32.astype(float)).fit())


def test_shapes_that_do_not_fit_are_refused():
    y, X = random_data()
    regression = VoxelwiseRegression(2).update(y, X)
    for bad_y, bad_x in ((y, X[:, :1]), (y[:-1], X), (y[:, :3], X[:, :, :3]), (y[0], X[0])):
        with pytest.raises(InputError, match="expected y"):
            regression.update(bad_y, bad_x)
    with pytest.raises(InputError, match="at least one"):
        VoxelwiseRegression(0)
    with pytest.raises(InputError, match="scans before the fit"):
        VoxelwiseRegression(2).fit()
    with pytest.raises(InputError, match="voxels"):
        regression.merge(VoxelwiseRegression(2).update(y[:, :3], X[:, :, :3]))
    with pytest.raises(InputError, match="regressors"):
        regression.merge(VoxelwiseRegression(1))


def test_no_scan_changes_nothing():
    y, X = random_data()
    assert_equal_fits(
        VoxelwiseRegression(2).update(y[:0], X[:0]).update(y, X).merge(VoxelwiseRegression(2)).fit(),
        VoxelwiseRegression(2).update(y, X).fit(),
    )
