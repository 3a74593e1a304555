"""Patients with known causes, as a BIDS data set in template space."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

from relevox import __version__
from relevox.config import PhantomSettings
from relevox.engines import workers as engine
from relevox.errors import InputError
from relevox.imaging.crop import study_grid
from relevox.imaging.regions import REGION_INDEX
from relevox.phantom import disability
from relevox.phantom.anatomy import LOBES, VENTRICLES, TemplateMaps, template_maps
from relevox.phantom.cohort import CAUSES, PlannedScan, draw_cohort
from relevox.phantom.contrast import ALL_SCANNERS, Scanner
from relevox.phantom.contrast import Sequence as PulseSequence
from relevox.phantom.simulated_scan import SimulatedScan, simulate_scan
from relevox.records import Volume
from relevox.store import acquisition, images, layout, provenance, tables, template
from relevox.store.atomic import write_text

logger = logging.getLogger("relevox")

SIMULATED, TRUTH = "derivatives/simulated", "derivatives/truth"
"""Folders of the images, and of what no stage but the benchmark may read."""

_BIDS_VERSION = "1.10.0"
_STEPS = (
    "template deformed by the exponential of a velocity field",
    "lesions placed by prior and random field",
    "contrast by signal equations",
    "bias, Rician noise and intensity scale",
)


def run(bids: Path, phantom: PhantomSettings, seed: int = 0, workers: int = 1) -> None:
    """Write a simulated cohort.

    1. Draw patients, causes, labels and scanners (nothing random is left to the workers).
    2. Make the scans, one job each, on a grid twice as fine as the images; what is up to date is skipped.
    3. Write the clinical tables and the truth.

    Parameters
    ----------
    bids : Path
        Root of the data set.
    phantom : PhantomSettings
        Size of the cohort, grid, causes of disability.
    seed : int
        The same seed gives the same bytes, whatever the number of workers.
    workers : int
        Local processes.

    Raises
    ------
    InputError
        When the folder holds other patients.
    """
    bids = Path(bids)
    cohort = draw_cohort(phantom, seed)
    _refuse_others(bids, cohort)

    make = partial(_make, bids=bids, voxel_size_mm=phantom.voxel_size_mm, seed=seed)
    outcomes = engine.run_all(make, cohort, workers, "simulate", [scan.id.key for scan in cohort])
    engine.raise_failures(outcomes)

    _write_clinical(bids, cohort, phantom)
    _write_truth(bids / TRUTH, cohort, [outcome.value for outcome in outcomes], phantom, seed)
    _describe(bids)
    logger.info("simulated %d scans of %d patients", len(cohort), phantom.n_patients)


def _make(planned: PlannedScan, bids: Path, voxel_size_mm: int, seed: int) -> dict[str, float]:
    """Make one scan and return its true loads."""
    settings = {"seed": seed, "voxel_size_mm": voxel_size_mm, "planned": repr(planned)}
    unit = provenance.Unit(bids, stage="simulate", name=planned.id.key, settings=settings)
    causes = layout.path(bids / TRUTH, "causes", planned.id, space=template.SPACE).with_suffix("").with_suffix(".json")
    if unit.is_current():
        return tables.read_json(causes)["loads_ml"]
    finer = max(1, voxel_size_mm // 2)
    scan = simulate_scan(_maps(finer), planned, voxel_size_mm // finer, seed)
    written = _write_scan(bids, planned, scan, voxel_size_mm)
    loads = {"periventricular": scan.periventricular_ml, "other": scan.other_ml}
    card = {"labels": {"1": "periventricular lesion", "2": "other lesion"}, "loads_ml": loads}
    unit.record([*written, tables.write_json(causes, card)])
    logger.info("simulate: %s", planned.id)
    return loads


@lru_cache(maxsize=1)
def _maps(voxel_size_mm: int) -> TemplateMaps:
    """Prepare the template once in every process."""
    head = template.load(voxel_size_mm)
    return template_maps(head.grey, head.white, head.csf, head.regions, REGION_INDEX, voxel_size_mm)


def _write_scan(bids: Path, planned: PlannedScan, scan: SimulatedScan, voxel_size_mm: int) -> list[Path]:
    affine = study_grid(voxel_size_mm).affine

    def write(folder: str, kind: str, data) -> Path:
        path = layout.path(bids / folder, kind, planned.id, space=template.SPACE)
        return images.write(path, Volume(data, affine))

    written = [
        write(SIMULATED, kind, getattr(scan, kind))
        for kind in ("t1w", "flair", "brain_mask", "lesion_mask", "jacobian")
    ]
    scanner = ALL_SCANNERS[planned.scanner]
    for kind, sequence in (("t1w", scanner.mprage), ("flair", scanner.flair)):
        image = layout.path(bids / SIMULATED, kind, planned.id, space=template.SPACE)
        written.append(tables.write_json(acquisition.beside(image), _sidecar(scanner, sequence)))
    written += [write(TRUTH, "causes", scan.causes), write(TRUTH, "true_jacobian", scan.jacobian)]
    measures = {
        "volumes_ml": scan.volumes_ml,
        "quality": {},
        "flags": [],
        "steps": list(_STEPS),
        # how long it took would make two equal runs differ
        "seconds": {},
    }
    path = layout.path(bids / SIMULATED, "measures", planned.id)
    return [*written, tables.write_json(path, measures)]


def _sidecar(scanner: Scanner, sequence: PulseSequence) -> dict[str, object]:
    """Describe the protocol whose contrast was simulated, in the fields and units of BIDS."""
    return {
        "ManufacturersModelName": scanner.name,
        "MagneticFieldStrength": scanner.field_strength_t,
        "RepetitionTime": sequence.repetition_ms / 1000,
        "EchoTime": sequence.echo_ms / 1000,
        "InversionTime": sequence.inversion_ms / 1000,
    }


def _write_clinical(bids: Path, cohort: Sequence[PlannedScan], phantom: PhantomSettings) -> None:
    participants = []
    for participant, group in groupby(cohort, key=lambda scan: scan.id.participant):
        scans = list(group)
        participants.append({"participant_id": participant, "sex": scans[0].sex, "ms_type": scans[0].ms_type})
        rows = [
            {
                "session_id": scan.id.session,
                "acq_time": scan.scan_date.isoformat(),
                "age_years": round(scan.age_years, 2),
                "scanner": ALL_SCANNERS[scan.scanner].name,
                "field_strength_t": ALL_SCANNERS[scan.scanner].field_strength_t,
                "disease_duration_years": round(scan.disease_duration_years, 2),
                phantom.score: scan.score,
                f"{phantom.score}_date": scan.score_date.isoformat(),
            }
            for scan in scans
        ]
        tables.write(bids / participant / f"{participant}_sessions.tsv", rows)
    tables.write(bids / "participants.tsv", participants)
    tables.write_json(bids / "participants.json", _PARTICIPANT_COLUMNS)
    tables.write_json(bids / "sessions.json", _SESSION_COLUMNS | _score_columns(phantom.score))
    later = [
        {"participant_id": scan.id.participant, "date": on.isoformat(), phantom.score: score}
        for scan in cohort
        for on, score in scan.later
    ]
    if later:
        tables.write(bids / "phenotype" / f"{phantom.score.lower()}.tsv", later)


def _write_truth(
    truth: Path,
    cohort: Sequence[PlannedScan],
    loads: Sequence[Mapping[str, float]],
    phantom: PhantomSettings,
    seed: int,
) -> None:
    rows = [
        tables.id_columns(scan.id)
        | {
            "probability": scan.probability,
            "latent": scan.latent,
            "periventricular_ml": load["periventricular"],
            "other_ml": load["other"],
            **{f"loss_{lobe}": scan.change[lobe] for lobe in LOBES},
            f"growth_{VENTRICLES}": scan.change[VENTRICLES],
        }
        for scan, load in zip(cohort, loads, strict=True)
    ]
    tables.write(layout.path(truth, "truth_table"), rows)
    best = disability.bayes([scan.probability for scan in cohort])
    tables.write_json(
        layout.path(truth, "truth"),
        {
            "label": phantom.label,
            "causes": CAUSES[phantom.label],
            "bayes_accuracy": best.accuracy,
            "bayes_auc": best.auc,
            "confounding": phantom.confounding,
            "seed": seed,
            "version": __version__,
            "settings": phantom.model_dump(),
        },
    )


def _describe(bids: Path) -> None:
    maker = [{"Name": "relevox", "Version": __version__, "Description": "simulated patients with known causes"}]
    for folder, name, kind in (
        (bids, "Simulated multiple sclerosis cohort", "raw"),
        (bids / SIMULATED, "Simulated scans in template space", "derivative"),
        (bids / TRUTH, "What caused the disability of the simulated patients", "derivative"),
    ):
        tables.write_json(
            layout.path(folder, "description"),
            {"Name": name, "BIDSVersion": _BIDS_VERSION, "DatasetType": kind, "GeneratedBy": maker},
        )
    write_text(bids / ".bidsignore", "provenance/\n")


def _refuse_others(bids: Path, cohort: Sequence[PlannedScan]) -> None:
    ours = {scan.id.participant for scan in cohort}
    others = sorted(path.name for path in bids.glob("sub-*") if path.name not in ours)
    if others:
        raise InputError(
            f"expected a folder of this cohort, but it holds other patients: {', '.join(others[:5])}",
            code="folder-not-empty",
            file=bids.name,
            remedy="choose an empty folder",
        )


_PARTICIPANT_COLUMNS = {
    "sex": {"Description": "Sex", "Levels": {"F": "female", "M": "male"}},
    "ms_type": {
        "Description": "Course of the disease",
        "Levels": {
            "CIS": "clinically isolated syndrome",
            "RR": "relapsing remitting",
            "SP": "secondary progressive",
        },
    },
}

_SESSION_COLUMNS = {
    "acq_time": {"Description": "Date of the scan"},
    "age_years": {"Description": "Age at the scan", "Units": "years"},
    "scanner": {"Description": "Scanner model whose protocol was simulated"},
    "field_strength_t": {"Description": "Field strength", "Units": "T"},
    "disease_duration_years": {"Description": "Time since the first attack", "Units": "years"},
}


def _score_columns(score: str) -> dict[str, dict[str, str]]:
    names = {"EDSS": "Expanded Disability Status Scale", "PDDS": "Patient Determined Disease Steps"}
    return {score: {"Description": names[score]}, f"{score}_date": {"Description": f"Date of the {score}"}}
