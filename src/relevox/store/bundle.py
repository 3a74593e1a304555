"""A bundle: the models of a study in one folder that can be given away.

::

    BUNDLE/ model.json                 what the models are, the training cohort in counts and moments, every hash
            MODEL_CARD.md              the same for a reader
            fold-0.safetensors ...     weights, one file a fold
            mean_scan.safetensors      the mean input of the training cohort
            fold-0.onnx ...            optional

No patient, id, date or path stands in it. Whatever is read from it is verified first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from relevox import __version__
from relevox.config import Settings
from relevox.errors import ModelError, StudyError
from relevox.records import Cohort
from relevox.statistics.novelty import MeasureRange, TrainingRange
from relevox.store import layout, models, shared_model, tables, weights
from relevox.store.atomic import write_bytes, write_text
from relevox.store.models import ModelCard
from relevox.store.provenance import sha256
from relevox.store.shared_model import SharedModel

FORMAT = 1
"""Of ``model.json``; a reader refuses a higher one."""

_OF_A_FOLD = ("fold", "sha256", "training")
_ENTRIES = {
    *("format", "version", "note", "files", "settings"),
    *("model", "folds", "cohort", "scores", "training_range", "map_checks"),
}
_COPY_AGAIN = "copy the bundle again from its source"


def open_model(path: Path) -> SharedModel:
    """Read the models of a study folder or of a bundle.

    Raises
    ------
    StudyError
        When the folder is neither, or the study is not finished.
    ModelError
        When the models cannot be trusted.
    """
    if layout.path(path, "settings").exists():
        return shared_model.of_study(path)
    if layout.path(path, "bundle_card").exists():
        return read(path)
    raise StudyError(
        "expected a study folder (with study.toml) or a bundle (with model.json), but it is neither",
        code="model-unknown",
        file=Path(path).name,
        remedy="name the folder of a finished study, or what 'relevox export' wrote",
    )


def write(folder: Path, model: SharedModel, text: str, onnx: Mapping[int, bytes] | None = None) -> Path:
    """Write a bundle; ``model.json``, without which nothing counts, comes last.

    Parameters
    ----------
    folder : Path
        New or empty.
    model : SharedModel
        What is shared.
    text : str
        ``MODEL_CARD.md``.
    onnx : mapping of int to bytes, optional
        By fold.

    Returns
    -------
    Path
        ``model.json``.
    """
    files, cards = [], []
    for card, network in zip(model.cards, model.networks, strict=True):
        files.append(layout.path(folder, "bundle_weights", fold=card.fold))
        cards.append(asdict(card) | {"sha256": weights.save(files[-1], network.state_dict())})
    files.append(layout.path(folder, "bundle_mean_scan"))
    weights.save(files[-1], {"mean_scan": torch.from_numpy(np.asarray(model.mean_scan))})
    for fold, content in (onnx or {}).items():
        files.append(write_bytes(layout.path(folder, "bundle_onnx", fold=fold), content))
    files.append(write_text(layout.path(folder, "bundle_text"), text))
    # entries that differ between the folds belong to them, the others are said once
    own = {key for key in cards[0] if key in _OF_A_FOLD or any(card[key] != cards[0][key] for card in cards)}
    return tables.write_json(
        layout.path(folder, "bundle_card"),
        {
            "format": FORMAT,
            "version": __version__,
            "note": "research only; not a medical device",
            "model": {key: value for key, value in cards[0].items() if key not in own},
            "cohort": model.cohort,
            "scores": model.scores,
            "training_range": asdict(model.training_range),
            "map_checks": model.map_checks,
            "folds": [{key: value for key, value in card.items() if key in own} for card in cards],
            "settings": _settings(model.settings),
            "files": {file.name: sha256(file) for file in sorted(files)},
        },
    )


def read(folder: Path) -> SharedModel:
    """Read a bundle that can be trusted.

    Raises
    ------
    ModelError
        For a bundle of a newer relevox, missing folds, files that are missing, damaged or changed, weights that do
        not fit the network, and models for other channels, grid or scale than ``settings`` say.
    """
    file = layout.path(folder, "bundle_card")
    values = tables.read_json(file)
    _check_version(values, file.name)
    if set(values) != _ENTRIES:
        raise _broken(f"these entries are missing or unknown: {', '.join(sorted(set(values) ^ _ENTRIES))}")
    try:
        settings = Settings.model_validate(values["settings"])
        cards = tuple(models.read_card(values["model"] | fold, file.name) for fold in values["folds"])
        described = values["training_range"] | {"measures": [_measure(m) for m in values["training_range"]["measures"]]}
        training_range = TrainingRange(**{key: _frozen(value) for key, value in described.items()})
        scores, map_checks = (
            [row | {key: _number(row[key]) for key in numbers} for row in values[entry]]
            for entry, numbers in (("scores", tables.SCORE_NUMBERS), ("map_checks", tables.CHECK_NUMBERS))
        )
        cohort, files = _frozen(dict(values["cohort"])), dict(values["files"])
    except (ValidationError, TypeError, KeyError, AttributeError) as error:
        raise _broken(f"it does not hold what it should: {' '.join(str(error).splitlines()[:3])}") from None
    if [card.fold for card in cards] != list(range(settings.training.n_folds)):
        found = ", ".join(str(card.fold) for card in cards) or "none"
        raise ModelError(
            f"expected the models of {settings.training.n_folds} folds, but it holds those of {found}",
            code="model-missing",
            file=file.name,
            row="folds",
            remedy=f"{_COPY_AGAIN}: fewer models would be another classifier",
        )
    models.check_inputs(cards, settings, file.name)
    _check_files(folder, cards, files)
    networks = tuple(models.read_network(card, layout.path(folder, "bundle_weights", fold=card.fold)) for card in cards)
    mean = weights.load(layout.path(folder, "bundle_mean_scan")).get("mean_scan")
    shape = (len(cards[0].channels), *settings.preprocessing.shape)
    if mean is None or tuple(mean.shape) != shape or mean.dtype != torch.float32:
        raise _broken(f"expected a mean scan of {shape} voxels", layout.PATTERNS["bundle_mean_scan"])
    return SharedModel(settings, cards, networks, mean.numpy(), cohort, scores, training_range, map_checks)


def refuse_traces(folder: Path, cohort: Cohort, study: Path) -> None:
    """Search every byte of a bundle for patients' ids and for the study's path: nothing else may hide there.

    Raises
    ------
    ModelError
        Naming the file that holds one.
    """
    ids = sorted({scan.participant for scan in cohort.ids} | {scan.key for scan in cohort.ids})
    traces = [name.encode() for name in ids] + [str(Path(study).resolve()).encode()]
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        found = [trace for trace in traces if len(trace) > 4 and trace in content]  # shorter ones are in any noise
        if found:
            raise ModelError(
                f"the name of a patient or a path of this machine would leave with it ({len(found)} found)",
                code="bundle-trace",
                file=file.name,
                remedy="look for names in study.toml and in the scanners' names of cohort.tsv",
            )


def _check_version(values: Mapping[str, object], file: str) -> None:
    number, version = values.get("format"), values.get("version")
    if not isinstance(number, int) or not isinstance(version, str):
        raise _broken("it has no format or no version: it is not the card of a bundle", file)
    if number > FORMAT or models.is_newer(version):
        raise ModelError(
            f"the bundle was written by relevox {version} (format {number}), which is newer than this one "
            f"({__version__}, format {FORMAT})",
            code="model-newer",
            file=file,
            remedy="update relevox",
        )


def _check_files(folder: Path, cards: tuple[ModelCard, ...], files: Mapping[str, str]) -> None:
    """Compare every file with its hash. A changed text for readers is warned of only: a person may add to it."""
    needed = [layout.PATTERNS["bundle_weights"].format(fold=card.fold) for card in cards]
    listed = [*dict.fromkeys([*needed, layout.PATTERNS["bundle_mean_scan"], *files])]
    for name in listed:
        if name not in files or not (folder / Path(name).name).is_file():
            raise ModelError(
                "expected this file in the bundle, but it is not there",
                code="model-missing",
                file=name,
                remedy=_COPY_AGAIN,
            )
        if name != layout.PATTERNS["bundle_text"] and sha256(folder / Path(name).name) != files[name]:
            raise ModelError(
                "the file is not the one the bundle was written with",
                code="model-changed",
                file=name,
                remedy=_COPY_AGAIN,
            )


def _settings(settings: Settings) -> dict[str, object]:
    """Settings without the machine's: another one has other devices."""
    training = settings.training.model_copy(update={"device": "auto"})
    return settings.model_copy(update={"training": training}).model_dump(mode="json")


def _measure(values: Mapping[str, object]) -> MeasureRange:
    return MeasureRange(**{key: _frozen(value) for key, value in values.items()})


def _frozen(value):
    """Lists of JSON as tuples, null as NaN."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return float("nan") if value is None else value


def _number(value) -> float:
    return float("nan") if value is None else float(value)


def _broken(message: str, file: str = layout.PATTERNS["bundle_card"]) -> ModelError:
    return ModelError(message, code="bundle-broken", file=file, remedy=_COPY_AGAIN)
