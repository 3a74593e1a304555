"""Who is in the study and what is predicted (SPEC 1)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from relevox.config.section import PositiveFloat, Section

KNOWN_CHARACTERISTICS = (
    "ms_type",
    "topography",
    "confirmed_diagnosis",
    "oligoclonal_bands",
    "treatment",
    "age_at_onset",
    "age_at_diagnosis",
)
"""Columns that cohort tables of multiple sclerosis show (paper, Table 2)."""


class CohortSettings(Section):
    """Who is in the study and what is predicted (SPEC 1)."""

    score: str = "EDSS"
    """Column that holds the clinical score."""
    threshold: float = 3.0
    """Scores that reach it are class 1."""
    direction: Literal["at_least", "at_most"] = "at_least"
    """Which side of the threshold is class 1."""
    exclude_between: tuple[float, float] | tuple[()] = ()
    """Scans whose score lies strictly between these two are left out: ``[2.0, 4.0]`` keeps EDSS <= 2 and >= 4."""
    window_from_days: Annotated[int, Field(ge=0)] = 0
    """A score must be dated at least this many days from the scan; above 0 it is a later visit's."""
    window_days: Annotated[int, Field(ge=0)] = 183
    """A score may be dated at most this many days from the scan."""
    window_direction: Literal["after", "before", "both"] = "after"
    """On which side of the scan the score may lie."""
    window_choice: Literal["closest", "first", "last"] = "closest"
    """Which score of the window counts: the closest to the scan, the earliest or the latest."""
    score_at_scan: Literal["ignored", "recorded", "required"] = "ignored"
    """Whether the score at the time of the scan is kept beside a later outcome; what a model has to beat."""
    score_at_scan_days: Annotated[int, Field(ge=0)] = 183
    """The score at the scan is the closest one dated at most this many days before or after it."""
    outcome: Literal["threshold", "worsening"] = "threshold"
    """Class 1 is a score that reaches the threshold, or one that is worse than the score at the scan by a step."""
    worsening_step: PositiveFloat = 1.0
    """Change that counts as worsening."""
    worsening_high_above: float = 5.5
    """Above this score at the scan a smaller change counts (the EDSS is coarser there)."""
    worsening_high_step: PositiveFloat = 0.5
    """That smaller change."""

    describe: tuple[str, ...] = KNOWN_CHARACTERISTICS
    """Further columns of participants.tsv and the sessions tables that the cohort table describes. Those of the
    default may be missing."""

    @property
    def valid_scores(self) -> tuple[float, ...]:
        """Values the score can take; empty when the score is not one we know."""
        if self.score.upper() == "EDSS":
            return (0.0, *(step / 2 for step in range(2, 21)))  # 0.5 does not exist
        if self.score.upper() == "PDDS":
            return tuple(float(step) for step in range(9))
        return ()

    @property
    def needs_score_at_scan(self) -> bool:
        """Whether a scan without a score at its time is left out."""
        return self.score_at_scan == "required" or self.outcome == "worsening"

    @property
    def keeps_score_at_scan(self) -> bool:
        """Whether the score at the scan is looked for."""
        return self.needs_score_at_scan or self.score_at_scan == "recorded"

    @property
    def window_words(self) -> str:
        """When the score was given: ``0 to 183 days after the scan``."""
        side = {"after": "after", "before": "before", "both": "before or after"}[self.window_direction]
        return f"{self.window_from_days} to {self.window_days} days {side} the scan"

    @property
    def class_words(self) -> tuple[str, str]:
        """Short names of class 0 and class 1: ``EDSS < 3`` and ``EDSS >= 3``."""
        if self.outcome == "worsening":
            return f"{self.score} not worse", f"{self.score} worse"
        later = "later " if self.window_from_days else ""
        if self.exclude_between:
            low, high = self.exclude_between
            ends = f"{later}{self.score} <= {low:g}", f"{later}{self.score} >= {high:g}"
            return ends if self.direction == "at_least" else ends[::-1]
        signs = ("<", ">=") if self.direction == "at_least" else (">", "<=")
        return tuple(f"{later}{self.score} {sign} {self.threshold:g}" for sign in signs)

    @property
    def outcome_words(self) -> str:
        """What class 1 means, in full: ``EDSS >= 3``."""
        if self.outcome == "worsening":
            change = "rise" if self.direction == "at_least" else "fall"
            return (
                f"{change} of the {self.score} by {self.worsening_step:g} or more ({self.worsening_high_step:g} or "
                f"more from above {self.worsening_high_above:g}), {self.window_words}"
            )
        return self.class_words[1].removeprefix("later ") + (f", {self.window_words}" if self.window_from_days else "")

    def excludes(self, score: float) -> bool:
        """Whether a score lies strictly inside ``exclude_between``."""
        return bool(self.exclude_between) and self.exclude_between[0] < score < self.exclude_between[1]

    def label(self, score: float, at_scan: float = math.nan) -> int:
        """Class of a score.

        Parameters
        ----------
        score : float
            The matched score.
        at_scan : float
            The score at the scan, needed where the outcome is worsening.
        """
        if self.outcome == "worsening":
            assert math.isfinite(at_scan)
            change = score - at_scan if self.direction == "at_least" else at_scan - score
            high = at_scan > self.worsening_high_above
            return int(change >= (self.worsening_high_step if high else self.worsening_step))
        return int(score >= self.threshold if self.direction == "at_least" else score <= self.threshold)

    @model_validator(mode="after")
    def _check(self) -> CohortSettings:
        if self.exclude_between:
            low, high = self.exclude_between
            # a score that is kept must lie on its own side of the threshold
            if not (low < self.threshold <= high if self.direction == "at_least" else low <= self.threshold < high):
                raise ValueError(f"exclude_between needs a score on either side of the threshold {self.threshold:g}")
            if self.outcome == "worsening":
                raise ValueError("exclude_between has no meaning where the outcome is worsening")
        if self.window_from_days > self.window_days:
            raise ValueError(f"window_from_days {self.window_from_days} is above window_days {self.window_days}")
        if self.keeps_score_at_scan and self.window_from_days <= self.score_at_scan_days:
            raise ValueError(
                f"a later outcome needs window_from_days above score_at_scan_days ({self.score_at_scan_days}), "
                "or one score could be both"
            )
        return self
