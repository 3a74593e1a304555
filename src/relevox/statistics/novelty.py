"""Is a new scan like those a model was trained on? One measure at a time, and all together.

A model is only known to work on scans like its own. What is kept of the
training scans are moments and quantiles, never a scan, so that a range can
travel with a shared model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special, stats
from sklearn.covariance import ledoit_wolf

from relevox.statistics.disclosure import SMALLEST_CELL, sharable_levels

FALSE_ALARMS = 0.01
"""Share of scans like the training scans that either test, of single measures or of all together, may warn of."""

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that are kept, where enough patients lie on either side."""

SCANS_PER_MEASURE = 3
"""With fewer patients than this per measure, correlations are not known well enough to look at all together."""

_CLIP = 3.0
"""Spreads from the median beyond which a training scan pulls no further at the correlations."""


@dataclass(frozen=True)
class MeasureRange:
    """One measure over the training scans."""

    name: str
    """Of the measure."""
    logarithmic: bool
    """Distances are taken on log(1 + value): volumes are skewed."""
    n_scans: int
    """Training scans with this measure."""
    n_patients: int
    """Their patients."""
    mean: float
    """In the measure's own units."""
    sd: float
    """In the measure's own units."""
    levels: tuple[float, ...]
    """Which quantiles are kept."""
    quantiles: tuple[float, ...]
    """In the measure's own units."""
    centre: float
    """Median (mean of fewer than ten patients), on the scale of distances."""
    spread_below: float
    """Standard deviation of a normal distribution with the lowest kept quantile; 0 where all scans are equal."""
    spread_above: float
    """The same with the highest kept quantile."""

    @property
    def is_constant(self) -> bool:
        """Every training scan had the same value."""
        return self.spread_below == 0 and self.spread_above == 0

    def distances(self, values: np.ndarray) -> np.ndarray:
        """Return how many spreads values lie above (+) or below (-) the median; NaN where that has no meaning.

        Parameters
        ----------
        values : ndarray, (n,)
            NaN where not measured.
        """
        if self.is_constant:
            return np.full(np.shape(values), np.nan)
        away = _scale(values, self.logarithmic) - self.centre
        return away / np.where(away > 0, self.spread_above, self.spread_below)

    def percentile(self, value: float) -> tuple[float, float]:
        """Return between which percentiles of the training scans a value lies: the same twice where it is known.

        Examples
        --------
        >>> MeasureRange("m", False, 40, 40, 5, 2, (0.25, 0.75), (4, 6), 5, 1.5, 1.5).percentile(7)
        (75.0, 100.0)
        """
        if not self.levels or not np.isfinite(value) or self.is_constant:
            return 0.0, 100.0
        if value < self.quantiles[0]:
            return 0.0, 100 * self.levels[0]
        if value > self.quantiles[-1]:
            return 100 * self.levels[-1], 100.0
        found = 100 * float(np.interp(value, self.quantiles, self.levels))
        return found, found


@dataclass(frozen=True)
class TrainingRange:
    """Where the training scans lie, in numbers that say nothing about one of them."""

    n_scans: int
    """Training scans."""
    n_patients: int
    """Their patients."""
    measures: tuple[MeasureRange, ...]
    """Those known of at least five patients."""
    joint: tuple[str, ...]
    """Measures that are also looked at together; empty where the patients are too few."""
    joint_mean: tuple[float, ...]
    """Mean distance of each, spreads from the median."""
    joint_covariance: tuple[tuple[float, ...], ...]
    """Of the distances (Ledoit and Wolf's shrinkage)."""
    false_alarms: float = float("nan")
    """Share of the training patients who would be warned of, each left out once; NaN for fewer than ten."""


@dataclass(frozen=True)
class MeasureNovelty:
    """One measure of a new scan against the training scans."""

    range: MeasureRange
    """Of the training scans."""
    value: float
    """Of the new scan; NaN where it was not measured."""
    distance: float
    """Spreads from the median; NaN where it was not measured, or where the training scans are all equal."""
    limit: float
    """Distance beyond which it is outside."""
    squared_without: float
    """Squared distance of the other measures together; NaN where it takes no part in it."""

    @property
    def is_outside(self) -> bool:
        """Further out than the limit, or different where all training scans are equal."""
        if self.range.is_constant:
            return bool(np.isfinite(self.value)) and not np.isclose(self.value, self.range.mean, rtol=1e-6, atol=1e-9)
        return bool(abs(self.distance) > self.limit)


