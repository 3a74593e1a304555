"""Could the scanner, or age and sex, explain what a model reaches (SPEC 4)?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relevox.errors import InputError
from relevox.statistics.comparison import Difference, paired_bootstrap
from relevox.statistics.resampling import resample
from relevox.statistics.scores import checked, patient_bootstrap, weighted_pairs

CHANCE_IS_HALF = ("auc", "balanced_accuracy")
"""Measures for which a model that knows nothing reaches 0.5 on average."""


@dataclass(frozen=True)
class StratifiedAuc:
    """An area under the curve that only compares scans of the same stratum."""

    value: float
    """Share of the pairs in the right order, ties counting half; NaN without a pair."""
    ci_low: float
    """Lower end of the patient-bootstrap interval."""
    ci_high: float
    """Upper end."""
    n_pairs: int
    """(Class 1, class 0) pairs within a stratum."""
    n_pairs_all: int
    """Such pairs without strata."""
    n_strata: int
    """Strata that have both classes."""
    n_unknown: int
    """Scans left out because their stratum is unknown."""


@dataclass(frozen=True)
class LeftOut:
    """One stratum to be predicted by a model that never saw it."""

    stratum: str
    """Name."""
    train: np.ndarray
    """Rows of the other strata, without the patients of the test rows."""
    test: np.ndarray
    """Rows of the stratum."""
    possible: bool
    """Whether both classes are among the training rows."""


@dataclass(frozen=True)
class Verdict:
    """Whether a confound model comes near another model."""

    measure: str
    """What was compared."""
    model: float
    """Of the model (the network)."""
    ci_low: float
    """Lower end of its patient-bootstrap interval."""
    ci_high: float
    """Upper end."""
    confound: float
    """Of the confound model on the same scans."""
    confound_low: float
    """Lower end of its interval."""
    confound_high: float
    """Upper end."""
    difference: Difference
    """Model minus confound model, on the same bootstrap samples."""
    within_interval: bool
    """The confound model reaches the lower end of the model's interval, or more."""
    stratified: StratifiedAuc | None
    """The model's AUC within strata of the confound; None where no strata were given."""

    @property
    def not_shown_better(self) -> bool:
        """The interval of the difference holds 0, lies below it, or is not known."""
        return not self.difference.ci_low > 0

    @property
    def chance_within_strata(self) -> bool:
        """Within strata the model is not shown to be better than chance: its interval reaches 0.5 (or no pair)."""
        return self.stratified is not None and not self.stratified.ci_low > 0.5

    @property
    def confound_driven(self) -> bool:
        """The confound model is better than chance and as good, and within strata nothing is left."""
        better_than_chance = self.confound_low > 0.5 or (self.confound > 0.5 and not np.isfinite(self.confound_low))
        return better_than_chance and self.not_shown_better and self.chance_within_strata


