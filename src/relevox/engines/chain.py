"""From one patient's T1w and FLAIR to the network's input: arrays in, arrays out.

The stages ``preprocess`` and ``predict`` send every raw scan down this road.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from relevox.config import PreprocessingSettings
from relevox.engines import alignment, ants, brain
from relevox.engines.brain import move_mask
from relevox.errors import EngineError
from relevox.imaging import crop, quality
from relevox.imaging.bias import head_mask, n4
from relevox.imaging.crop import Grid
from relevox.imaging.intensity import normalise, truncate
from relevox.imaging.jacobian import jacobian
from relevox.imaging.lesion_filling import fill_lesions
from relevox.imaging.lesion_network import find_lesions
from relevox.imaging.lesions import segment_lesions
from relevox.imaging.regions import template_regions
from relevox.imaging.resample import isotropic, resample
from relevox.imaging.template import Template
from relevox.imaging.tissue import segment
from relevox.imaging.volumes import native_volumes_ml
from relevox.records import Volume

REGISTRATION_MM = 2.0
"""Registrations to the template look at voxels of this edge."""


@dataclass(frozen=True)
class Preprocessed:
    """A scan on the grid of the network's input, and what was measured on the way."""

    t1w: Volume
    """``(x, y, z)`` float32, normalised, 0 outside the brain."""
    flair: Volume
    """``(x, y, z)`` float32, normalised, 0 outside the brain."""
    brain_mask: Volume
    """``(x, y, z)`` bool."""
    lesion_mask: Volume
    """``(x, y, z)`` bool."""
    jacobian: Volume
    """``(x, y, z)`` float32, d(template) / d(native), affine part left out; 1 outside the template's brain."""
    regions: Volume
    """``(x, y, z)`` int32 labels of ``imaging.regions.REGIONS``: the patient's own."""
    flair_to_t1w: np.ndarray
    """``(4, 4)`` that brings FLAIR to T1w: from a T1w point to the FLAIR point, RAS+ millimetres."""
    t1w_to_template: np.ndarray
    """``(4, 4)`` that brings T1w to the template: from a template point to the T1w point."""
    warp: Volume
    """``(3, x, y, z)`` millimetres at 2 mm: from a template point to the affinely aligned patient's point."""
    native_t1w: Volume
    """``(x, y, z)`` the bias-corrected T1w on its own grid, for pictures."""
    native_mask: np.ndarray
    """``(x, y, z)`` bool, the brain on the T1w's grid."""
    volumes_ml: dict[str, float]
    """Native volumes in millilitres, by the names of the baselines' features."""
    quality: dict[str, float]
    """Measures of ``imaging.quality``."""
    flags: tuple[str, ...]
    """What a person should look at."""
    steps: tuple[str, ...]
    """What was done, in words."""
    seconds: dict[str, float]
    """Wall-clock time of each step."""