@dataclass(frozen=True)
class Novelty:
    """A new scan against the training scans."""

    measures: tuple[MeasureNovelty, ...]
    """One a measure of the training range."""
    squared_distance: float
    """Mahalanobis' squared distance of all measures together; NaN where it is not known."""
    squared_limit: float
    """Squared distance beyond which the scan is outside."""

    @property
    def is_outside_jointly(self) -> bool:
        """The measures do not go together as they do in the training scans."""
        return bool(self.squared_distance > self.squared_limit)

    @property
    def outside(self) -> tuple[MeasureNovelty, ...]:
        """Measures outside the training range."""
        return tuple(measure for measure in self.measures if measure.is_outside)

    @property
    def is_outside(self) -> bool:
        """Whether anything is outside."""
        return bool(self.outside) or self.is_outside_jointly


def training_range(
    names: Sequence[str], values: np.ndarray, patients: Sequence[str], logarithmic: Sequence[str] = ()
) -> TrainingRange:
    """Describe the measures of the training scans.

    Parameters
    ----------
    names : sequence of str, (k,)
        Of the measures.
    values : ndarray, (n, k)
        One row a scan; NaN is missing.
    patients : sequence of str, (n,)
        Whose scan.
    logarithmic : sequence of str
        Measures to be judged on log(1 + value).

    Notes
    -----
    Spreads come from the 5th and the 95th percentile, each side its own, so that a few failed scans among the
    training scans do not widen the range. With fewer than 100 patients they come from the quartiles, with fewer
    than 20, and where those percentiles equal the median, from the standard deviation.
    """
    values, patients = np.asarray(values, dtype=float), np.asarray(patients)
    everyone = _describe(names, values, patients, logarithmic)
    different = np.unique(patients)
    if len(different) < 2 * SMALLEST_CELL:
        return everyone
    warned = 0
    for patient in different:
        own = patients == patient
        others = _describe(names, values[~own], patients[~own], logarithmic)
        warned += any(compare(others, dict(zip(names, row, strict=True))).is_outside for row in values[own])
    return TrainingRange(**(vars(everyone) | {"false_alarms": warned / len(different)}))


def compare(training: TrainingRange, values: Mapping[str, float]) -> Novelty:
    """Compare a new scan with the training scans.

    Parameters
    ----------
    training : TrainingRange
        Of the training scans.
    values : mapping of str to float
        Of the new scan; what is missing is not compared.

    Notes
    -----
    One measure is outside beyond t(1 - 0.01 / 2k; n - 1) sqrt(1 + 1/n) spreads, with k measures and n patients:
    Bonferroni's limit for one more observation of a normal distribution. All p together are outside beyond the
    squared distance p (n^2 - 1) / (n (n - p)) F(0.99; p, n - p), its counterpart for p measures (Hotelling).
    """
    new = {measure.name: float(values.get(measure.name, np.nan)) for measure in training.measures}
    distances = {m.name: float(m.distances(np.array([new[m.name]]))[0]) for m in training.measures}
    squared, squared_limit, without = _jointly(training, distances)
    compared = max(1, sum(math.isfinite(value) for value in new.values()))
    return Novelty(
        tuple(
            MeasureNovelty(
                range=measure,
                value=new[measure.name],
                distance=distances[measure.name],
                limit=_limit(measure.n_patients, compared),
                squared_without=without.get(measure.name, float("nan")),
            )
            for measure in training.measures
        ),
        squared,
        squared_limit,
    )


@lru_cache(maxsize=256)
def _limit(n_patients: int, n_measures: int) -> float:
    return float(stats.t.isf(FALSE_ALARMS / (2 * n_measures), n_patients - 1) * np.sqrt(1 + 1 / n_patients))


