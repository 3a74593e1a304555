"""Which method tells what the atrophy of a region contributed to the answer?

On a study of simulated patients with counterfactual images, region by region:
what each method says towards class 1, beside what the network itself does with
that region. The truth is the network's: by how much its margin changes when the
simulator takes 10 % of a lobe (the counterfactual image), times what the
patient has lost of it. Run it on a label with atrophy:

    python benchmarks/atrophy_attribution.py BIDS STUDY --folds 0 1 --scans 40
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from relevox import config
from relevox.attribution import mean_scan, occlude_regions
from relevox.attribution.atrophy import atrophy_slopes, exchange_tissue, tissue_values, warp
from relevox.attribution.integrated_gradients import integrated_gradients
from relevox.attribution.shapley import region_shapley
from relevox.imaging.regions import REGION_INDEX
from relevox.phantom.plant import loss_velocity
from relevox.phantom.warping import exponential
from relevox.stages.benchmark import cause_weights
from relevox.stages.benchmark_truth import read_causes, read_truth
from relevox.statistics.folds import cohort_rounds
from relevox.statistics.resampling import correlation
from relevox.store import explanations, layout, models, tables, template

STEP = 0.1
"""Log volume that a region loses and gains; the simulator's counterfactual lobes lose as much."""

LOBES = ("frontal_cortex", "temporal_cortex", "parietal_cortex", "occipital_cortex", "cerebellar_cortex")
AT_ONCE = 16


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bids", type=Path)
    parser.add_argument("study", type=Path)
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--scans", type=int, default=40, help="test scans a fold")
    parser.add_argument("--pairs", type=int, default=4, help="of orders, for the Shapley values")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    settings = config.from_toml(layout.existing(arguments.study, "settings").read_text(encoding="utf-8"))
    truth = read_truth(arguments.bids, settings.preprocessing.space)
    weights = cause_weights(truth)
    parts = [of_fold(arguments, settings, truth, fold) for fold in arguments.folds]
    found = {method: np.concatenate([part[0][method] for part in parts]) for method in parts[0][0]}
    causes, effects = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
    report(found, causes, effects, [weights[lobe] for lobe in LOBES])


def of_fold(arguments, settings, truth, index) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return ``(n, 5)`` by method, log volume truly lost, and the margin's change where the simulator takes 10 %."""
    study, size = arguments.study, settings.preprocessing.voxel_size_mm
    cohort = tables.read_cohort(study)
    fold = cohort_rounds(cohort, tables.read_folds(study, cohort))[index]
    rows = [row for row in np.sort(fold.test) if is_changed(truth, cohort.ids[row])][: arguments.scans]
    inputs = np.load(layout.existing(study, "inputs"), mmap_mode="r")
    network, _ = models.load(study, index)
    head = template.load(size)
    regions = torch.from_numpy(head.regions.copy())
    labels = [REGION_INDEX[name] for name in LOBES]
    mean = torch.from_numpy(mean_scan(inputs, fold.train))
    x = torch.from_numpy(np.asarray(inputs[rows], np.float32))
    log_volume = np.stack([read_causes(truth, cohort)[0][lobe] for lobe in LOBES], axis=1)
    lost = log_volume[fold.train].mean(axis=0) - log_volume[rows]

    shares = [torch.from_numpy(head.grey * (head.regions == label)) for label in labels]
    grey, fluid = (tissue_values(x, torch.from_numpy(tissue.copy())) for tissue in (head.grey, head.csf))
    from_image = -np.log(tissue_shares(x, shares, grey, fluid))
    from_jacobian = np.stack(
        [mean_log_jacobian(study, settings, cohort.ids[row], head.regions, labels) for row in rows]
    )
    from_image, from_jacobian = (values - values.mean(axis=0) for values in (from_image, from_jacobian))

    gradients = integrated_gradients(network, x, 1, baseline=mean, steps=8, explained="margin", batch_size=AT_ONCE)
    gradients = gradients.relevance.sum(1)
    shapley = region_shapley(network, x, regions, mean, 1, pairs=arguments.pairs, batch_size=AT_ONCE)
    occluded = occlude_regions(network, x, regions, mean, 1, regions=labels, batch_size=AT_ONCE)
    exchanged = (tuple(exchange_tissue(x, share, grey, fluid, sign * STEP) for sign in (1, -1)) for share in shares)
    flows = (loss_velocity(head.regions == label, head.csf, head.brain_mask, size) for label in labels)
    warped = (
        tuple(warp(x, torch.from_numpy(exponential(sign * STEP * flow, size) / size)) for sign in (1, -1))
        for flow in flows
    )
    by_exchange, by_warp = (
        atrophy_slopes(network, x, pairs, STEP, 1, batch_size=AT_ONCE).slope.numpy() for pairs in (exchanged, warped)
    )
    found = {
        "integrated gradients": np.stack([gradients[:, regions == label].sum(1).numpy() for label in labels], axis=1),
        "occlusion by the mean": occluded.delta.numpy(),
        "Shapley values": shapley.value[:, [shapley.regions.index(label) for label in labels]].numpy(),
        "slope by flow": by_warp,
        "slope by exchange": by_exchange,
        "flow x log J": by_warp * from_jacobian,
        "exchange x log J": by_exchange * from_jacobian,
        "exchange x volume in T1w": by_exchange * from_image,
        "exchange x true volume": by_exchange * lost,
        "log J, no network": from_jacobian,
        "volume in T1w, no network": from_image,
    }
    return (
        found,
        lost,
        np.array([effect(truth, cohort.ids[row], scan, network) for row, scan in zip(rows, x, strict=True)]),
    )