def to_template(
    t1w: Volume,
    flair: Volume,
    template: Template,
    settings: PreprocessingSettings,
    brain_mask: Volume | None = None,
    lesion_mask: Volume | None = None,
    network: object | None = None,
    threads: int = 1,
    flair_lesion_mask: Volume | None = None,
    parcellation: Volume | None = None,
    linear: alignment.Linear | None = None,
    made_by: Mapping[str, str] | None = None,
    lesion_network: object | None = None,
) -> Preprocessed:
    """Bring one scan to the template.

    1. Brain: the mask that was given, or the brain network's (which was trained on uneven intensities).
    2. N4 bias correction of T1w inside the brain.
    3. N4 of FLAIR inside the brain; FLAIR to T1w, rigid.
    4. T1w to the template, rigid then affine (12 degrees of freedom), from several starts.
    5. One resampling of each image to 1 mm.
    6. Non-linear registration (SyN) for the Jacobian determinant, for the template's labels and priors, and
       for the edge of our own brain mask.
    7. Tissue, regions, lesions (then, with lesions filled, tissue and regions again); native volumes.
    8. Crop, block means on coarser grids, normalisation; quality measures.

    Parameters
    ----------
    t1w, flair : Volume
        ``(x, y, z)`` raw images, each on its own grid.
    template : Template
        On its whole 1 mm grid (``store.template.full``).
    settings : PreprocessingSettings
        Grid, normalisation, number of starts.
    brain_mask, lesion_mask : Volume, optional
        ``(x, y, z)`` in the space of the T1w, on any grid; used instead of our own.
    network : optional
        What ``imaging.brain_network.load`` returned; needed where no brain mask is given.
    threads : int
        For ITK; results repeat exactly with one.
    flair_lesion_mask : Volume, optional
        ``(x, y, z)`` in the space of the FLAIR; where ``lesion_mask`` is absent.
    parcellation : Volume, optional
        ``(x, y, z)`` FreeSurfer's label values in the space of the T1w, instead of the template's.
    linear : optional
        Who registers linearly; default: ANTs.
    made_by : mapping of str to str, optional
        Name of the program that made ``brain_mask``, ``lesion_mask`` or ``parcellation``, for the record.
    lesion_network : optional
        What ``imaging.lesion_network.load`` returned; without it, and where no lesion mask is given,
        lesions are found by thresholds.

    Raises
    ------
    ImageError
        For images that are empty or constant in the brain, and for an empty brain mask.
    EngineError
        When a registration fails or the crop loses too much of the brain.
    """
    clock = _Clock()
    steps: list[str] = []
    linear, made_by = ants if linear is None else linear, made_by or {}

    with clock("brain"):
        native_mask, is_final = brain.find(t1w, brain_mask, network, steps, made_by.get("brain_mask"))
    with clock("bias_t1w"):
        native_t1w = Volume(n4(t1w, native_mask, threads), t1w.affine)
        brain_t1w = Volume(truncate(native_t1w.data * native_mask), t1w.affine)
        steps.append("N4 bias correction of T1w inside the brain")
    with clock("bias_flair"):
        corrected_flair = Volume(_correct_flair(flair, Volume(native_mask, t1w.affine), threads), flair.affine)
        steps.append("N4 bias correction of FLAIR inside the brain")
    with clock("flair_to_t1w"):
        flair_to_t1w = alignment.flair_to_t1w(native_t1w, corrected_flair, native_mask, linear, threads)
        steps.append("FLAIR registered to T1w (rigid, mutual information)")
    with clock("affine"):
        fixed = isotropic(Volume(template.t1, template.affine), REGISTRATION_MM)
        moving = isotropic(brain_t1w, REGISTRATION_MM)
        where = Volume(native_mask, t1w.affine)
        matrix = alignment.t1w_to_template(fixed, moving, template, where, settings, linear, threads)
        starts = f"best of {settings.registration_starts} starts"
        steps.append(f"T1w registered to the template (rigid, affine; {starts}; {_program(settings)})")
    with clock("resample"):
        whole = Grid(template.t1.shape, template.affine)
        template_t1w = resample(native_t1w, whole, matrix)
        template_flair = resample(corrected_flair, whole, flair_to_t1w @ matrix)
        steps.append("T1w and FLAIR each resampled once, to 1 mm")
    with clock("syn"):
        coarse = Grid(fixed.data.shape, fixed.affine)
        aligned = Volume(resample(brain_t1w, coarse, matrix), fixed.affine)
        warp = ants.syn(fixed, aligned, threads)
        determinant = Volume(jacobian(warp.inverse), fixed.affine)
        steps.append("non-linear registration (SyN, 2 mm); Jacobian determinant d(template)/d(native)")
    with clock("mask"):
        if not is_final:
            native_mask = brain.refine(Volume(native_mask, t1w.affine), template, matrix, warp.inverse)
            steps.append("brain mask: the template's brain through that registration, where the network nearly agrees")
        mask = move_mask(Volume(native_mask, t1w.affine), whole, matrix)
        template_t1w *= mask
        template_flair *= mask
    with clock("tissue"):
        fractions = np.stack([template.grey, template.white, template.csf])
        priors = _in_box(mask, Volume(fractions, template.affine), whole, warp.inverse, order=1)
        given = lesion_mask if lesion_mask is not None else flair_lesion_mask
        lesions = np.zeros(mask.shape, dtype=bool)
        if given is not None:
            to_given = matrix if lesion_mask is not None else flair_to_t1w @ matrix
            lesions = move_mask(Volume(given.data != 0, given.affine), whole, to_given) & mask
            steps.append(f"lesion mask {_said(made_by.get('lesion_mask'))}")
        grey, white, csf = _tissue(template_t1w, lesions, mask, priors)
        steps.append("tissue on T1w as shares of each voxel, with the template's priors; lesions filled first")
    with clock("regions"):
        if parcellation is None:
            atlas = _in_box(mask, Volume(template.atlas, template.affine), whole, warp.inverse, order=0)
        else:
            atlas = resample(parcellation, whole, matrix, order=0)
        regions = _regions(atlas, grey, white, csf, mask, settings)
        whose = "of the template" if parcellation is None else made_by.get("parcellation", "as given")
        steps.append(f"Desikan-Killiany labels {whose}, fitted to the patient's tissue")
    with clock("lesions"):
        if given is None:
            box = _box(mask)
            if lesion_network is None:
                seen = (template_flair, mask, grey, priors[1], regions)
                lesions[box] = segment_lesions(*(image[box] for image in seen))
                steps.append("lesions by thresholds on FLAIR against the patient's grey matter (unsupervised)")
            else:
                seen = (template_t1w, template_flair, mask, grey, priors[1], priors[2])
                lesions[box] = find_lesions(*(image[box] for image in seen), lesion_network)
                steps.append("lesions by our own network on T1w and FLAIR (trained on simulated scans)")
            if lesions.any():  # they were sought among tissue that they had disturbed
                grey, white, csf = _tissue(template_t1w, lesions, mask, priors)
                regions = _regions(atlas, grey, white, csf, mask, settings)
    with clock("measures"):
        native_ml = abs(np.linalg.det(matrix[:3, :3])) / 1000
        volumes = native_volumes_ml(grey, white, csf, regions, lesions, native_ml)
        if given is not None:
            volumes["lesions"] = float(np.count_nonzero(given.data) * given.voxel_volume_ml)
        warped = resample(aligned, coarse, displacement=warp.forward)
        core = move_mask(Volume(template.brain_mask, template.affine), coarse, np.eye(4))
        folded = determinant.data[move_mask(Volume(mask, template.affine), coarse, np.eye(4))] <= 0
        mask_ml = float(np.count_nonzero(native_mask) * t1w.voxel_volume_ml)
        measures = {
            "mask_ml": mask_ml,
            # two counts of one volume: tissue on the template's grid, voxels on the scan's own
            "volume_gap": volumes["intracranial"] / mask_ml - 1,
            "mask_border_voxels": float(quality.border_voxels(native_mask)),
            "volume_factor": float(1 / (1000 * native_ml)),
            "warped_correlation": quality.correlation(warped[core], fixed.data[core]),
            "folded_share": float(np.mean(folded)),
            "folded_voxels": float(np.count_nonzero(folded)),
            "crop_loss": crop.crop_loss(mask),
            "t1w_missing_share": _missing_share(t1w, whole, matrix, template.brain_mask),
            "flair_missing_share": _missing_share(flair, whole, flair_to_t1w @ matrix, template.brain_mask),
            "edge_agreement": quality.edge_agreement(template_t1w, template_flair, mask),
            "tissue_contrast": quality.tissue_contrast(template_t1w, grey, white),
            "t1w_clipped_share": quality.clipped_share(t1w.data[native_mask]),
            "flair_clipped_share": quality.clipped_share(flair.data[_on(native_mask, t1w, flair, flair_to_t1w)]),
            "slice_thickness_mm": float(max(t1w.voxel_size_mm.max(), flair.voxel_size_mm.max())),
        }
    if measures["crop_loss"] > settings.max_crop_loss:
        raise EngineError(
            f"the crop would lose {measures['crop_loss']:.2%} of the brain; at most "
            f"{settings.max_crop_loss:.2%} is allowed",
            code="crop-loss",
            remedy="look at the brain mask: it may hold skull or neck, or the registration failed",
        )
    with clock("grid"):
        study = crop.study_grid(settings.voxel_size_mm)

        def share(image: np.ndarray) -> np.ndarray:
            return crop.block_mean(crop.crop(image), settings.voxel_size_mm)

        small_mask = share(mask) >= 0.5
        images = [
            normalise(share(image), small_mask, settings.normalisation) for image in (template_t1w, template_flair)
        ]
        steps.append(f"cropped to {study.shape} voxels of {settings.voxel_size_mm} mm, {settings.normalisation} scale")
        core_t1w, core_mask = share(template.t1), share(template.brain_mask) >= 0.5
        measures |= quality.placed_measures(*images, small_mask, core_t1w, core_mask)
        # Around the brain the warp has nothing to hold on to: no change is said there.
        small_jacobian = np.where(crop.crop(mask), resample(determinant, crop.study_grid(1)), 1)
        small_regions = crop.block_majority(crop.crop(regions), settings.voxel_size_mm) * small_mask

    def placed(data: np.ndarray) -> Volume:
        return Volume(data, study.affine)

    return Preprocessed(
        t1w=placed(images[0]),
        flair=placed(images[1]),
        brain_mask=placed(small_mask),
        lesion_mask=placed(share(lesions) >= 0.5),
        jacobian=placed(crop.block_mean(small_jacobian, settings.voxel_size_mm)),
        regions=placed(small_regions),
        flair_to_t1w=flair_to_t1w,
        t1w_to_template=matrix,
        warp=warp.forward,
        native_t1w=native_t1w,
        native_mask=native_mask,
        volumes_ml=volumes,
        quality=measures,
        flags=quality.flags(measures),
        steps=tuple(steps),
        seconds=clock.seconds,
    )


