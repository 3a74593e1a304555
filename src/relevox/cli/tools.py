"""Beside the road: DICOM, this machine, printed tables, networks of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relevox.cli.options import Seed


def import_dicom(
    dicom: Annotated[Path, typer.Argument(metavar="DICOM", help="Folder of DICOM files; it is never written to.")],
    bids: Annotated[Path, typer.Argument(metavar="BIDS", help="The data set: new, or one to be added to.")],
    ids: Annotated[
        Path, typer.Option("--ids", help="Table of pseudonyms, kept outside the data set; made where there is none.")
    ],
    series: Annotated[
        Path | None,
        typer.Option("--series", help="Series that a person chose: participant_id, session_id, series, suffix."),
    ] = None,
) -> None:
    """Bring DICOM folders into a BIDS data set, under pseudonyms."""
    from relevox.stages import import_dicom as stage

    written = stage.run(dicom, bids, ids, series)
    sessions = "1 session was" if len(written) == 1 else f"{len(written)} sessions were"
    print(f"{sessions} written; who is who stands in {ids}, which stays with you")


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For other programs to read.")] = False,
) -> None:
    """Say what is installed, which engines and devices were found, and how to get more."""
    import json

    from relevox.report import diagnosis
    from relevox.stages import doctor as stage

    findings = stage.run()
    if as_json:
        print(json.dumps(stage.as_json(findings), indent=2))
    else:
        diagnosis.show(findings)


def published_tables(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Printed rows: table,row,unit,kind,levels,group0,...")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the result, TSV and LaTeX.")] = None,
) -> None:
    """Recompute the p-values of a paper's printed tables from its counts, means and SDs."""
    from relevox.report.plain import aligned
    from relevox.stages import published as stage

    table, sentence = stage.run(file, out)
    print(f"{aligned(table)}\n\n{sentence}")


def train_brain_network(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for weights and card.")],
    heads: Annotated[int, typer.Option(min=1, help="Simulated heads to train on.")] = 4500,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="0 = all cores.")] = 0,
) -> None:
    """Train the brain-extraction network on simulated heads."""
    from relevox.engines.workers import cores
    from relevox.stages import train_brain_network as stage

    print(stage.run(out, seed=seed, n_heads=heads, device=device, threads=threads or cores()))


def train_lesion_network(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for weights and card.")],
    patches: Annotated[int, typer.Option(min=1, help="Simulated patches to train on.")] = 8000,
    seed: Seed = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, help="0 = all cores.")] = 0,
) -> None:
    """Train a network that finds lesions on simulated scans."""
    from relevox.engines.workers import cores
    from relevox.stages import train_lesion_network as stage

    print(stage.run(out, seed=seed, n_patches=patches, device=device, threads=threads or cores()))
