"""Causes: every name has a measure, and regions do not depend on the head's size."""

from typing import get_args

import numpy as np
import pytest

from relevox.config import Cause, PhantomSettings
from relevox.phantom.causes import CAUSES, LABEL_MODELS, LESIONS, REGIONS, label_model, measure_causes, parts


def head(scale=1.0, **others):
    ml = dict.fromkeys(REGIONS, 100.0) | {"intracranial": 1600.0, "periventricular_lesions": 9.0, "other_lesions": 16.0}
    return {name: scale * amount for name, amount in (ml | others).items()}


def test_settings_know_the_causes_and_labels_there_are():
    assert set(get_args(Cause)) == set(CAUSES)
    labels = set(get_args(PhantomSettings.model_fields["label"].annotation))
    assert labels == {*LABEL_MODELS, "all"}
    assert all(set(model.weights) <= set(CAUSES) for model in LABEL_MODELS.values())


def test_lesions_count_as_square_roots_of_millilitres():
    found = measure_causes([head()])
    assert [found[cause][0] for cause in (*LESIONS, "total_lesions")] == pytest.approx([3.0, 4.0, 5.0])


def test_regions_count_as_log_shares_of_the_head_whatever_its_size():
    small, large = measure_causes([head(0.9)]), measure_causes([head(1.2)])
    for cause in CAUSES:
        if parts(cause)[0] in REGIONS:
            assert small[cause][0] == pytest.approx(large[cause][0])
    assert measure_causes([head()])["frontotemporal_cortex"][0] == pytest.approx(np.log(200 / 1600))


def test_own_weights_and_noise_replace_the_label_s():
    own = label_model(PhantomSettings(label="paper", weights={"frontal_cortex": -1.0}, label_noise=0.1))
    assert own == ({"frontal_cortex": -1.0}, 0.1)
    assert label_model(PhantomSettings(label="paper")) == LABEL_MODELS["paper"]