@lru_cache(maxsize=256)
def _joint_limit(n: int, p: int) -> float:
    return float(p * (n**2 - 1) / (n * (n - p)) * stats.f.isf(FALSE_ALARMS, p, n - p))


def _jointly(training: TrainingRange, distances: Mapping[str, float]) -> tuple[float, float, dict[str, float]]:
    """Squared distance, its limit, and the distance without each measure, over what is known of the new scan."""
    known = [n for n, name in enumerate(training.joint) if np.isfinite(distances[name])]
    if len(known) < 2:
        return float("nan"), float("nan"), {}
    away = np.array([distances[training.joint[n]] - training.joint_mean[n] for n in known])
    precision = np.linalg.inv(np.array(training.joint_covariance)[np.ix_(known, known)])
    weighted, n, p = precision @ away, training.n_patients, len(known)
    squared = float(away @ weighted)
    without = squared - weighted**2 / np.diag(precision)  # what is missing is how odd a measure is, given the others
    names = [training.joint[i] for i in known]
    return squared, _joint_limit(n, p), dict(zip(names, without.tolist(), strict=True))


def _describe(
    names: Sequence[str], values: np.ndarray, patients: np.ndarray, logarithmic: Sequence[str]
) -> TrainingRange:
    found, continuous = [], []
    for name, column in zip(names, values.T, strict=True):
        known = np.isfinite(column)
        if len(np.unique(patients[known])) >= SMALLEST_CELL:
            found.append(_range(name, column[known], patients[known], name in logarithmic))
            if 2 * len(np.unique(column[known])) > np.count_nonzero(known):
                continuous.append(found[-1])
    n_patients = len(np.unique(patients))
    joint: tuple[MeasureRange, ...] = ()
    if len(continuous) > 1 and n_patients > SCANS_PER_MEASURE * len(continuous):
        joint = tuple(continuous)
    mean, covariance = _correlations(joint, names, values)
    return TrainingRange(
        n_scans=len(values),
        n_patients=n_patients,
        measures=tuple(found),
        joint=tuple(measure.name for measure in joint),
        joint_mean=mean,
        joint_covariance=covariance,
    )


def _range(name: str, values: np.ndarray, patients: np.ndarray, logarithmic: bool) -> MeasureRange:
    n_patients = len(np.unique(patients))
    levels = sharable_levels(LEVELS, n_patients)
    quantiles = np.quantile(values, levels) if levels else np.empty(0)
    scaled = _scale(values, logarithmic)
    constant = np.ptp(values) == 0
    sd = 0.0 if constant else float(scaled.std(ddof=1))
    centre = float(np.median(scaled)) if 0.5 in levels else float(scaled.mean())

    def spread(end: int) -> float:
        if constant or len(levels) < 2:
            return sd
        from_quantile = (_scale(quantiles[end], logarithmic) - centre) / special.ndtri(levels[end])
        return float(from_quantile) if from_quantile > 1e-9 * max(1.0, abs(centre)) else sd

    return MeasureRange(
        name=name,
        logarithmic=logarithmic,
        n_scans=len(values),
        n_patients=n_patients,
        mean=float(values[0]) if constant else float(values.mean()),
        sd=0.0 if constant else float(values.std(ddof=1)),
        levels=levels,
        quantiles=tuple(float(q) for q in quantiles),
        centre=centre,
        spread_below=spread(0),
        spread_above=spread(-1),
    )


def _correlations(
    joint: Sequence[MeasureRange], names: Sequence[str], values: np.ndarray
) -> tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]:
    if not joint:
        return (), ()
    columns = [values[:, list(names).index(measure.name)] for measure in joint]
    away = np.stack([m.distances(column) for m, column in zip(joint, columns, strict=True)], axis=1)  # (n, p)
    away = np.clip(away[np.isfinite(away).all(axis=1)], -_CLIP, _CLIP)
    if len(away) <= SCANS_PER_MEASURE * len(joint):
        return (), ()
    covariance, _ = ledoit_wolf(away)
    return tuple(away.mean(axis=0).tolist()), tuple(map(tuple, covariance.tolist()))


def _scale(value, logarithmic: bool):
    return np.log1p(value) if logarithmic else value
