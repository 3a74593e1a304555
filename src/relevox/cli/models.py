"""What trained models are for: one new patient, other people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from relevox.cli.options import Study, Workers
from relevox.errors import SettingsError


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A study folder with trained models, or a bundle.")],
    t1w: Annotated[Path, typer.Option("--t1w", help="Raw T1-weighted image (NIfTI).")],
    flair: Annotated[Path, typer.Option("--flair", help="Raw T2-FLAIR image (NIfTI).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for probability, map, regions and page.")],
    age: Annotated[float | None, typer.Option(help="Years, for models trained with it.")] = None,
    sex: Annotated[str | None, typer.Option(help="F or M, for models trained with it.")] = None,
    disease_duration: Annotated[float | None, typer.Option(help="Years, the same.")] = None,
    workers: Workers = 0,
) -> None:
    """Predict and explain one new patient."""
    if sex not in (None, "F", "M"):
        raise SettingsError(f"expected F or M, but got {sex!r}", code="sex-unknown", row="--sex")
    given = {"age": age, "sex": None if sex is None else float(sex == "F"), "disease_duration": disease_duration}
    from relevox.engines.workers import cores
    from relevox.stages import predict as stage

    known = {name: value for name, value in given.items() if value is not None}
    page = stage.run(model, t1w, flair, out, threads=workers or cores(), covariates=known)
    print(page)


def export(
    out: Study,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="New folder for the models.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX files too; needs relevox[onnx].")] = False,
) -> None:
    """Write the models to be shared: weights and a model card, no patient."""
    from relevox.stages import export as stage

    print(stage.run(out, bundle, with_onnx=onnx))
