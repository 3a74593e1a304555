"""Preprocessing on real scans: brain masks, alignments, lesions, seconds and memory; scans broken on purpose.

    python benchmarks/preprocessing.py DATA                 every scan once
    python benchmarks/preprocessing.py DATA --broken        what happens to broken scans
    python benchmarks/preprocessing.py DATA --pairs         FLAIR of every patient on the T1w of every other
    python benchmarks/preprocessing.py DATA --repeat 10     FLAIR to T1w and T1w to template, again and again

DATA holds ``ms`` (raw pairs with reference masks and transforms) and ``ms-mni`` (a stripped pair with a consensus
lesion mask); docs/tests.md says whose they are. Every scan has a process of its own, one at a time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from broken import BROKEN, Pair

from relevox.config import PreprocessingSettings
from relevox.engines import alignment, ants, chain
from relevox.engines.brain import move_mask
from relevox.imaging import brain_network, lesion_network, quality
from relevox.imaging.bias import n4
from relevox.imaging.crop import Grid, template_grid
from relevox.imaging.intensity import truncate
from relevox.imaging.resample import isotropic, resample
from relevox.records import Volume
from relevox.report.page import Table
from relevox.report.plain import aligned
from relevox.store import images, template
from relevox.store.transforms import read_affine

SETTINGS = PreprocessingSettings()
GOOD_DICE, GOOD_FLAIR_MM, GOOD_TEMPLATE_MM = 0.94, 1.5, 3.0
"""A broken scan counts as right when its brain mask reaches the first against the reference, FLAIR lies within the
second of the data set's own alignment, and the template within the third of the unbroken scan's."""


def read(data: Path, key: str) -> Pair:
    """Read a raw pair with its references; ``flair_to_t1w`` maps T1w points to FLAIR points."""
    participant, session = key.split("_")
    folder = data / "ms" / participant / session / "anat"
    reference = data / "ms" / "derivatives" / "reference" / participant / session / "anat"
    return Pair(
        images.read(folder / f"{key}_T1w.nii.gz"),
        images.read(folder / f"{key}_FLAIR.nii.gz"),
        images.read_labels(reference / f"{key}_desc-brain_mask.nii.gz").data > 0,
        # the data set's file maps FLAIR points to T1w points
        np.linalg.inv(read_affine(next(reference.glob(f"{key}_from-T1w_to-FLAIR_*_xfm.txt")))),
    )


def keys(data: Path) -> list[str]:
    return sorted(path.name.removesuffix("_T1w.nii.gz") for path in (data / "ms").glob("sub-*/ses-*/anat/*_T1w.nii.gz"))


def measure(data: Path, key: str) -> dict[str, object]:
    """Preprocess one raw scan as the stage does."""
    pair, network = read(data, key), brain_network.load()
    of_flair = brain_network.brain_mask(pair.flair.data, pair.flair.affine, network).mask
    of_t1w = brain_network.brain_mask(pair.t1w.data, pair.t1w.affine, network).mask
    head = template.full()
    wall, cpu = time.perf_counter(), _cpu_seconds()
    found = chain.to_template(
        pair.t1w, pair.flair, head, SETTINGS, network=network, lesion_network=lesion_network.load()
    )
    wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
    on_flair = _moved(pair.brain, pair.t1w, pair.flair, pair.flair_to_t1w)
    final_on_flair = _moved(found.native_mask, pair.t1w, pair.flair, found.flair_to_t1w)
    return {
        "scan": key,
        "network T1w": quality.dice(of_t1w, pair.brain),
        "network FLAIR": quality.dice(of_flair, on_flair),
        "final T1w": quality.dice(found.native_mask, pair.brain),
        "final FLAIR": quality.dice(final_on_flair, on_flair),
        "FLAIR mm": _distance(found.flair_to_t1w, pair.flair_to_t1w, pair),
        "NMI": found.quality["t1w_flair_nmi"],
        "edges": found.quality["edge_agreement"],
        "template": found.quality["warped_correlation"],
        "CPU s": cpu,
        "wall s": wall,
        "GB": _peak_gb(),
        "flags": "; ".join(found.flags),
    }


def measure_lesions(data: Path, key: str) -> dict[str, object]:
    """Preprocess the stripped pair, and compare its lesions with the consensus on the template's grid."""
    folder = data / "ms-mni" / key / "anat"
    t1w, flair = (images.read(folder / f"{key}_space-MNI_desc-brain_{name}.nii.gz") for name in ("T1w", "FLAIR"))
    truth = images.read_labels(data / "ms-mni" / "lesions" / f"{key}_space-MNI_label-L_mask.nii.gz")
    cpu = _cpu_seconds()
    head, networks = template.full(), (brain_network.load(), lesion_network.load())
    found = chain.to_template(t1w, flair, head, SETTINGS, network=networks[0], lesion_network=networks[1])
    cpu = _cpu_seconds() - cpu
    placed = move_mask(Volume(truth.data > 0, truth.affine), _grid(found.lesion_mask), found.t1w_to_template)
    return {
        "scan": key,
        "lesion Dice": quality.dice(found.lesion_mask.data, placed),
        "lesions ml": found.volumes_ml["lesions"],
        "consensus ml": float(np.count_nonzero(truth.data) * truth.voxel_volume_ml),
        "intracranial ml": found.volumes_ml["intracranial"],
        "stripped mask ml": float(np.count_nonzero(t1w.data > 0) * t1w.voxel_volume_ml),
        "CPU s": cpu,
        "GB": _peak_gb(),
        "flags": "; ".join(found.flags),
    }


