"""Calibration: the disease model has the classes of Table 2, and the fit finds what it is shown."""

import numpy as np
import pytest

from relevox.phantom import calibration
from relevox.phantom.calibration import MEAN_WITHIN, SD_WITHIN, TABLE_2, class_moments, deviations
from relevox.phantom.disease import NORMALS


@pytest.fixture(scope="module")
def patients():
    normals = np.random.default_rng(7).standard_normal((15_000, len(NORMALS)))
    volumes = calibration.drawn_volumes(normals)
    return volumes, calibration.chance_of_class_1(volumes)


@pytest.mark.parametrize("name", TABLE_2)
def test_both_classes_are_drawn_as_in_table_2(patients, name):
    off = deviations(*patients)[name]
    assert max(map(abs, off.mean)) < MEAN_WITHIN, off
    assert max(map(abs, off.sd)) < SD_WITHIN, off


def test_weighted_moments_are_the_classes_own_where_labels_are_certain():
    values, labels = np.random.default_rng(0).normal(5, 2, 50), np.arange(50) % 2
    moments = class_moments(values, labels)
    assert moments.mean == pytest.approx([values[labels == k].mean() for k in (0, 1)])
    assert moments.sd == pytest.approx([values[labels == k].std() for k in (0, 1)])


def test_deviations_are_shares_of_the_printed_numbers():
    chance = np.repeat([0.0, 1.0], 1000)
    rng = np.random.default_rng(1)
    values = {}
    for name, target in TABLE_2.items():
        halves = [rng.standard_normal(1000) for _ in range(2)]
        halves = [(h - h.mean()) / h.std() for h in halves]
        values[name] = np.concatenate([m * 1.1 + 2 * s * h for h, m, s in zip(halves, *target, strict=True)])
    for off in deviations(values, chance).values():
        np.testing.assert_allclose(off.mean, 0.1, atol=1e-9)
        np.testing.assert_allclose(off.sd, 1.0, atol=1e-9)
