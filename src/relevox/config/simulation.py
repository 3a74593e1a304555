"""What is made up: simulated cohorts, and signals planted in a study's scans."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relevox.config.section import PositiveFloat, PositiveInt, Section, Share

Cause = Literal[
    "periventricular_lesions",
    "other_lesions",
    "frontal_cortex",
    "temporal_cortex",
    "parietal_cortex",
    "occipital_cortex",
    "cerebellar_cortex",
    "lateral_ventricles",
    "total_lesions",
    "frontotemporal_cortex",
    "parietooccipital_cortex",
]
"""What can make a simulated patient disabled."""


class PhantomSettings(Section):
    """A simulated cohort (PHANTOM: patients with known causes)."""

    n_patients: Annotated[int, Field(ge=2)] = 12
    """One alone has no class that others have not."""
    first_patient: Annotated[int, Field(ge=0)] = 0
    """Number of the first patient: cohorts of one seed that share no number share no patient and no id."""
    n_repeated: Annotated[int, Field(ge=0)] = 2
    """Patients who are scanned a second time."""
    follow_up_years: Annotated[int, Field(ge=0, le=20)] = 0
    """Years after the first scan with one more score each, without a scan; every tenth visit is missed."""
    score: Literal["EDSS", "PDDS"] = "EDSS"
    """Which clinical score the patients have; 3 or more is class 1."""
    scanner_mix: Literal["cohort", "external"] = "cohort"
    """Scanners of Table 1, or four other models with one 3D protocol."""
    voxel_size_mm: Literal[1, 2, 4, 8] = 8
    """Grid of the template-space images."""
    label: Literal["paper", "frontotemporal", "location", "location_atrophy", "load", "all"] = "location"
    """Cause of disability: ``paper`` frontotemporal and cerebellar atrophy and periventricular lesions, or
    ``frontotemporal`` atrophy alone, or *where, not how much*: ``location`` periventricular minus other lesions,
    ``location_atrophy`` frontotemporal minus parieto-occipital atrophy; or the ``load`` of all lesions. ``all``
    makes one data set a label, all of the same anatomies."""
    weights: dict[Cause, float] = Field(default_factory=dict)
    """Causal weights of one's own in place of the label's: of standardised causes; cortex counts as volume, so that
    -1 makes its loss disabling."""
    label_noise: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation of what the causes do not explain, in units of their weighted sum's; None: the label's."""
    label_draw: Annotated[int, Field(ge=0)] = 0
    """Number of the draw: another one gives the same anatomies new label noise, scanners and image noise."""
    effect: PositiveFloat = 1.0
    """Spread of lesion load, lesion location and cortical atrophy between patients; 1 is that of the paper's cohort."""
    location_spread: PositiveFloat = 2.0
    """Standard deviation, over patients, of the log odds that a lesion is periventricular."""
    prevalence: Annotated[float, Field(gt=0, lt=1)] = 0.437
    """Share of class 1 (Table 2: 167 of 382 scans)."""
    confounding: Share = 1.0
    """How far scanner frequencies differ between the classes; 1 is Table 2, 0 none."""
    counterfactuals: Annotated[int, Field(ge=0)] = 0
    """First patients of whom every scan is made once more for each cause, with that cause alone changed."""
    native_heads: Annotated[int, Field(ge=0)] = 0
    """Last patients whose scans are raw images of a whole head, with skull, pose and slices, instead of template space;
    their anatomy is made at 1 mm. The first ones are those who are scanned twice and have counterfactual scans."""

    @model_validator(mode="after")
    def _check(self) -> PhantomSettings:
        if self.n_repeated > self.n_patients:
            raise ValueError("n_repeated cannot exceed n_patients")
        if self.weights and self.label == "all":
            raise ValueError("weights of one's own are one label, but label is 'all'")
        if self.weights and not any(self.weights.values()):
            raise ValueError("one of the weights must differ from 0")
        return self


class PlantSettings(Section):
    """A known signal inserted into a study's scans, to see whether the maps find it."""

    kind: Literal["blob", "atrophy"] = "blob"
    """A lesion-like blob (bright on FLAIR, dark on T1w), or a region that has lost volume."""
    region: str = ""
    """Where the signal lies in class 1, a name of ``imaging.regions``; empty: deep_grey for a blob, frontal_cortex for
    atrophy. The decoys lie elsewhere."""
    strength: PositiveFloat | None = None
    """Of a blob: contrast on FLAIR in medians of the brain (default 0.6). Of atrophy: loss of log volume (0.4)."""
    radius_mm: PositiveFloat = 8.0
    """Of a blob."""
    start: Literal["study", "scratch"] = "study"
    """Fine-tune the study's networks, or train new ones."""
    folds: PositiveInt = 2
    """How many of the study's folds are trained and tested."""
    epochs: PositiveInt = 6
    learning_rate: PositiveFloat = 1e-3
    """Highest of the one-cycle schedule (AdamW)."""
    explained_scans: PositiveInt = 20
    """Test scans a fold whose maps are scored: those with the signal first in the list."""

    @property
    def where(self) -> str:
        """Region of the signal."""
        return self.region or {"blob": "deep_grey", "atrophy": "frontal_cortex"}[self.kind]

    @property
    def how_strong(self) -> float:
        """Contrast of a blob, loss of log volume of atrophy."""
        return self.strength or {"blob": 0.6, "atrophy": 0.4}[self.kind]

    @property
    def name(self) -> str:
        """Of the folder with the results."""
        return f"{self.kind}-{self.where}".replace("_", "-")
