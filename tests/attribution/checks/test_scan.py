"""All checks of one scan: who is asked, and what the numbers are made of."""

import numpy as np
import pytest
import torch

from relevox.attribution.checks import supervoxels
from relevox.attribution.checks.scan import (
    IMAGE,
    SHARES,
    CheckedScan,
    as_rows,
    dependence,
    faithfulness,
    lost,
    stability,
)


@pytest.fixture(scope="module")
def scan(trained, lesions):
    x, _, brain, mean = lesions
    options = {"lrp": {"start": "probability"}, "gradient_input": {"explained": "margin"}}
    return CheckedScan(trained, x[:1], brain[0], 1, mean, options, batch_size=4)


def one(findings, **wanted):
    (found,) = (f for f in findings if all(getattr(f, name) == value for name, value in wanted.items()))
    return found.value


def test_every_method_is_checked(scan):
    found = dependence(scan)
    assert {f.method for f in found} == set(scan.options)
    assert {f.check for f in found} == {"randomisation", "class_swap"}
    assert {f.step for f in found if f.check == "randomisation"} == {"head", "blocks.block2", "blocks.block1"}


def test_a_network_agrees_with_itself(scan):
    found = stability(scan, [scan.model, scan.model], [scan.model])
    for step in ("all", "tested with trained", "trained"):
        assert one(found, method="lrp", step=step, measure="pearson") == pytest.approx(1)


def test_the_gain_of_an_order_is_its_area_beyond_chance_and_beyond_the_image(scan):
    labels = supervoxels(scan.x[0].numpy(), scan.brain, n=30)
    found = faithfulness(scan, "supervoxels", labels, {"mine": np.unique(labels)[1:]}, steps=4, n_random=2)

    def area(method, step="descending"):
        return one(found, method=method, step=step, measure="area")

    for method in (*scan.options, "mine"):
        values = {m: one(found, method=method, step="descending", measure=m) for m in ("gain", "beyond_image")}
        assert values["gain"] == pytest.approx(area(method) - area("random", "random"))
        assert values["beyond_image"] == pytest.approx(area(method) - area(IMAGE))
    assert {f.position for f in found if f.measure == "fall"} == set(SHARES.tolist())
    ends = [f.value for f in found if f.measure == "fall" and f.position == 1]
    assert np.ptp(ends) < 1e-4  # all orders end with the mean scan


def test_a_shuffled_seed_gives_other_orders_by_chance_and_the_same_maps(scan):
    labels = supervoxels(scan.x[0].numpy(), scan.brain, n=30)
    a, b = (faithfulness(scan, "supervoxels", labels, steps=4, n_random=1, seed=seed) for seed in (0, 1))
    assert one(a, method="lrp", step="descending", measure="area") == one(
        b, method="lrp", step="descending", measure="area"
    )
    assert one(a, method="random", step="random", measure="area") != one(
        b, method="random", step="random", measure="area"
    )


def test_what_is_lost_and_what_arrives_are_the_start(scan):
    found = lost(scan)
    arrived = float(scan.maps["lrp"].total[0] / scan.maps["lrp"].start[0])
    assert arrived + sum(f.value for f in found) == pytest.approx(1, abs=1e-4)
    assert {f.step.split(".")[0] for f in found} == {"blocks", "head"}


def test_without_lrp_nothing_is_said_of_its_losses(scan):
    other = CheckedScan(scan.model, scan.x, scan.brain, 1, scan.baseline, {"gradient_input": {}})
    assert lost(other) == []


def test_a_finding_is_a_row(scan):
    rows = as_rows(lost(scan))
    assert set(rows[0]) == {"check", "method", "step", "position", "measure", "value"}
    assert torch.isfinite(torch.tensor([row["value"] for row in rows])).all()
