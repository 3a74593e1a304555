"""Labels of a simulated cohort: scores from measured causes, scanners from classes, scores of later years.

The same anatomies can be labelled many times: by other label models, and by
other draws of one (new label noise, scanners and image noise).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from relevox.config import PhantomSettings
from relevox.phantom import disability
from relevox.phantom.causes import label_model, measure_causes
from relevox.phantom.cohort import PlannedScan, draw_patients
from relevox.phantom.contrast import ALL_SCANNERS, EXTERNAL_SCANNERS, SCANNERS

SCANNER_MIXES = {
    "cohort": (SCANNERS, disability.SCANNER_COUNTS),
    "external": (EXTERNAL_SCANNERS, disability.EXTERNAL_COUNTS),
}
"""Scanners, and how many scans of either class each has made, by name of the mix."""

_YEARLY = 0.15
"""How much the latent score of an average patient grows in a year."""
_LASTING = 0.5
"""Correlation, between two visits, of what the causes do not explain."""
_MISSED_VISITS = 0.1


def label_cohort(
    scans: Sequence[PlannedScan], volumes_ml: Sequence[Mapping[str, float]], settings: PhantomSettings, seed: int
) -> tuple[PlannedScan, ...]:
    """Give every scan its score and its scanner.

    Parameters
    ----------
    scans : sequence of PlannedScan
        Of :func:`cohort.draw_patients`.
    volumes_ml : sequence of mapping
        What was measured in the anatomy of each (:func:`patient.cause_volumes`).
    settings : PhantomSettings
        Label model, noise, prevalence, confounding, scanner mix, draw.
    seed : int
        The cohort's seed.

    Returns
    -------
    tuple of PlannedScan
        With the label's fields filled in. The threshold is the one that gives the wanted prevalence here.
    """
    model = label_model(settings)
    latent = disability.latent_score(measure_causes(volumes_ml), model.weights)
    threshold = disability.threshold_for(latent, model.noise, settings.prevalence)
    probability = disability.class_probability(latent, threshold, model.noise)
    generators = [np.random.default_rng([seed, 6, scan.index, settings.label_draw]) for scan in scans]
    unexplained = np.array([rng.standard_normal() for rng in generators])  # a patient's visits share their seed
    observed = latent + model.noise * unexplained
    ladder = disability.ladder(observed, threshold, settings.score)
    used, counts = SCANNER_MIXES[settings.scanner_mix]
    frequencies = np.cumsum(disability.scanner_frequencies(settings.confounding, counts), axis=1)
    labelled = []
    for n, (scan, rng, score) in enumerate(zip(scans, generators, ladder(observed), strict=True)):
        of_class = frequencies[int(score >= disability.THRESHOLD)]
        drawn = min(int(np.searchsorted(of_class, rng.random(scan.visit + 1)[-1], side="right")), len(used) - 1)
        scan = replace(
            scan,
            unexplained=float(unexplained[n]),
            label_draw=settings.label_draw,
            latent=float(latent[n]),
            probability=float(probability[n]),
            score=float(score),
            scanner=ALL_SCANNERS.index(used[drawn]),
        )
        later = _later_scores(scan, ladder, model.noise, settings, seed) if scan.visit == 0 else ()
        labelled.append(replace(scan, later=later))
    return tuple(labelled)


def draw_cohort(settings: PhantomSettings, seed: int) -> tuple[PlannedScan, ...]:
    """Draw and label a cohort without making an anatomy: causes are as drawn, not as measured.

    Good for studying distributions of thousands of patients in a second; ``relevox simulate`` measures.
    """
    scans = draw_patients(settings, seed)
    return label_cohort(scans, [drawn_volumes(scan) for scan in scans], settings, seed)


def drawn_volumes(scan: PlannedScan) -> dict[str, float]:
    """Return what :func:`patient.cause_volumes` would measure if drawn changes came true, up to a factor a region."""
    regions = {name: float(np.exp(-loss)) for name, loss in scan.change.items()}
    regions["lateral_ventricles"] = 1.0 / regions["lateral_ventricles"]  # drawn as growth, the lobes as loss
    lesions = {"periventricular_lesions": scan.periventricular_ml, "other_lesions": scan.other_ml}
    return regions | lesions | {"intracranial": 1.0}


def _later_scores(
    first: PlannedScan, ladder: disability.Ladder, noise: float, settings: PhantomSettings, seed: int
) -> tuple[tuple[date, float], ...]:
    """Score the years after the first scan: those whose causes are strong get worse faster.

    What the causes do not explain changes between visits, so a later score is neither today's again nor known
    from the image alone.
    """
    rng = np.random.default_rng([seed, 7, first.index, settings.label_draw])
    scores = []
    for year in range(1, settings.follow_up_years + 1):
        days, attends, news = int(rng.integers(-60, 61)), rng.random() >= _MISSED_VISITS, rng.standard_normal()
        unexplained = _LASTING * first.unexplained + np.sqrt(1 - _LASTING**2) * news
        worse = year * _YEARLY * np.exp(first.latent / 2)
        score = ladder(np.array(first.latent + worse + noise * unexplained))
        if attends:
            scores.append((first.scan_date + timedelta(days=round(365.25 * year) + days), float(score)))
    return tuple(scores)
