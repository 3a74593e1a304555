"""Maps of a group on disk and back: 0 where nothing was fitted, and a mask that says so."""

import numpy as np

from relevox.store import images, layout
from relevox.store.group_maps import GroupMaps, blank_unfitted

BRAIN = np.zeros((3, 3, 3), dtype=bool)
BRAIN[1, 1] = True


def test_values_lie_in_the_brain_and_nan_becomes_0(tmp_path):
    maps = GroupMaps(tmp_path, "TP", BRAIN, np.eye(4))
    maps.write("lesion", "beta", np.array([1.5, np.nan, -2.0]))
    maps.write("lesion", "fitted", np.array([True, False, True]))
    assert maps.written == [
        layout.path(tmp_path, "group_map", group="TP", desc="lesion", statistic=statistic)
        for statistic in ("beta", "fitted")
    ]
    beta, fitted = (images.read(path).data for path in maps.written)
    np.testing.assert_array_equal(beta[BRAIN], np.float32([1.5, 0, -2]))
    np.testing.assert_array_equal(fitted[BRAIN], [1, 0, 1])
    assert (beta[~BRAIN] == 0).all()


def test_zero_where_nothing_was_fitted_is_no_finding():
    maps = {name: np.array([0.0, 0.0, 2.0]) for name in (("lesion", "partialr2"), ("lrp", "r2"), ("lrp", "mean"))}
    maps["jacobian", "t"] = np.array([1.0, 0.0, 2.0])
    fitted = {"lesion": np.array([True, False, True]), "jacobian": np.array([True, True, False])}
    found = blank_unfitted(maps, fitted)
    np.testing.assert_array_equal(found["lesion", "partialr2"], [0, np.nan, 2])
    np.testing.assert_array_equal(found["lrp", "r2"], [0, 0, 2])  # one regressor or the other everywhere
    np.testing.assert_array_equal(found["lrp", "mean"], [0, 0, 2])
    np.testing.assert_array_equal(found["jacobian", "t"], [1, np.nan, np.nan])  # not tested, not fitted


def test_a_group_without_any_fit_keeps_its_means():
    found = blank_unfitted({("lrp", "mean"): np.zeros(2)}, {})
    np.testing.assert_array_equal(found["lrp", "mean"], [0, 0])