def stratified_auc(
    y_true: np.ndarray,
    probability: np.ndarray,
    strata: Sequence[str],
    patients: np.ndarray,
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> StratifiedAuc:
    """Compare only scans of the same scanner: what a model knows beyond the scanner.

    Parameters
    ----------
    y_true, probability : array-like, (n,)
        Class and probability of class 1.
    strata : sequence of str, (n,)
        Scanner of every scan; scans without one (empty) are left out.
    patients : array-like, (n,)
        Patient of every scan.
    n_bootstrap, confidence, seed
        Of the interval (:meth:`.resampling.Resampled.interval`).

    Notes
    -----
    Concordant pairs of all strata over pairs of all strata: strata weigh by
    their pairs (Janes and Pepe's covariate-adjusted AUC weighs by class 1
    scans instead). Out-of-fold probabilities come from different models, and
    pairs from two folds are compared as if from one.
    """
    y, p = checked(y_true, probability)
    strata, patients = np.asarray(strata, dtype=str), np.asarray(patients)
    if strata.shape != y.shape:
        raise InputError(f"expected {len(y)} strata, but got {strata.shape}", code="confound-strata")
    parts = [np.flatnonzero(strata == name) for name in np.unique(strata[strata != ""])]
    parts = [rows for rows in parts if 0 < y[rows].sum() < len(rows)]
    n_pairs = sum(int(y[rows].sum() * (~y[rows]).sum()) for rows in parts)
    n_pairs_all, n_unknown = int(y.sum() * (~y).sum()), int((strata == "").sum())
    if n_pairs == 0:
        return StratifiedAuc(np.nan, np.nan, np.nan, 0, n_pairs_all, 0, n_unknown)

    def statistic(weights: np.ndarray) -> np.ndarray:
        concordant, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for rows in parts:
            w, of = weights[:, rows], y[rows]
            concordant += weighted_pairs(of, p[rows], w)
            pairs += w[:, of].sum(axis=1) * w[:, ~of].sum(axis=1)
        return (concordant / np.where(pairs > 0, pairs, np.nan))[None]

    found = resample(statistic, patients, n_bootstrap, seed)
    low, high = found.interval(confidence)[0]
    return StratifiedAuc(float(found.value[0]), float(low), float(high), n_pairs, n_pairs_all, len(parts), n_unknown)


def leave_one_stratum_out(strata: Sequence[str], patients: np.ndarray, labels: np.ndarray) -> tuple[LeftOut, ...]:
    """Say which rows train and test when a scanner is left out.

    Parameters
    ----------
    strata : sequence of str, (n,)
        Scanner of every scan. Scans of unknown scanner (empty) are in neither
        part: they may be from the scanner that is left out.
    patients, labels : array-like, (n,)
        Patient and class of every scan.

    Returns
    -------
    tuple of LeftOut
        One a known stratum. A patient scanned on it and on others is tested, never trained on.
    """
    strata, patients, labels = np.asarray(strata, dtype=str), np.asarray(patients), np.asarray(labels)
    answer = []
    for name in np.unique(strata[strata != ""]):
        test = strata == name
        train = ~test & (strata != "") & ~np.isin(patients, patients[test])
        possible = len(np.unique(labels[train])) == 2
        answer.append(LeftOut(str(name), np.flatnonzero(train), np.flatnonzero(test), possible))
    return tuple(answer)


def confound_verdict(
    y_true: np.ndarray,
    probability: np.ndarray,
    confound_probability: np.ndarray,
    patients: np.ndarray,
    strata: Sequence[str] | None = None,
    measure: str = "auc",
    n_bootstrap: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Verdict:
    """Hold a model against one that only knows a confound.

    Parameters
    ----------
    y_true : array-like, (n,)
        Class, 0 or 1.
    probability, confound_probability : array-like, (n,)
        Of class 1, out of fold: the model's, and the confound model's on the same folds.
    patients : array-like, (n,)
        Patient of every scan.
    strata : sequence of str, (n,), optional
        Levels of the confound (the scanner), for the AUC within them.
    measure : str
        ``auc`` or ``balanced_accuracy``: measures whose chance is 0.5.
    n_bootstrap, confidence, seed
        Of the intervals.
    """
    if measure not in CHANCE_IS_HALF:
        raise InputError(f"expected one of {', '.join(CHANCE_IS_HALF)}, but got {measure!r}", code="confound-measure")
    options = (patients, n_bootstrap, confidence, seed)
    difference = paired_bootstrap(y_true, probability, confound_probability, *options)[measure]
    low, high = patient_bootstrap(y_true, probability, *options)[measure]
    confound_low, confound_high = patient_bootstrap(y_true, confound_probability, *options)[measure]
    stratified = None
    if strata is not None:
        stratified = stratified_auc(y_true, probability, strata, patients, n_bootstrap, confidence, seed)
    return Verdict(
        measure=measure,
        model=difference.value_a,
        ci_low=low,
        ci_high=high,
        confound=difference.value_b,
        confound_low=confound_low,
        confound_high=confound_high,
        difference=difference,
        within_interval=bool(difference.value_b >= (low if np.isfinite(low) else difference.value_a)),
        stratified=stratified,
    )
