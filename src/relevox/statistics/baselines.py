"""Models the network has to beat: logistic regressions on volumes and on confounds (paper 2.4, SPEC 4).

The paper's baseline uses volumes. Scanner alone, and age and sex alone, show
how far the outcome can be guessed without looking at the brain. Every subset
of the volumes is fitted too: the best of 63 looks better than it is, because
the test scans chose it, so the subset that a fold's validation scans choose
stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from sklearn.linear_model import LogisticRegression

from relevox.records import Cohort
from relevox.statistics.scores import classification_scores

CHOSEN = "volumes_chosen"
"""The subset of the volumes that does best on a fold's validation scans."""

BEST = "volumes_best"
"""The subset that does best on the test scans themselves: too good, and named so wherever it is shown."""

MODEL_ORDER = (
    *("cnn", "volumes", BEST, CHOSEN, "volumes_clinical", "volumes_scanner"),
    *("scanner", "age_sex", "clinical", "score_at_scan"),
)
"""The network, what it has to beat, and what should not be able to guess the outcome at all."""

CONFOUNDS = ("scanner", "age_sex")
"""Baselines that see nothing of the brain."""

_SCANNER = "scanner="


@dataclass(frozen=True)
class Design:
    """What a baseline may look at."""

    name: str
    """``volumes``, ``scanner``, ..., or the features of a subset joined by ``+``."""
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


def fit_all(
    designs: Sequence[Design], labels: np.ndarray, rows: np.ndarray, balanced: bool = True
) -> dict[str, LogisticBaseline]:
    """Fit every design that has anything to learn from, by name; see :func:`fit_logistic`."""
    return {design.name: fit_logistic(design, labels, rows, balanced) for design in designs if design.is_informative}


def choose(
    designs: Sequence[Design], fitted: Mapping[str, LogisticBaseline], labels: np.ndarray, rows: np.ndarray
) -> LogisticBaseline:
    """Return the baseline with the largest AUC on scans it was not fitted on, under the name ``volumes_chosen``.

    Parameters
    ----------
    designs : sequence of Design
        In the order in which ties are decided: the earlier one wins.
    fitted : mapping of str to LogisticBaseline
        By the designs' names.
    labels : ndarray, (n,)
        Class of every scan.
    rows : ndarray, (v,)
        The validation scans, of both classes.
    """
    y, best, highest = np.asarray(labels)[rows], None, -np.inf
    for design in designs:
        if design.name in fitted:
            auc = classification_scores(y, fitted[design.name].predict(design.values[rows])).auc
            if auc > highest:
                best, highest = fitted[design.name], auc
    assert best is not None, "there is a design and both classes"
    return replace(best, name=CHOSEN)


def cohort_designs(
    cohort: Cohort,
    volume_names: Sequence[str],
    volumes_ml: np.ndarray,
    unseen_scanner: str = "",
    covariates: Sequence[str] = (),
) -> tuple[Design, ...]:
    """Describe a cohort in every way a named baseline uses.

    Parameters
    ----------
    cohort : Cohort
        n scans.
    volume_names : sequence of str
        Of the six volumes.
    volumes_ml : ndarray, (n, 6)
        Millilitres.
    unseen_scanner : str
        One that no model learns from, as :func:`scanner_design` has it.
    covariates : sequence of str
        What the network is told beside the images: the volumes are told it too, and it stands alone.
    """
    volumes = volumes_design(volume_names, volumes_ml)
    scanner = scanner_design([o.scanner for o in cohort], unseen_scanner)
    clinical = clinical_design(cohort, covariates)
    designs = (
        volumes,
        *([_joined("volumes_clinical", volumes, clinical)] if clinical.is_informative else []),
        # without two scanners it would be the volumes under another name
        *([_joined("volumes_scanner", volumes, scanner)] if scanner.is_informative and volumes.is_informative else []),
        scanner,
        age_sex_design([o.age_years for o in cohort], [o.sex for o in cohort]),
        *([clinical] if clinical.is_informative else []),
    )
    at_scan = np.array([o.score_at_scan for o in cohort], dtype=float)
    # a later score is predicted: today's is what has to be beaten
    return (*designs, score_design(at_scan)) if np.isfinite(at_scan).any() else designs


def volumes_design(names: Sequence[str], volumes_ml: np.ndarray) -> Design:
    """Describe scans by their six volumes, ``(n, 6)`` in millilitres."""
    return Design("volumes", tuple(f"{name}_ml" for name in names), np.asarray(volumes_ml, dtype=float))


