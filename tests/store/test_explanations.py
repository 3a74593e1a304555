"""What the stages that explain and analyse share."""

import numpy as np
import pytest

from relevox.errors import StudyError
from relevox.records import Cohort, Observation, Prediction, ScanId, Volume
from relevox.store import explanations, images, layout, tables


def small_cohort(study, folds=(0, 1)):
    cohort = Cohort(tuple(Observation(ScanId(f"sub-{n}"), score=1.0 + 3 * n, label=n) for n in range(2)))
    tables.write_cohort(study, cohort)
    tables.write_folds(study, cohort, folds)
    return cohort


def test_predictions_come_in_the_order_of_the_cohort_and_of_the_network_only(tmp_path):
    cohort = small_cohort(tmp_path)
    made = [
        Prediction(cohort.ids[1], "cnn", 1, 1, 0.7),
        Prediction(cohort.ids[0], "volumes", 0, 0, 0.9),
        Prediction(cohort.ids[0], "cnn", 0, 0, 0.2),
    ]
    tables.write_predictions(tmp_path, made)
    found = explanations.cnn_predictions(tmp_path, cohort)
    assert list(found.values()) == [made[2], made[0]]


@pytest.mark.parametrize("fold", [None, 0])
def test_a_scan_without_a_prediction_of_its_own_fold_is_named(tmp_path, fold):
    cohort = small_cohort(tmp_path)
    made = [Prediction(cohort.ids[0], "cnn", 0, 0, 0.2)]
    if fold is not None:
        made.append(Prediction(cohort.ids[1], "cnn", fold, 1, 0.7))
    tables.write_predictions(tmp_path, made)
    with pytest.raises(StudyError, match=r"sub-1 .*fold 1"):
        explanations.cnn_predictions(tmp_path, cohort)


def test_an_image_of_another_grid_is_refused(tmp_path):
    scan = ScanId("sub-1")
    images.write(layout.path(tmp_path, "t1w", scan, space="MNI"), Volume(np.ones((3, 4, 5)), np.eye(4)))
    assert explanations.read_on_grid(tmp_path, "t1w", scan, (3, 4, 5), space="MNI").shape == (3, 4, 5)
    with pytest.raises(StudyError, match=r"expected \(4, 4, 5\)"):
        explanations.read_on_grid(tmp_path, "t1w", scan, (4, 4, 5), space="MNI")
    with pytest.raises(StudyError, match="not there"):
        explanations.read_on_grid(tmp_path, "flair", scan, (3, 4, 5), space="MNI")
