"""The scores of several models on the same samples of patients, drawn once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from relevox.config import EvaluationSettings
from relevox.statistics.evaluation.answers import Answers
from relevox.statistics.resampling import Resampled, resample
from relevox.statistics.scores import MEASURES, weighted_scores


def resampled_scores(answers: Mapping[str, Answers], settings: EvaluationSettings, seed: int) -> dict[str, Resampled]:
    """Score every model as observed, on samples of patients, and without each patient.

    Parameters
    ----------
    answers : mapping of str to Answers
        By model, to the same scans or patients.
    settings : EvaluationSettings
        Number of samples.
    seed : int
        Of the samples.

    Returns
    -------
    dict of str to Resampled
        By model; rows are the measures in the order of ``MEASURES``.
    """
    first, k = next(iter(answers.values())), len(MEASURES)
    y = first.labels == 1

    def statistic(weights: np.ndarray) -> np.ndarray:
        return np.concatenate([weighted_scores(y, of.probability, weights) for of in answers.values()])

    found = resample(statistic, first.patients, settings.n_bootstrap, seed)
    return {model: _rows(found, slice(n * k, (n + 1) * k)) for n, model in enumerate(answers)}


def difference(a: Resampled, b: Resampled) -> Resampled:
    """Subtract sample by sample: how two models differ on the same patients."""
    return Resampled(a.value - b.value, a.draws - b.draws, a.left_out - b.left_out)


def _rows(found: Resampled, rows: slice) -> Resampled:
    return Resampled(found.value[rows], found.draws[rows], found.left_out[rows])
