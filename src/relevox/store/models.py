"""Trained networks: a card that says what a network is, and the weights that fit it.

A card holds settings and counts, never a row about a patient, so that a model
can be given away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from relevox import __version__
from relevox.config import Settings
from relevox.errors import ModelError
from relevox.learning.network import ResNet3d
from relevox.store import layout, tables, weights

CHANNELS = ("T1w", "FLAIR")
"""What the network sees, in the order of its channels."""

ARCHITECTURE = "ResNet3d"


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
            training=dict(training),
        )

    def build(self) -> ResNet3d:
        """Make the network, with random weights."""
        return ResNet3d(
            channels=len(self.channels),
            widths=self.widths,
            head_widths=self.head_widths,
            negative_slope=self.negative_slope,
        )


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
    card = _card(tables.read_json(file), file.relative_to(study))
    weights_file = layout.path(study, "model_weights", fold=fold)
    state = weights.load(weights_file, card.sha256)
    network = weights.load_into(card.build(), state, weights_file.relative_to(study).as_posix())
    return network, card


def load_all(study: Path, settings: Settings) -> list[ResNet3d]:
    """Read the networks of all folds.

    Raises
    ------
    ModelError
        When one is missing, or was trained on other inputs than the settings describe.
    """
    folds = range(settings.training.n_folds)
    missing = [fold for fold in folds if not layout.path(study, "model", fold=fold).exists()]
    if missing:
        raise ModelError(
            f"expected the models of {len(folds)} folds, but fold {', '.join(map(str, missing))} has none",
            code="model-missing",
            file=layout.PATTERNS["model"].format(fold=missing[0]),
            remedy="train the study to the end: fewer models would be another classifier",
        )
    networks = []
    expected = (settings.preprocessing.shape, settings.preprocessing.normalisation, settings.preprocessing.space)
    for fold in folds:
        network, card = load(study, fold)
        found = (tuple(card.shape), card.normalisation, card.space)
        if found != expected:
            raise ModelError(
                f"expected models for inputs {expected}, but fold {fold} was trained on {found}",
                code="model-inputs",
                file=layout.PATTERNS["settings"],
                remedy="train the study again after its settings were changed",
            )
        networks.append(network)
    return networks


def _card(values: dict, file: Path) -> ModelCard:
    known = {f.name for f in fields(ModelCard)}
    if set(values) != known or values["architecture"] != ARCHITECTURE:
        differing = ", ".join(sorted(set(values) ^ known)) or f"architecture {values['architecture']!r}"
        raise ModelError(
            f"expected a model card of relevox {__version__}, but these entries differ: {differing}",
            code="model-card",
            file=file,
            remedy="train the fold again, or use the version of relevox that trained it",
        )
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return ModelCard(**(values | lists))