def subset_designs(names: Sequence[str], volumes_ml: np.ndarray) -> tuple[Design, ...]:
    """Describe scans by every subset of their volumes, small ones first: 63 for six volumes.

    Examples
    --------
    >>> [design.name for design in subset_designs(("white_matter", "lesions"), np.zeros((1, 2)))]
    ['white_matter', 'lesions', 'white_matter+lesions']
    """
    whole = volumes_design(names, volumes_ml)
    return tuple(
        Design(
            "+".join(names[column] for column in columns),
            tuple(whole.features[column] for column in columns),
            whole.values[:, columns],
        )
        for size in range(1, len(names) + 1)
        for columns in combinations(range(len(names)), size)
    )


def scanner_design(scanners: Sequence[str], unseen: str = "") -> Design:
    """Describe scans by the scanner alone: one column a model; an unknown scanner is a column of its own.

    A scanner that is to stay unseen has no column, nor has the unknown one, which may be it: their scans are NaN.
    """
    named = np.array([scanner or "unknown" for scanner in scanners])
    models = sorted(set(named.tolist()) - ({unseen, "unknown"} if unseen else set()))
    columns = (named[:, None] == np.array(models)).astype(float)
    columns[~np.isin(named, models)] = np.nan
    return Design("scanner", tuple(f"{_SCANNER}{model}" for model in models), columns)


def age_sex_design(age_years: Sequence[float], sex: Sequence[str]) -> Design:
    """Describe scans by age and sex (1 female, 0 male, NaN unknown)."""
    female = [{"F": 1.0, "M": 0.0}.get(value, np.nan) for value in sex]
    return Design("age_sex", ("age_years", "female"), np.column_stack([age_years, female]).astype(float))


def clinical_design(cohort: Cohort, covariates: Sequence[str]) -> Design:
    """Describe scans by the covariates that the network is told (``age``, ``sex``, ``disease_duration``)."""
    person = age_sex_design([o.age_years for o in cohort], [o.sex for o in cohort])
    known = {
        "age": ("age_years", person.values[:, 0]),
        "sex": ("female", person.values[:, 1]),
        "disease_duration": ("disease_duration_years", np.array([o.disease_duration_years for o in cohort])),
    }
    features = tuple(known[name][0] for name in covariates)
    columns = [known[name][1] for name in covariates]
    return Design("clinical", features, np.column_stack(columns) if columns else np.empty((len(cohort), 0)))


def score_design(score_at_scan: Sequence[float]) -> Design:
    """Describe scans by the clinical score at the scan alone, where a later one is predicted."""
    return Design("score_at_scan", ("score_at_scan",), np.asarray(score_at_scan, dtype=float)[:, None])


def feature_values(
    features: Sequence[str], cohort: Cohort, volume_names: Sequence[str], volumes_ml: np.ndarray
) -> np.ndarray:
    """Look up the columns a fitted baseline asks for, in any cohort, ``(n, k)``.

    A feature that this cohort does not know is NaN, and becomes the training
    mean. So does a scanner the baseline was not trained on: nothing is known of
    it, and 0 in every column would be a scan from no scanner at all.
    """
    volumes = volumes_design(volume_names, volumes_ml)
    person = clinical_design(cohort, ("age", "sex", "disease_duration"))
    at_scan = score_design([o.score_at_scan for o in cohort])
    known = {
        name: column for d in (volumes, person, at_scan) for name, column in zip(d.features, d.values.T, strict=True)
    }
    scanners = np.array([o.scanner or "unknown" for o in cohort])
    seen = np.isin(scanners, [feature.removeprefix(_SCANNER) for feature in features])
    columns = [
        np.where(seen, scanners == feature.removeprefix(_SCANNER), np.nan)
        if feature.startswith(_SCANNER)
        else known.get(feature, np.full(len(cohort), np.nan))
        for feature in features
    ]
    return np.stack(columns, axis=1)


def model_order(names: Sequence[str]) -> list[str]:
    """Sort models: the known ones in the order of the report, then others by name.

    Examples
    --------
    >>> model_order(["scanner", "zz", "cnn"])
    ['cnn', 'scanner', 'zz']
    """
    return [name for name in MODEL_ORDER if name in names] + sorted(set(names) - set(MODEL_ORDER))


def _joined(name: str, one: Design, other: Design) -> Design:
    return Design(name, one.features + other.features, np.concatenate([one.values, other.values], axis=1))


def _standardised(X: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Bring features to mean 0 and standard deviation 1; unknown values to the mean."""
    z = (np.asarray(X, dtype=float) - mean) / np.where(sd > 0, sd, 1)
    return np.where(np.isfinite(z) & (sd > 0), z, 0)
