"""A study folder as preprocessing leaves it: tiny random images on the 8 mm grid."""

import numpy as np
import pytest
import torch

from relevox.config import preset
from relevox.records import Cohort, Observation, ScanId, Volume
from relevox.store import images, layout, tables


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """On small arrays more threads only wait for each other."""
    torch.set_num_threads(1)


@pytest.fixture
def tiny_settings():
    settings = preset("tiny")
    training = settings.training.model_copy(update={"device": "cpu", "precision": "float32"})
    return settings.model_copy(update={"training": training})


@pytest.fixture
def tiny_study(tmp_path, tiny_settings):
    """Fourteen scans of twelve patients, half of them positive; positives have a bright spot in FLAIR."""
    study, rng = tmp_path / "study", np.random.default_rng(0)
    ids = [ScanId(f"sub-{n:02d}", "ses-01") for n in range(12)] + [
        ScanId("sub-00", "ses-02"),
        ScanId("sub-01", "ses-02"),
    ]
    observations = [
        Observation(
            id=scan,
            score=4.0 if int(scan.participant[-2:]) % 2 else 1.5,
            label=int(scan.participant[-2:]) % 2,
            age_years=float(rng.uniform(20, 60)),
            sex="F" if rng.random() < 0.6 else "M",
            scanner="Avanto" if rng.random() < 0.5 else "Tim Trio",
        )
        for scan in sorted(ids)
    ]
    cohort = Cohort(tuple(observations))
    tables.write_cohort(study, cohort)
    space, shape = tiny_settings.preprocessing.space, tiny_settings.preprocessing.shape
    volumes = []
    for observation in cohort:
        for kind in ("t1w", "flair"):
            data = np.zeros(shape, dtype=np.float32)
            data[2:-2, 2:-2, 2:-2] = 0.5 + 0.05 * rng.standard_normal([n - 4 for n in shape])
            if kind == "flair" and observation.label:
                data[6:11, 8:13, 6:11] += 0.5
            images.write(layout.path(study, kind, observation.id, space=space), Volume(data, np.diag([8, 8, 8, 1.0])))
        volumes.append(
            tables.id_columns(observation.id)
            | {f"{name}_ml": float(rng.normal(500, 50)) for name in tables.VOLUME_NAMES}
        )
    tables.write(layout.path(study, "volumes"), volumes)
    return study
