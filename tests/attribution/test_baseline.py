"""The mean scan."""

import numpy as np

from relevox.attribution import mean_scan


def test_the_mean_is_over_the_chosen_rows_only_and_loses_no_digits_to_float16():
    rng = np.random.default_rng(0)
    inputs = (1000 + rng.random((50, 2, 3, 3, 3))).astype(np.float16)
    mean = mean_scan(inputs, np.arange(40))
    np.testing.assert_allclose(mean, inputs[:40].astype(np.float64).mean(axis=0), rtol=1e-7)
    assert mean.dtype == np.float32
