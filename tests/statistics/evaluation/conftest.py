"""Cohorts and predictions made by hand: 120 patients, every fourth scanned twice, four folds."""

from dataclasses import dataclass

import numpy as np
import pytest

from relevox.config import EvaluationSettings, Settings
from relevox.records import Cohort, Observation, Prediction, ScanId


@dataclass
class Study:
    """A cohort with its predictions."""

    cohort: Cohort
    test: list
    validation: list
    settings: Settings


def make_study(cnn_knows, scanner_of, n_patients=120, seed=0, settings=None):
    """Make a cohort.

    cnn_knows : function of (label, scanner is A, rng) to a logit
    scanner_of : function of (label, rng) to a scanner
    """
    rng = np.random.default_rng(seed)
    observations, folds = [], []
    for patient in range(n_patients):
        label = patient % 2
        for visit in range(1 + (patient % 4 == 0)):
            observations.append(
                Observation(
                    ScanId(f"sub-{patient:03d}", f"ses-{visit}"),
                    score=float(rng.choice([3.0, 4.0, 6.0] if label else [1.0, 2.0, 2.5])),
                    label=label,
                    age_years=float(rng.uniform(20, 60)),
                    sex=str(rng.choice(["F", "M"])),
                    scanner=scanner_of(label, rng),
                    field_strength_t=3.0,
                )
            )
            folds.append((patient // 2) % 4)
    cohort = Cohort(tuple(observations))
    test, validation = [], []
    for o, fold in zip(cohort, folds, strict=True):
        on_a = o.scanner == "A"
        logit = {
            "cnn": cnn_knows(o.label, on_a, rng),
            "scanner": 1.5 if on_a else -1.5,
            "age_sex": 0.3 * rng.standard_normal(),
        }
        for model, value in logit.items():
            probability = float(1 / (1 + np.exp(-value)))
            test.append(Prediction(o.id, model, fold, o.label, probability))
            validation.append(Prediction(o.id, model, (fold - 1) % 4, o.label, probability))
    quick = EvaluationSettings(n_bootstrap=300, n_permutations=200)
    return Study(cohort, test, validation, settings or Settings(evaluation=quick))


def mostly(label, rng):
    """Scanner A for most of class 1, B for most of class 0."""
    return str(rng.choice(["A", "B"], p=[0.85, 0.15] if label else [0.15, 0.85]))


def either(label, rng):
    return str(rng.choice(["A", "B"]))


@pytest.fixture(scope="session")
def honest():
    """The network sees the class; the scanner has nothing to do with it."""
    return make_study(lambda label, on_a, rng: 2 * (2 * label - 1) + 1.5 * rng.standard_normal(), either)


@pytest.fixture(scope="session")
def scanner_driven():
    """The network sees the scanner only, and the scanner goes with the class."""
    return make_study(lambda label, on_a, rng: (1.5 if on_a else -1.5) + rng.standard_normal(), mostly)
