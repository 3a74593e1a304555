"""Simulated patients with known causes, and the marks that explanations earn on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relevox.cli.options import Seed, Workers
from relevox.cli.road import by_memory, held, local, resolve
from relevox.errors import SettingsError


def simulate(
    bids: Annotated[Path, typer.Argument(metavar="BIDS", help="Folder of the new data set.")],
    preset: Annotated[str, typer.Option(help="tiny, demo, bench or paper; NAME_external: another centre.")] = "tiny",
    label: Annotated[
        str | None,
        typer.Option(help="paper, frontotemporal, location, location_atrophy, load, or all: a data set each."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="CAUSE=W", help="A cause of one's own: frontal_cortex=-1; may be repeated."),
    ] = None,
    label_noise: Annotated[float | None, typer.Option(help="SD beside the causes' 1.")] = None,
    label_draw: Annotated[int | None, typer.Option(help="Label noise, scanners, image noise anew.")] = None,
    effect: Annotated[float | None, typer.Option(help="Spread of the causes; 1 = the paper's.")] = None,
    confounding: Annotated[float | None, typer.Option(help="Of scanner and class, 0 to 1.")] = None,
    scanner_mix: Annotated[str | None, typer.Option(help="cohort or external.")] = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of class 1.")] = None,
    n_patients: Annotated[int | None, typer.Option(help="Patients.")] = None,
    n_repeated: Annotated[int | None, typer.Option(help="Of whom scanned twice.")] = None,
    counterfactuals: Annotated[
        int | None,
        typer.Option(help="Patients who are rendered again with each cause changed."),
    ] = None,
    native_heads: Annotated[int | None, typer.Option(help="Last patients, with raw images of a head.")] = None,
    follow_up_years: Annotated[
        int | None,
        typer.Option(help="Years with one more score each, without a scan."),
    ] = None,
    seed: Seed = 0,
    workers: Workers = 0,
) -> None:
    """Simulate patients whose disability has known causes, as a BIDS data set."""
    changes = {
        name: value
        for name, value in locals().items()
        if name not in ("bids", "preset", "weight", "seed", "workers") and value is not None
    }
    from relevox.config import phantom_preset
    from relevox.stages import simulate as stage

    if weight:
        changes["weights"] = dict(_weight(text) for text in weight)
    phantom = phantom_preset(preset, **changes)
    stage.run(bids, phantom, seed, by_memory(workers) if phantom.native_heads else local(workers))
    print(bids)


def _weight(text: str) -> tuple[str, str]:
    cause, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(
            f"expected CAUSE=W, frontal_cortex=-1 say, but got {text!r}", code="weight-unreadable", row="--weight"
        )
    return cause, value


def benchmark(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="[BIDS] OUT", help="The simulated data set and its study; with --plant any study."),
    ],
    plant: Annotated[str | None, typer.Option(help="blob or atrophy: put a known signal into the scans.")] = None,
    region: Annotated[str | None, typer.Option(help="Where, cerebellar_cortex say.")] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="Contrast of a blob in brain medians, loss of log volume of atrophy."),
    ] = None,
    start: Annotated[str | None, typer.Option(help="study (fine-tune its networks) or scratch.")] = None,
    folds: Annotated[int | None, typer.Option(help="How many are trained.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Of each training.")] = None,
    workers: Workers = 0,
) -> None:
    """Mark the attention maps against known causes: simulated ones, or a signal planted in any study's scans."""
    if len(folders) != (2 if plant is None else 1):
        raise SettingsError(
            f"expected {'BIDS and OUT' if plant is None else 'OUT alone'}, but got {len(folders)} folders",
            code="benchmark-folders",
            remedy="type relevox benchmark BIDS OUT for simulated patients, or relevox benchmark OUT --plant blob",
        )
    out = folders[-1]
    settings = resolve(out, None, None)
    if plant is None:
        from relevox.stages import benchmark as stage

        with held(out, settings):
            stage.run(folders[0], out, settings, local(workers))
        return
    from relevox.config import plant_settings
    from relevox.stages import benchmark_plant
    from relevox.store import layout

    layout.existing(out, "settings")
    given = {"region": region, "strength": strength, "start": start, "folds": folds, "epochs": epochs}
    planted = plant_settings(kind=plant, **given)
    with held(out, settings):
        print(benchmark_plant.run(out, settings, planted, local(workers)))
