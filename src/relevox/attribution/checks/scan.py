"""All checks of the maps of one scan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from relevox.attribution.checks.class_swap import class_swap
from relevox.attribution.checks.perturbation import Curve, order_by, perturb, random_order
from relevox.attribution.checks.randomisation import randomisation
from relevox.attribution.checks.similarity import Similarity, brain_values
from relevox.attribution.checks.stability import agreement
from relevox.attribution.methods import attribute
from relevox.attribution.result import Attribution

IMAGE = "absolute_difference"
"""The order that knows no network and is hardest to beat: how far the scan lies from the mean scan."""

SHARES = np.linspace(0, 1, 11)
"""Where perturbation curves of different scans are read, so that they can be averaged."""


@dataclass(frozen=True)
class Finding:
    """One number about one scan."""

    check: str
    """``randomisation``, ``class_swap``, ``stability``, ``perturbation_regions``, ``perturbation_supervoxels``
    or ``lost``."""
    method: str
    """Of the map; in a perturbation also ``random``, ``absolute_input``, ``absolute_difference``, ``occlusion``."""
    step: str
    """Layers drawn last; which networks; direction of the order; layers that lost relevance."""
    position: float
    """Number of the step, or share of the brain that is replaced; NaN where neither."""
    measure: str
    """A field of ``Similarity``; ``fall`` (of the log odds), ``probability``, ``area``, ``gain`` (area beyond chance),
    ``beyond_image`` (area beyond the order of |x - mean|); ``share``."""
    value: float
    """NaN where not defined."""


@dataclass(frozen=True)
class CheckedScan:
    """What the checks of one scan start from."""

    model: nn.Module
    """The network that explains it; it has not learned from it."""
    x: torch.Tensor
    """``(1, c, x, y, z)``."""
    brain: np.ndarray
    """``(x, y, z)`` bool."""
    target: int
    """Explained class."""
    baseline: torch.Tensor
    """``(c, x, y, z)``: the mean of the training scans."""
    options: Mapping[str, Mapping[str, object]]
    """Of each method that is checked, by its name."""
    batch_size: int = 1
    """Images that may pass the network at once."""

    @cached_property
    def maps(self) -> dict[str, Attribution]:
        """The scan's own maps, by method."""
        return {method: self.explain(self.model, method) for method in self.options}

    def explain(self, model: nn.Module, method: str) -> Attribution:
        """Make a map by any network."""
        return attribute(model, self.x, self.target, method, **self.options[method])

    def values(self, found: Attribution) -> np.ndarray:
        """Take the voxels of the brain from a map, ``(v,)``."""
        return brain_values(found.relevance, self.brain[None])[0]


def dependence(scan: CheckedScan, seed: int = 0) -> list[Finding]:
    """Draw layers again, and swap the class."""
    found = []
    for method, options in scan.options.items():
        own = scan.maps[method].relevance
        steps = randomisation(scan.model, scan.x, scan.target, scan.brain[None], method, seed, trained=own, **options)
        for n, (group, (one,)) in enumerate(steps, start=1):
            found += _alike("randomisation", method, group, n, one)
        (swapped,) = class_swap(scan.model, scan.x, scan.brain[None], method, **options)
        found += _alike("class_swap", method, "", np.nan, swapped)
    return found


def stability(scan: CheckedScan, trained: Sequence[nn.Module], others: Sequence[nn.Module] = ()) -> list[Finding]:
    """Ask several networks for the map of the same class.

    Parameters
    ----------
    scan : CheckedScan
        The scan, with the network it was tested with.
    trained : sequence of torch.nn.Module
        Networks that learned from it: their maps may agree because they know the scan.
    others : sequence of torch.nn.Module
        Further ones: it told them when to stop, say.
    """
    found = []
    learned = range(1, 1 + len(trained))
    for method in scan.options:
        maps = agreement(
            [scan.values(scan.maps[method]), *(scan.values(scan.explain(m, method)) for m in (*trained, *others))]
        )
        for measure in Similarity.__dataclass_fields__:
            for step, mean in (
                ("all", maps.mean(measure)),
                ("tested with trained", maps.mean(measure, among=[0, *learned], with_=0)),
                ("trained", maps.mean(measure, among=learned)),
            ):
                found.append(Finding("stability", method, step, np.nan, measure, mean))
    return found


