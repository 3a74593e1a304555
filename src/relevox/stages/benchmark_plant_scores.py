"""Sum up what the network and the maps make of a planted signal, over scans, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relevox.config import PlantSettings, Settings
from relevox.stages.benchmark_maps import BASELINES
from relevox.stages.benchmark_plant_fold import Key, PlantedScan
from relevox.statistics.resampling import Estimate, mean_over_patients
from relevox.statistics.scores import classification_scores, patient_bootstrap
from relevox.store import tables

SCAN_COLUMNS = ("participant_id", "session_id", "fold", "method", "target", "measure", "value")

GAIN = "rank_accuracy_gain"
"""Rank accuracy minus that of the better of the maps that know no network, scan by scan."""


def scan_rows(scans: Sequence[PlantedScan]) -> list[dict[str, object]]:
    """Return one row a scan and measure: the distributions behind the means."""
    rows = []
    for scan in scans:
        values = {
            ("network", "classes", "label"): scan.label,
            ("network", "classes", "probability"): scan.probability,
            ("network", "signal", "effect"): scan.signal_effect,
            ("network", "decoy", "effect"): scan.decoy_effect,
        } | dict(scan.measures)
        rows += [
            tables.id_columns(scan.id) | {"fold": scan.fold} | _named(key) | {"value": value}
            for key, value in values.items()
            if np.isfinite(value)
        ]
    return rows


def summarise(
    scans: Sequence[PlantedScan], settings: Settings, plant: PlantSettings
) -> tuple[list[dict[str, object]], dict[str, object]]:
    """Return the table of the network and all methods, and a card with the conclusion in words.

    Parameters
    ----------
    scans : sequence of PlantedScan
        The test scans of all folds.
    settings : Settings
        ``evaluation`` (bootstrap) and ``seed``.
    plant : PlantSettings
        What was planted.
    """
    rows = _network_rows(scans, settings)
    explained = [scan for scan in scans if scan.measures]
    measures = _by_key(explained)
    patients = [scan.id.participant for scan in explained]
    rows += [_named(key) | vars(_mean(values, patients, settings)) for key, values in measures.items()]
    found = {(row["method"], row["target"], row["measure"]): row for row in rows}
    learned = is_learned(found)
    card = {
        "plant": plant.model_dump() | {"region": plant.where, "strength": plant.how_strong},
        "n_test_scans": len(scans),
        "n_with_signal": sum(scan.label for scan in scans),
        "n_found_by_network": sum(scan.found for scan in scans),
        "n_explained": len(explained),
        "learned": learned,
        "conclusion": _network_words(found, learned, plant),
    }
    return rows, card


def is_learned(found: dict[Key, dict[str, object]]) -> bool:
    """Tell whether the network tells the classes apart, and by the signal: both intervals lie above chance."""
    auc, effect = found["network", "classes", "auc"], found["network", "signal", "effect"]
    return bool(auc["ci_low"] > 0.5 and effect["ci_low"] > 0)


def _network_rows(scans: Sequence[PlantedScan], settings: Settings) -> list[dict[str, object]]:
    patients = np.array([scan.id.participant for scan in scans])
    y, p = (np.array([getattr(scan, name) for scan in scans]) for name in ("label", "probability"))
    evaluation = settings.evaluation
    values = vars(classification_scores(y, p))
    intervals = patient_bootstrap(y, p, patients, evaluation.n_bootstrap, evaluation.confidence, settings.seed)
    rows = [
        _named(("network", "classes", name)) | vars(Estimate(values[name], *intervals[name], len(scans)))
        for name in ("accuracy", "balanced_accuracy", "auc")
    ]
    for target in ("signal", "decoy"):
        effects = [getattr(scan, f"{target}_effect") for scan in scans]
        rows.append(_named(("network", target, "effect")) | vars(_mean(effects, patients, settings)))
    return rows


def _by_key(scans: Sequence[PlantedScan]) -> dict[Key, list[float]]:
    """Collect every measure over the scans, with the gain over the maps that know no network."""
    found: dict[Key, list[float]] = {}
    for scan in scans:
        for key, value in scan.measures.items():
            found.setdefault(key, []).append(value)
    known = [name for name in BASELINES if (name, "signal", "rank_accuracy") in found]
    if known:
        beaten = np.max([found[name, "signal", "rank_accuracy"] for name in known], axis=0)
        methods = [m for m, t, s in found if (t, s) == ("signal", "rank_accuracy") and m not in (*BASELINES, "chance")]
        for method in methods:
            gain = np.array(found[method, "signal", "rank_accuracy"]) - beaten
            found[method, "signal", GAIN] = gain.tolist()
    return found


def _mean(values: Sequence[float], patients: Sequence[str], settings: Settings) -> Estimate:
    evaluation = settings.evaluation
    return mean_over_patients(values, patients, evaluation.n_bootstrap, evaluation.confidence, settings.seed)


def _network_words(found: dict[Key, dict[str, object]], learned: bool, plant: PlantSettings) -> str:
    auc, effect, decoy = (
        found[key]
        for key in (("network", "classes", "auc"), ("network", "signal", "effect"), ("network", "decoy", "effect"))
    )
    said = (
        f"the planted {plant.kind} in {plant.where}: AUC {auc['value']:.2f} ({auc['ci_low']:.2f} to "
        f"{auc['ci_high']:.2f}); without the signal the margin falls by {effect['value']:.2f}, without the decoy by "
        f"{decoy['value']:.2f}"
    )
    if learned:
        return f"the network learned {said}"
    return f"the network did not learn {said}: its maps cannot be judged; raise the strength or the epochs"


def _named(key: Key) -> dict[str, object]:
    return dict(zip(("method", "target", "measure"), key, strict=True))
