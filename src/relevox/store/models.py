"""Trained networks: a card that says what a network is, and the weights that fit it.

A card holds settings and counts, never a row about a patient, so that a model
can be given away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch

from relevox import __version__
from relevox.config import Settings
from relevox.errors import ModelError
from relevox.learning.fusion import FusedResNet3d
from relevox.learning.network import ResNet3d
from relevox.store import layout, tables, weights

CHANNELS = ("T1w", "FLAIR")
"""What the network sees, in the order of its channels."""

ARCHITECTURE = "ResNet3d"

_FROM_SETTINGS = ("architecture", "channels", "widths", "head_widths", "negative_slope", "normalisation", "space")
_FROM_SETTINGS += ("voxel_size_mm", "shape", "outcome", "covariates")


@dataclass(frozen=True)
class ModelCard:
    """Everything needed to use a network on a new scan."""

    fold: int
    """Its scans were held out for the test."""
    widths: tuple[int, ...]
    """Kernels of the residual blocks."""
    head_widths: tuple[int, int]
    """Kernels of the head."""
    negative_slope: float
    """Of the LeakyReLU."""
    normalisation: str
    """Intensity scale of the inputs."""
    space: str
    """Template of the inputs."""
    voxel_size_mm: int
    """Grid of the inputs."""
    shape: tuple[int, int, int]
    """Voxels of the inputs."""
    outcome: str
    """What class 1 means: ``EDSS >= 3``."""
    channels: tuple[str, ...] = CHANNELS
    """Images, in the order of the channels."""
    architecture: str = ARCHITECTURE
    """Name of the network's class."""
    covariates: tuple[str, ...] = ()
    """What the head is told beside the images; means and standard deviations are among the weights."""
    training: Mapping[str, object] = field(default_factory=dict)
    """Settings of the training and how it went, in numbers."""
    sha256: str = ""
    """Of the weights file."""
    version: str = __version__
    """relevox that trained it."""

    @classmethod
    def of(cls, settings: Settings, fold: int, training: Mapping[str, object]) -> ModelCard:
        """Describe the network these settings make."""
        return cls(
            fold=fold,
            widths=settings.network.widths,
            head_widths=settings.network.head_widths,
            negative_slope=settings.network.negative_slope,
            normalisation=settings.preprocessing.normalisation,
            space=settings.preprocessing.space,
            voxel_size_mm=settings.preprocessing.voxel_size_mm,
            shape=settings.preprocessing.shape,
            outcome=settings.cohort.outcome_words,
            covariates=settings.training.covariates,
            training=dict(training),
        )

    def build(self) -> ResNet3d | FusedResNet3d:
        """Make the network, with random weights."""
        network = ResNet3d(
            channels=len(self.channels),
            widths=self.widths,
            head_widths=self.head_widths,
            negative_slope=self.negative_slope,
        )
        return FusedResNet3d(network, self.covariates) if self.covariates else network


def save(study: Path, card: ModelCard, network: ResNet3d) -> list[Path]:
    """Write the weights, then the card with their hash.

    Returns
    -------
    list of Path
        What was written.
    """
    files = [layout.path(study, kind, fold=card.fold) for kind in ("model_weights", "model")]
    digest = weights.save(files[0], network.state_dict())
    tables.write_json(files[1], asdict(card) | {"sha256": digest})
    return files


def load(study: Path, fold: int) -> tuple[ResNet3d, ModelCard]:
    """Read the network of a fold, in evaluation mode, with its card.

    Raises
    ------
    ModelError
        For a card that is not one, or weights that are not its weights.
    StudyError
        When the fold has not been trained.
    """
    file = layout.existing(study, "model", fold=fold)
    card = read_card(tables.read_json(file), file.relative_to(study))
    weights_file = layout.path(study, "model_weights", fold=fold)
    return read_network(card, weights_file, weights_file.relative_to(study).as_posix()), card


def load_all(study: Path, settings: Settings) -> list[ResNet3d]:
    """Read the networks of all folds.

    Raises
    ------
    ModelError
        When one is missing, or was trained on other inputs than the settings describe.
    """
    return [network for network, _ in load_with_cards(study, settings)]


def load_with_cards(study: Path, settings: Settings) -> list[tuple[ResNet3d, ModelCard]]:
    """Read the networks of all folds with their cards; raises what :func:`load_all` does."""
    folds = range(settings.training.n_folds)
    missing = [fold for fold in folds if not layout.path(study, "model", fold=fold).exists()]
    if missing:
        raise ModelError(
            f"expected the models of {len(folds)} folds, but fold {', '.join(map(str, missing))} has none",
            code="model-missing",
            file=layout.PATTERNS["model"].format(fold=missing[0]),
            remedy="train the study to the end: fewer models would be another classifier",
        )
    loaded = [load(study, fold) for fold in folds]
    check_inputs([card for _, card in loaded], settings, layout.PATTERNS["settings"])
    return loaded


def read_network(card: ModelCard, file: Path, name: str = "") -> ResNet3d:
    """Read the weights a card was written for into its network, in evaluation mode.

    Raises
    ------
    ModelError
        When the file is damaged, was changed, or holds the weights of another network.
    """
    state = weights.load(file, card.sha256)
    with torch.device("meta"):  # no memory is taken before the shapes are known to fit
        network = card.build()
    return weights.load_into(network, state, name or file.name)


def check_inputs(cards: Sequence[ModelCard], settings: Settings, file: str) -> None:
    """Refuse models that were trained for another network, grid, scale or outcome than the settings ask for.

    Raises
    ------
    ModelError
        Naming the fold and what differs.
    """
    for card in cards:
        expected = ModelCard.of(settings, card.fold, {})
        differing = [name for name in _FROM_SETTINGS if getattr(card, name) != getattr(expected, name)]
        if differing:
            words = "; ".join(f"{n} {getattr(expected, n)}, not {getattr(card, n)}" for n in differing)
            raise ModelError(
                f"expected models of these settings, but fold {card.fold} was trained for others: {words}",
                code="model-inputs",
                file=file,
                remedy="train the study again after its settings were changed, or copy the model again",
            )


def is_newer(version: str, than: str = __version__) -> bool:
    """Tell whether a version of relevox comes after this one.

    Examples
    --------
    >>> is_newer("0.10.0", than="0.9.2"), is_newer("0.9", than="0.9.0")
    (True, False)
    """
    first, second = ([int(n) for n in re.findall(r"\d+", v)[:3]] for v in (version, than))
    width = max(len(first), len(second))
    return first + [0] * (width - len(first)) > second + [0] * (width - len(second))


def read_card(values: Mapping[str, object], file: str | Path) -> ModelCard:
    """Make a card from the entries of a JSON object.

    Raises
    ------
    ModelError
        For a card of a newer relevox, and one with other entries than a card has.
    """
    version = values.get("version")
    if isinstance(version, str) and is_newer(version):
        raise ModelError(
            f"the model was trained with relevox {version}, which is newer than this one ({__version__})",
            code="model-newer",
            file=file,
            remedy="update relevox",
        )
    known = {f.name for f in fields(ModelCard)}
    values = {"covariates": [], **values}  # cards were written before there were any
    if set(values) != known or values["architecture"] != ARCHITECTURE or not isinstance(version, str):
        differing = ", ".join(sorted(set(values) ^ known)) or f"architecture {values['architecture']!r}"
        raise ModelError(
            f"expected a model card of relevox {__version__}, but these entries differ: {differing}",
            code="model-card",
            file=file,
            remedy="train the fold again, or use the version of relevox that trained it",
        )
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return ModelCard(**(values | lists))