def measure_broken(data: Path, key: str, name: str, other: str) -> dict[str, object]:
    """Preprocess one scan that was broken on purpose."""
    pair = BROKEN[name](read(data, key), read(data, other))
    row: dict[str, object] = {"broken": name, "brain Dice": np.nan, "FLAIR mm": np.nan}
    try:
        found = chain.to_template(pair.t1w, pair.flair, template.full(), SETTINGS, network=brain_network.load())
    except chain.EngineError as error:
        return row | {"flags": f"refused: {error.message}"}
    if pair.brain is not None:
        row["brain Dice"] = quality.dice(found.native_mask, pair.brain)
    if pair.flair_to_t1w is not None:
        row["FLAIR mm"] = _distance(found.flair_to_t1w, pair.flair_to_t1w, pair)
    row |= {"matrix": found.t1w_to_template, "wrong T1w": pair.wrong_t1w}
    row |= {name: found.quality[name] for name in ("t1w_flair_nmi", "edge_agreement", "warped_correlation")}
    return row | {"flags": "; ".join(found.flags)}


def measure_pairs(data: Path) -> list[dict[str, object]]:
    """Align the FLAIR of every scan to the T1w of every scan: what tells a patient from another."""
    network = brain_network.load()
    scans = {}
    for key in keys(data):
        pair = read(data, key)
        mask = brain_network.brain_mask(pair.t1w.data, pair.t1w.affine, network).mask
        around = brain_network.brain_mask(pair.flair.data, pair.flair.affine, network).mask
        t1w, flair = Volume(n4(pair.t1w, mask), pair.t1w.affine), Volume(n4(pair.flair, around), pair.flair.affine)
        scans[key] = t1w, flair, mask
    rows = []
    for of_t1w, (t1w, _, mask) in scans.items():
        fine = isotropic(t1w, 1.0)
        inside = move_mask(Volume(mask, t1w.affine), _grid(fine), np.eye(4))
        for of_flair, (_, flair, _) in scans.items():
            matrix = alignment.flair_to_t1w(t1w, flair, mask, ants, 1)
            moved = resample(flair, _grid(fine), matrix)
            rows.append(
                {
                    "T1w": of_t1w,
                    "FLAIR": of_flair,
                    "same patient": "yes" if of_t1w[:6] == of_flair[:6] else "no",
                    "NMI": quality.normalised_mutual_information(fine.data[inside], moved[inside]),
                    "edges": quality.edge_agreement(fine.data, moved, inside),
                }
            )
    return rows


def measure_repeats(data: Path, key: str, n: int) -> dict[str, object]:
    """Register one scan again and again, each time from headers moved a little, and tell by how much answers differ.

    With one thread and a fixed seed identical calls agree to the bit: moving the header is what another export of the
    same scan may do.
    """
    pair, network = read(data, key), brain_network.load()
    mask = brain_network.brain_mask(pair.t1w.data, pair.t1w.affine, network).mask
    t1w = Volume(n4(pair.t1w, mask), pair.t1w.affine)
    flair = Volume(chain._correct_flair(pair.flair, Volume(mask, t1w.affine), 1), pair.flair.affine)
    head = template.full()
    fixed = isotropic(Volume(head.t1, head.affine), chain.REGISTRATION_MM)
    stripped = isotropic(Volume(truncate(t1w.data * mask), t1w.affine), chain.REGISTRATION_MM)
    rng = np.random.default_rng(0)
    of_flair, of_template = [], []
    for _ in range(n):
        shift = np.eye(4)
        shift[:3, 3] = rng.uniform(-5, 5, 3)
        moved = alignment.flair_to_t1w(t1w, Volume(flair.data, shift @ flair.affine), mask, ants, 1)
        of_flair.append(np.linalg.inv(shift) @ moved)
        where = Volume(mask, shift @ t1w.affine)
        stripped_there = Volume(stripped.data, shift @ stripped.affine)
        matrix = alignment.t1w_to_template(fixed, stripped_there, head, where, SETTINGS, ants, 1)
        of_template.append(np.linalg.inv(shift) @ matrix)
    truth = [_distance(matrix, pair.flair_to_t1w, pair) for matrix in of_flair]
    points = _points(Volume(head.brain_mask, head.affine))
    spread = [_apart(matrix, np.median(of_template, axis=0), points) for matrix in of_template]
    return {
        "scan": key,
        "runs": n,
        "FLAIR mm, mean": float(np.mean(truth)),
        "FLAIR mm, largest": max(truth),
        "template mm from median, mean": float(np.mean(spread)),
        "template mm, largest": max(spread),
    }


