"""Models the network has to beat: logistic regressions on volumes and on confounds (paper 2.4, SPEC 4).

The paper's baseline uses volumes. Scanner alone, and age and sex alone, show
how far the outcome can be guessed without looking at the brain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from relevox.records import Cohort


@dataclass(frozen=True)
class Design:
    """What a baseline may look at."""

    name: str
    """``volumes``, ``scanner`` or ``age_sex``."""
    features: tuple[str, ...]
    """Names of the columns."""
    values: np.ndarray
    """``(n, k)`` one row a scan; NaN where a value is unknown."""

    @property
    def n_unknown(self) -> dict[str, int]:
        """Scans per feature whose value is unknown; features without such scans are not listed."""
        counts = (~np.isfinite(self.values)).sum(axis=0)
        return {name: int(count) for name, count in zip(self.features, counts, strict=True) if count}

    @property
    def is_informative(self) -> bool:
        """Whether any column has two different known values."""
        return any(len(np.unique(column[np.isfinite(column)])) > 1 for column in self.values.T)


@dataclass(frozen=True)
class LogisticBaseline:
    """A fitted logistic regression: numbers only, no scan of the cohort is kept in it."""

    name: str
    """Name of the design."""
    features: tuple[str, ...]
    """Names of the columns."""
    mean: tuple[float, ...]
    """Per feature over the training scans; stands in where a value is unknown."""
    sd: tuple[float, ...]
    """Per feature over the training scans (ddof 0); 0 marks a feature that was left out."""
    weights: tuple[float, ...]
    """Per standardised feature; 0 where it was left out."""
    intercept: float
    """Logit at the mean."""
    n_train: int
    """Training scans."""
    n_filled: tuple[int, ...]
    """Training scans per feature whose value was unknown and replaced by the mean."""

    @property
    def left_out(self) -> tuple[str, ...]:
        """Features that were constant or unknown over the training scans."""
        return tuple(name for name, sd in zip(self.features, self.sd, strict=True) if sd == 0)

    def predict(self, values: np.ndarray) -> np.ndarray:
        """Compute the probability of class 1.

        Parameters
        ----------
        values : ndarray, (m, k)
            In the order of ``features``; NaN where unknown.

        Returns
        -------
        ndarray, (m,)
        """
        logit = _standardised(values, np.array(self.mean), np.array(self.sd)) @ np.array(self.weights)
        return 1 / (1 + np.exp(-(logit + self.intercept)))


def fit_logistic(design: Design, labels: np.ndarray, rows: np.ndarray, balanced: bool = True) -> LogisticBaseline:
    """Fit a baseline on the training scans.

    Parameters
    ----------
    design : Design
        All scans.
    labels : ndarray, (n,)
        Class of every scan.
    rows : ndarray, (t,)
        Training scans: nothing else enters means, standard deviations or weights.
    balanced : bool
        Weigh the classes by inverse frequency, as the network's loss does, so
        that both make errors of the same price.

    Notes
    -----
    scikit-learn's logistic regression with its default ridge penalty (C = 1) on
    standardised features. Unscaled volumes in mm3, which stop the solver early,
    are the likely reason for the 50-55 % the paper prints for single features.
    """
    X, y = np.asarray(design.values, dtype=float)[rows], np.asarray(labels)[rows]
    known = np.isfinite(X)
    n_known = known.sum(axis=0)
    mean = np.where(known, X, 0).sum(axis=0) / np.maximum(n_known, 1)
    sd = np.sqrt((np.where(known, X - mean, 0) ** 2).sum(axis=0) / np.maximum(n_known, 1))
    sd[sd < 1e-9 * np.maximum(1, np.abs(mean))] = 0  # constant but for rounding
    weight = "balanced" if balanced else None
    model = LogisticRegression(C=1.0, class_weight=weight, max_iter=1000).fit(_standardised(X, mean, sd), y)
    return LogisticBaseline(
        name=design.name,
        features=design.features,
        mean=tuple(mean.tolist()),
        sd=tuple(sd.tolist()),
        weights=tuple(np.where(sd > 0, model.coef_[0], 0.0).tolist()),
        intercept=float(model.intercept_[0]),
        n_train=len(y),
        n_filled=tuple((~known).sum(axis=0).tolist()),
    )


def cohort_designs(cohort: Cohort, volume_names: Sequence[str], volumes_ml: np.ndarray) -> tuple[Design, ...]:
    """Describe a cohort in every way a baseline uses.

    Parameters
    ----------
    cohort : Cohort
        n scans.
    volume_names : sequence of str
        Of the six volumes.
    volumes_ml : ndarray, (n, 6)
        Millilitres.
    """
    designs = (
        volumes_design(volume_names, volumes_ml),
        scanner_design([o.scanner for o in cohort]),
        age_sex_design([o.age_years for o in cohort], [o.sex for o in cohort]),
    )
    at_scan = np.array([o.score_at_scan for o in cohort], dtype=float)
    # a later score is predicted: today's is what has to be beaten
    return (*designs, score_design(at_scan)) if np.isfinite(at_scan).any() else designs


def volumes_design(names: Sequence[str], volumes_ml: np.ndarray) -> Design:
    """Describe scans by their six volumes, ``(n, 6)`` in millilitres."""
    return Design("volumes", tuple(f"{name}_ml" for name in names), np.asarray(volumes_ml, dtype=float))


def scanner_design(scanners: Sequence[str]) -> Design:
    """Describe scans by the scanner alone: one column a model; an unknown scanner is a column of its own."""
    named = np.array([scanner or "unknown" for scanner in scanners])
    models = sorted(set(named.tolist()))
    return Design("scanner", tuple(models), (named[:, None] == np.array(models)).astype(float))


def age_sex_design(age_years: Sequence[float], sex: Sequence[str]) -> Design:
    """Describe scans by age and sex (1 female, 0 male, NaN unknown)."""
    female = [{"F": 1.0, "M": 0.0}.get(value, np.nan) for value in sex]
    return Design("age_sex", ("age_years", "female"), np.column_stack([age_years, female]).astype(float))


def score_design(score_at_scan: Sequence[float]) -> Design:
    """Describe scans by the clinical score at the scan alone, where a later one is predicted."""
    return Design("score_at_scan", ("score_at_scan",), np.asarray(score_at_scan, dtype=float)[:, None])


def _standardised(X: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Bring features to mean 0 and standard deviation 1; unknown values to the mean."""
    z = (np.asarray(X, dtype=float) - mean) / np.where(sd > 0, sd, 1)
    return np.where(np.isfinite(z) & (sd > 0), z, 0)