def _program(settings: PreprocessingSettings) -> str:
    return {"ants": "ANTs", "flirt": "FSL FLIRT"}[settings.registration]


def _said(maker: str | None) -> str:
    return "as given" if maker is None else f"by {maker}"


def _on(mask: np.ndarray, t1w: Volume, flair: Volume, flair_to_t1w: np.ndarray) -> np.ndarray:
    """Bring the brain mask to the FLAIR's grid."""
    return move_mask(Volume(mask, t1w.affine), Grid(flair.data.shape, flair.affine), np.linalg.inv(flair_to_t1w))


def _missing_share(image: Volume, grid: Grid, matrix: np.ndarray, brain_mask: np.ndarray) -> float:
    """Return the share of the template's brain that lies outside an image's field of view."""
    voxels = np.argwhere(brain_mask)[::97]
    to_voxel = np.linalg.inv(image.affine) @ matrix @ grid.affine
    found = voxels @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    outside = (found < -0.5) | (found > np.array(image.data.shape) - 0.5)
    return float(outside.any(axis=1).mean())


class _Clock:
    """Wall-clock seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 2)


def _correct_flair(flair: Volume, native_mask: Volume, threads: int) -> np.ndarray:
    """N4 of FLAIR where its header says that the brain is, or in the whole head where that is nowhere."""
    inside = move_mask(native_mask, Grid(flair.data.shape, flair.affine), np.eye(4))
    if not inside.any():
        inside = head_mask(flair.data)
    return n4(flair, inside, threads)


def _in_box(mask: np.ndarray, source: Volume, grid: Grid, displacement: Volume, order: int) -> np.ndarray:
    """Resample in the mask's bounding box only; 0 outside."""
    box = _box(mask)
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    part = resample(source, Grid(mask[box].shape, affine), displacement=displacement, order=order)
    whole = np.zeros((*part.shape[:-3], *mask.shape), dtype=part.dtype)
    whole[..., *box] = part
    return whole


def _tissue(t1w: np.ndarray, lesions: np.ndarray, mask: np.ndarray, priors: np.ndarray) -> tuple[np.ndarray, ...]:
    """Grey matter, white matter and CSF of the T1w without its lesions, computed in the brain's bounding box."""
    box = _box(mask)
    inside = mask[box]
    filled = fill_lesions(t1w[box], lesions[box], priors[1][box], inside)
    maps = np.zeros((3, *mask.shape), dtype=np.float32)
    maps[:, *box] = segment(filled, inside, *(prior[box] for prior in priors))
    return tuple(maps)


def _regions(atlas, grey, white, csf, mask, settings: PreprocessingSettings) -> np.ndarray:
    """The patient's regions, computed in the brain's bounding box."""
    box = _box(mask)
    regions = np.zeros(mask.shape, dtype=np.int32)
    regions[box] = template_regions(
        *(image[box] for image in (atlas, grey, white, csf, mask)), 1.0, settings.periventricular_mm
    )
    return regions


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    return ndimage.find_objects(mask.view(np.int8))[0]