def verdict(row: dict[str, object], unbroken: np.ndarray) -> dict[str, object]:
    """Say whether a broken scan came out right, was flagged, or neither."""
    matrix = row.pop("matrix", None)
    wrong = row.pop("wrong T1w", False)
    away = np.nan
    if matrix is not None and not wrong:
        points = _points(Volume(template.full().brain_mask, template_grid().affine))
        away = _apart(matrix, unbroken, points)
    right = matrix is not None and not wrong and away <= GOOD_TEMPLATE_MM
    right = right and row["FLAIR mm"] <= GOOD_FLAIR_MM and not row["brain Dice"] < GOOD_DICE
    outcome = "right" if right else "flagged" if row["flags"] else "SILENT"
    return row | {"template mm": away, "outcome": outcome}


def alone(function: Callable, *arguments):
    """Call a function in a process of its own: its memory and seconds are nobody else's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _cpu_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _grid(volume: Volume) -> Grid:
    return Grid(volume.data.shape, volume.affine)


def _moved(mask: np.ndarray, t1w: Volume, flair: Volume, flair_to_t1w: np.ndarray) -> np.ndarray:
    return move_mask(Volume(mask, t1w.affine), _grid(flair), np.linalg.inv(flair_to_t1w))


def _points(mask: Volume) -> np.ndarray:
    voxels = np.argwhere(mask.data)[::997]
    return np.c_[voxels, np.ones(len(voxels))] @ mask.affine.T


def _apart(a: np.ndarray, b: np.ndarray, points: np.ndarray) -> float:
    return float(np.linalg.norm((points @ (a - b).T)[:, :3], axis=1).mean())


def _distance(found: np.ndarray, truth: np.ndarray, pair: Pair) -> float:
    """Mean distance in the brain between where two maps send a T1w point."""
    mask = pair.t1w.data > 0 if pair.brain is None else pair.brain
    return _apart(found, truth, _points(Volume(mask, pair.t1w.affine)))


def _show(rows: list[dict[str, object]]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    print(aligned(Table("", names, cells)), flush=True)


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _summary(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    numbers = [name for name in rows[0] if isinstance(rows[0][name], float)]
    lines = []
    for title, of in (("mean", np.mean), ("lowest", np.min), ("highest", np.max)):
        lines.append({"scan": title} | {name: float(of([row[name] for row in rows])) for name in numbers})
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--scans", nargs="*", help="only these, sub-04_ses-1 say")
    parser.add_argument("--broken", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(BROKEN), help="only these ways to break a scan")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--repeat", type=int, default=0)
    given = parser.parse_args()
    scans = given.scans or keys(given.data)
    if given.pairs:
        _show(alone(measure_pairs, given.data))
    elif given.repeat:
        _show([alone(measure_repeats, given.data, key, given.repeat) for key in scans])
    elif given.broken:
        key = scans[0]
        other = next(k for k in keys(given.data) if k[:6] != key[:6])
        rows, unbroken = [], None
        for name in ["nothing", *(n for n in given.only or BROKEN if n != "nothing")]:
            row = alone(measure_broken, given.data, key, name, other)
            unbroken = row["matrix"] if name == "nothing" else unbroken
            rows.append(verdict(row, unbroken))
            _show(rows[-1:])
        print(f"\n{key}, broken on purpose; FLAIR of another patient: {other}")
        _show(rows)
    else:
        rows = []
        for key in scans:
            rows.append(alone(measure, given.data, key))
            _show(rows[-1:])
        print()
        _show(rows + _summary(rows))
        if given.scans is None:
            _show([alone(measure_lesions, given.data, "sub-26")])


if __name__ == "__main__":
    main()
