"""The arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Study = Annotated[Path, typer.Argument(metavar="OUT", help="The study folder.")]
Bids = Annotated[Path, typer.Argument(metavar="BIDS", help="The BIDS data set; it is never written to.")]
Workers = Annotated[int, typer.Option(min=0, help="Local processes; 0 = one per core, as far as memory allows.")]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Work on a Dask cluster: local, slurm, or the address of a scheduler."),
]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="A study.toml.")]
Preset = Annotated[str | None, typer.Option(help="default, paper, demo, bench or tiny.")]
Participants = Annotated[
    list[str] | None,
    typer.Option("--participant-label", help="Only these (with or without sub-); may be repeated."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave scans out that cannot be used, and list them.")]
IgnoreDerivatives = Annotated[
    bool, typer.Option("--ignore-derivatives", help="Compute masks even where the data set has its own.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write OUT/tensorboard, too.")]
Seed = Annotated[int, typer.Option(min=0, help="Everything random starts from it.")]