def faithfulness(
    scan: CheckedScan,
    kind: str,
    labels: np.ndarray,
    orders: Mapping[str, np.ndarray] | None = None,
    steps: int | None = None,
    n_random: int = 4,
    seed: int = 0,
) -> list[Finding]:
    """Replace regions in the order of each map, and in orders that know no network.

    Parameters
    ----------
    scan : CheckedScan
        What is taken apart.
    kind : str
        Name of the regions: ``regions`` or ``supervoxels``.
    labels : ndarray of int, (x, y, z)
        0 is never replaced.
    orders : mapping of str to ndarray, optional
        Further orders by name.
    steps, n_random : int
        Measurements along the order; orders by chance whose mean the others are held against.
    seed : int
        Of those orders.
    """
    image = scan.x[0].cpu().numpy()
    maps = {method: found.relevance[0].sum(0).cpu().numpy() for method, found in scan.maps.items()}
    wanted = {(method, "descending"): order_by(values, labels) for method, values in maps.items()}
    wanted |= {(method, "ascending"): order_by(-values, labels) for method, values in maps.items()}
    wanted["absolute_input", "descending"] = order_by(np.abs(image).sum(0), labels)
    difference = np.abs(image - scan.baseline.cpu().numpy()).sum(0)
    wanted[IMAGE, "descending"] = order_by(difference, labels)
    wanted |= {(name, "descending"): order for name, order in (orders or {}).items()}

    def curve(order: np.ndarray) -> Curve:
        return perturb(
            scan.model, scan.x[0], labels, scan.baseline, order, scan.target, steps=steps, batch_size=scan.batch_size
        )

    rng = np.random.default_rng(seed)
    by_chance = [curve(random_order(labels, rng)) for _ in range(n_random)]
    chance = float(np.mean([one.area() for one in by_chance]))
    check = f"perturbation_{kind}"
    found = _curve(check, "random", "random", by_chance)
    curves = {name: curve(order) for name, order in wanted.items()}
    of_image = curves[IMAGE, "descending"].area()
    for method, direction in wanted:
        one = curves[method, direction]
        found += _curve(check, method, direction, [one])
        found.append(Finding(check, method, direction, np.nan, "gain", one.area() - chance))
        if direction == "descending" and method != IMAGE:
            found.append(Finding(check, method, direction, np.nan, "beyond_image", one.area() - of_image))
    return found


def lost(scan: CheckedScan) -> list[Finding]:
    """Say where LRP loses relevance, as shares of its start, by group of layers."""
    if "lrp" not in scan.options:
        return []
    result = scan.maps["lrp"]
    start = float(result.start[0])
    shares: dict[str, float] = defaultdict(float)
    for layer, loss in result.losses.items():
        shares[".".join(layer.split(".")[:2])] += float(loss[0]) / start if start else np.nan
    return [Finding("lost", "lrp", group, n, "share", share) for n, (group, share) in enumerate(shares.items(), 1)]


def as_rows(findings: Iterable[Finding]) -> list[dict[str, object]]:
    """Return findings as rows of a table."""
    return [asdict(finding) for finding in findings]


def _alike(check: str, method: str, step: str, position: float, found: Similarity) -> list[Finding]:
    return [Finding(check, method, step, position, measure, value) for measure, value in vars(found).items()]


def _curve(check: str, method: str, step: str, curves: Sequence[Curve]) -> list[Finding]:
    """Return the mean of some curves of one scan, and of their areas."""
    fall = np.mean([one.margin[0] - one.at(SHARES) for one in curves], axis=0)
    probability = np.mean([one.at(SHARES, "probability") for one in curves], axis=0)
    found = [Finding(check, method, step, float(s), "fall", float(v)) for s, v in zip(SHARES, fall, strict=True)]
    found += [
        Finding(check, method, step, float(s), "probability", float(v))
        for s, v in zip(SHARES, probability, strict=True)
    ]
    areas = {"area": "margin", "area_probability": "probability"}
    return found + [
        Finding(check, method, step, np.nan, name, float(np.mean([one.area(of) for one in curves])))
        for name, of in areas.items()
    ]
