"""The truth of a simulated data set as a whole: causes and their weights, who they hit, what Bayes could reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from relevox import __version__
from relevox.config import PhantomSettings
from relevox.phantom import disability
from relevox.phantom.atrophy import TISSUES, VENTRICLES
from relevox.phantom.causes import CAUSES, LESIONS, REGIONS, label_model, measure_causes, parts
from relevox.phantom.cohort import PlannedScan
from relevox.phantom.contrast import ALL_SCANNERS
from relevox.phantom.counterfactual import CHANGES
from relevox.phantom.labels import SCANNER_MIXES
from relevox.store import layout, tables
from relevox.store.atomic import write_text

ANATOMIES = "anatomies"
"""Folder of the anatomies: below ``derivatives``, or beside the data sets that share them."""

TRUTH = "derivatives/truth"
"""Folder of what no stage but the benchmark may read."""

ASSOCIATED = 0.2
"""Correlation with the latent score from which a cause without weight is called associated."""

_BIDS_VERSION = "1.10.0"


def write_truth(
    truth: Path,
    cohort: Sequence[PlannedScan],
    measured: Sequence[Mapping[str, Mapping[str, float]]],
    phantom: PhantomSettings,
    seed: int,
) -> None:
    """Write the table of all scans and the card of the cohort.

    Parameters
    ----------
    truth : Path
        Folder of the truth.
    cohort : sequence of PlannedScan
        Labelled.
    measured : sequence of mapping
        ``volumes_ml`` and ``causes_ml`` of each.
    phantom : PhantomSettings
        Label model and confounding.
    seed : int
        The cohort's seed.
    """
    causes = measure_causes([card["causes_ml"] for card in measured])
    rows = [
        tables.id_columns(scan.id)
        | {
            "label": scan.label,
            "probability": scan.probability,
            "latent": scan.latent,
            "scanner": ALL_SCANNERS[scan.scanner].name,
            **{f"{kind.removesuffix('_lesions')}_ml": card["causes_ml"][kind] for kind in LESIONS},
            **{f"cause_{name}": float(values[n]) for name, values in causes.items()},
            **{f"true_{name}_ml": ml for name, ml in card["volumes_ml"].items()},
            **{f"loss_{tissue}": scan.change[tissue] for tissue in TISSUES[:-1]},
            f"growth_{VENTRICLES}": scan.change[VENTRICLES],
        }
        for n, (scan, card) in enumerate(zip(cohort, measured, strict=True))
    ]
    tables.write(layout.path(truth, "truth_table"), rows)

    model = label_model(phantom)
    best = disability.bayes([scan.probability for scan in cohort])
    scanners, counts = SCANNER_MIXES[phantom.scanner_mix]
    frequencies = disability.scanner_frequencies(phantom.confounding, counts)
    tables.write_json(
        layout.path(truth, "truth"),
        {
            "label": "own" if phantom.weights else phantom.label,
            "causes": dict(model.weights),
            "targets": targets(causes, np.array([scan.latent for scan in cohort]), model.weights),
            "counterfactuals": CHANGES if phantom.counterfactuals else {},
            "label_noise": model.noise,
            "label_draw": phantom.label_draw,
            "prevalence": phantom.prevalence,
            "bayes_accuracy": best.accuracy,
            "bayes_auc": best.auc,
            "confounding": phantom.confounding,
            "scanner_frequencies": {
                scanner.name: [float(share) for share in by_class]
                for scanner, by_class in zip(scanners, frequencies.T, strict=True)
            },
            "seed": seed,
            "version": __version__,
            "settings": phantom.model_dump(),
        },
    )


def targets(
    causes: Mapping[str, np.ndarray], latent: np.ndarray, weights: Mapping[str, float]
) -> list[dict[str, object]]:
    """Describe every cause: where its mask is, and whether it drives the score or goes along with it.

    Parameters
    ----------
    causes : mapping of str to np.ndarray
        ``(n,)`` each (:func:`causes.measure_causes`).
    latent : np.ndarray
        ``(n,)`` weighted sum of the causes.
    weights : mapping of str to float
        Of the label model.

    Returns
    -------
    list of dict
        ``cause``; ``weight`` (its own, or that of a sum it is part of); ``role``: ``causal`` with a weight,
        ``associated`` without one but with a correlation of at least ``ASSOCIATED`` to the latent score, else
        ``unrelated``; ``correlation_with_latent``; ``file`` (a kind of image) and its ``labels``.
    """
    described = []
    for cause in CAUSES:
        own = set(parts(cause))
        weight = sum(w for name, w in weights.items() if name == cause or own < set(parts(name)))
        r = float(np.corrcoef(causes[cause], latent)[0, 1]) if np.std(causes[cause]) > 0 else float("nan")
        lesions = next(iter(own)) in LESIONS
        described.append(
            {
                "cause": cause,
                "weight": weight,
                "role": "causal" if weight else "associated" if abs(r) >= ASSOCIATED else "unrelated",
                "correlation_with_latent": r,
                "file": "causes" if lesions else "cause_regions",
                "labels": [(LESIONS if lesions else REGIONS).index(part) + 1 for part in parts(cause)],
            }
        )
    return described


def describe(bids: Path, simulated: str) -> None:
    """Say in every folder of a data set what it holds."""
    for folder, name, kind in (
        (bids, "Simulated multiple sclerosis cohort", "raw"),
        (bids / simulated, "Simulated scans in template space", "derivative"),
        (bids / TRUTH, "What caused the disability of the simulated patients", "derivative"),
    ):
        _description(folder, name, kind)
    write_text(bids / ".bidsignore", "provenance/\n")


def describe_anatomies(root: Path) -> None:
    """Say what the folder of the anatomies holds."""
    _description(root, "Anatomies of simulated patients, without labels", "derivative")


def _description(folder: Path, name: str, kind: str) -> None:
    maker = [{"Name": "relevox", "Version": __version__, "Description": "simulated patients with known causes"}]
    tables.write_json(
        layout.path(folder, "description"),
        {"Name": name, "BIDSVersion": _BIDS_VERSION, "DatasetType": kind, "GeneratedBy": maker},
    )