def is_changed(truth, scan) -> bool:
    """Whether the simulator has changed this scan."""
    place = {"space": truth.space, "desc": f"changed_{LOBES[0]}", "suffix": "T1w"}
    return layout.path(truth.folder, "counterfactual", scan, **place).exists()


def mean_log_jacobian(study, settings, scan, regions, labels) -> list[float]:
    """Log volume lost by each lobe as the registration sees it."""
    space = settings.preprocessing.space
    jacobian = explanations.read_on_grid(study, "jacobian", scan, regions.shape, space=space)
    return [float(np.log(np.maximum(jacobian[regions == label], 1e-3)).mean()) for label in labels]


def tissue_shares(x, shares, grey, fluid) -> np.ndarray:
    """How much of each lobe's grey matter is there, judged by the T1w between grey and fluid, ``(n, 5)``."""
    t1w = ((x[:, 0] - fluid[:, :1, None, None]) / (grey - fluid)[:, :1, None, None]).clamp(0, 1)
    return np.stack([((t1w * share).sum((1, 2, 3)) / share.sum()).numpy() for share in shares], axis=1)


def effect(truth, scan, x, network) -> list[float]:
    """Change of class 1's margin when the simulator takes 10 % of each lobe."""
    changed = truth.changed(scan, x.numpy())
    with torch.no_grad():
        logits = network(torch.stack([x, *(torch.from_numpy(changed[lobe]) for lobe in LOBES)])).double()
    margin = logits[:, 1] - logits[:, 0]
    return (margin[1:] - margin[0]).tolist()


def report(found, lost, effects, weights) -> None:
    """Print how every method stands to what the network really does with the lobes."""
    print(f"{len(lost)} test scans\n\nchange of the margin when a lobe alone loses 10 % (weight in the label):")
    for lobe, weight, value in zip(LOBES, weights, effects.T, strict=True):
        print(f"  {lobe:<20} ({weight:+.2f}) {value.mean():+.2f}, SD {value.std():.2f}")
    contributed = effects / STEP * lost
    print(
        "\nA: slopes against that change; B: attributions against what the lobe contributed to the margin\n"
        "(change / 0.1 x volume lost). r over scans and lobes, mean r within lobes; mean |attribution| by lobe"
    )
    for method, values in found.items():
        kind, truth = ("A", effects) if method.startswith("slope") else ("B", contributed)
        within = np.mean([correlation(values[:, k], truth[:, k]) for k in range(len(LOBES))])
        over_all = correlation(values.ravel(), truth.ravel())
        print(f"  {kind} {method:<26} r = {over_all:+.2f} {within:+.2f}   {sizes(values)}")
    print(f"    {'the truth of B':<44} {sizes(contributed)}")


def sizes(values) -> str:
    """Mean absolute value of each lobe."""
    return ", ".join(f"{size:.2f}" for size in np.abs(values).mean(axis=0))


if __name__ == "__main__":
    main()
