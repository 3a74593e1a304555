"""Preprocessing of whole simulated heads against what is known of them: masks, transforms, volumes, Jacobian.

python benchmarks/native_heads.py --heads 3 --out .

Each head is scanned (about 40 s), preprocessed (65-90 s) and compared; one row a head in native_heads.tsv.
Raw images stay in --images, to be looked at. Seconds are those of the processor.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from timing import show

from relevox.config import PhantomSettings, PreprocessingSettings
from relevox.engines import chain
from relevox.imaging import brain_network, crop, lesion_network, quality
from relevox.imaging.crop import Grid
from relevox.imaging.resample import resample
from relevox.phantom.cohort import draw_patients
from relevox.phantom.contrast import ALL_SCANNERS
from relevox.phantom.native_head import NativeTruth
from relevox.phantom.patient import Patient, make_patient, native_volumes
from relevox.records import Volume
from relevox.stages import simulate_native
from relevox.stages.simulate_template import prepared
from relevox.store import images, layout, tables, template

SCANNERS = ("Avanto", "Tim Trio", "Symphony", "Prisma")
"""In turn: both field strengths, plain and interpolated slices, and a 3D FLAIR."""

SETTINGS = PreprocessingSettings(voxel_size_mm=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path, help="where the raw images are left (default: a temporary folder)")
    parser.add_argument("--out", type=Path, help="where native_heads.tsv goes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for number in range(arguments.first, arguments.first + arguments.heads):
            rows.append(measure(arguments.images or Path(temporary), number, arguments.seed))
            show(
                f"{rows[-1]['scan']} on {rows[-1]['scanner']}",
                [(k, v, "") for k, v in rows[-1].items() if isinstance(v, float)],
            )
            if arguments.out:
                tables.write(arguments.out / "native_heads.tsv", rows)


def measure(bids: Path, number: int, seed: int) -> dict[str, object]:
    """Scan, preprocess and judge one head."""
    names = [scanner.name for scanner in ALL_SCANNERS]
    planned = draw_patients(PhantomSettings(n_patients=number + 2, n_repeated=0), seed)[number]
    planned = dataclasses.replace(planned, scanner=names.index(SCANNERS[number % len(SCANNERS)]))
    start = time.process_time()
    patient = make_patient(prepared(1), planned, seed)
    simulate_native.surroundings()
    begun = time.process_time()
    simulate_native.write_native(bids, planned, seed)
    scanned = time.process_time()
    truth = read_truth(bids, planned.id)
    t1w, flair = (images.read(layout.path(bids, f"raw_{kind}", planned.id)) for kind in ("t1w", "flair"))
    networks = {"network": brain_network.load(), "lesion_network": lesion_network.load()}
    found = chain.to_template(t1w, flair, template.full(), SETTINGS, **networks)
    done = time.process_time()
    return (
        {"scan": planned.id.key, "scanner": SCANNERS[number % len(SCANNERS)]}
        | judge(found, truth, patient)
        | {"flags": "; ".join(found.flags), "seconds_scan": scanned - begun, "seconds_preprocess": done - scanned}
        | {"seconds_prepare": begun - start}
    )


def read_truth(bids: Path, scan) -> NativeTruth:
    """Read what ``write_native`` wrote of a head."""
    root = bids / simulate_native.TRUTH
    card = tables.read_json(layout.path(root, "native_truth", scan))
    masks = [
        images.read_labels(layout.path(root, kind, scan))
        for kind in ("native_brain", "native_lesions_t1w", "native_lesions_flair")
    ]
    masks = [Volume(mask.data > 0, mask.affine) for mask in masks]
    return NativeTruth(*(np.array(card[f"aligned_to_{kind}"]) for kind in ("t1w", "flair")), *masks, card["volumes_ml"])


def judge(found: chain.Preprocessed, truth: NativeTruth, patient: Patient) -> dict[str, float]:
    """Compare a preprocessed scan with what is known of it.

    Distances are native millimetres: means over the brain, and the 95th percentile of the whole way to the template.
    ``painted`` is what the raw head holds of the patient's volume, ``ratio`` what preprocessing found of that.
    """
    brain = truth.t1w_brain
    points = np.argwhere(brain.data)[::97] @ brain.affine[:3, :3].T + brain.affine[:3, 3]
    true_motion = truth.to_flair @ np.linalg.inv(truth.to_t1w)
    motion = np.linalg.norm(_moved(points, found.flair_to_t1w) - _moved(points, true_motion), axis=1)

    grid = Grid(found.warp.data.shape[1:], found.warp.affine)
    core = np.argwhere(resample(_as_image(template.full()), grid) > 0.5)
    at = core @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    to_aligned = at + _look_up(Volume(_inverse(patient.anatomy.displacement), crop.study_grid(1).affine), at)
    shift = found.warp.data[:, *core.T].T
    way = np.linalg.norm(_moved(at + shift, found.t1w_to_template) - _moved(to_aligned, truth.to_t1w), axis=1)
    affine_only = np.linalg.norm(_moved(at, found.t1w_to_template) - _moved(to_aligned, truth.to_t1w), axis=1)

    study = crop.study_grid(1)
    true_lesions = resample(_float(truth.t1w_lesions), study, found.t1w_to_template) >= 0.5
    inside = template.load(1).brain_mask
    log_found, log_true = (np.log(np.clip(j, 0.05, 20)) for j in (found.jacobian.data, patient.anatomy.jacobian))
    # a registration at 2 mm sees what is left of J after some smoothing
    blurred = [gaussian_filter(np.where(inside, j, 0), 4.0) for j in (log_found, log_true)]
    row = {
        "brain_dice": quality.dice(found.native_mask, brain.data),
        "brain_volume": np.count_nonzero(found.native_mask) / np.count_nonzero(brain.data),
        "flair_error_mm": float(motion.mean()),
        "template_error_mm": float(way.mean()),
        "template_error_p95_mm": float(np.percentile(way, 95)),
        "affine_error_mm": float(affine_only.mean()),
        "size_ratio": float(np.linalg.det(found.t1w_to_template[:3, :3]) / np.linalg.det(truth.to_t1w[:3, :3])),
        "lesion_dice": quality.dice(found.lesion_mask.data, true_lesions),
        "jacobian_r": quality.correlation(log_found[inside], log_true[inside]),
        "jacobian_r_smooth": quality.correlation(blurred[0][inside], blurred[1][inside]),
        "jacobian_sd_found": float(log_found[inside].std()),
        "jacobian_sd_true": float(log_true[inside].std()),
    }
    own = native_volumes(patient.anatomy, patient.lesions, patient.voxel_ml)
    for name, ml in truth.volumes_ml.items():
        row[f"{name}_ml"] = ml
        row[f"{name}_painted"] = ml / own[name] if own[name] else float("nan")
        row[f"{name}_ratio"] = found.volumes_ml[name] / ml if ml else float("nan")
    return row


def _inverse(displacement: np.ndarray, iterations: int = 15) -> np.ndarray:
    """Invert a displacement by its fixed point: v(x) = -u(x + v(x)), ``(3, x, y, z)`` millimetres at 1 mm."""
    affine = crop.study_grid(1).affine
    inverse = np.zeros_like(displacement)
    for _ in range(iterations):
        inverse = -resample(Volume(displacement, affine), crop.study_grid(1), displacement=Volume(inverse, affine))
    return inverse


def _look_up(field: Volume, points: np.ndarray) -> np.ndarray:
    index = (points - field.affine[:3, 3]) @ np.linalg.inv(field.affine[:3, :3]).T
    return np.stack([map_coordinates(component, index.T, order=1, mode="nearest") for component in field.data], axis=1)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _float(mask: Volume) -> Volume:
    return Volume(mask.data.astype(np.float32), mask.affine)


def _as_image(head) -> Volume:
    return Volume(head.brain_mask.astype(np.float32), head.affine)


if __name__ == "__main__":
    main()
