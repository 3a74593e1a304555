from typing import ClassVar

import numpy as np
import pytest
from scipy import ndimage

from relevox.config import PreprocessingSettings
from relevox.engines import alignment, ants, brain, chain
from relevox.errors import EngineError, ImageError
from relevox.imaging import brain_network
from relevox.imaging.brain_network import BrainMask
from relevox.imaging.crop import Grid, study_grid
from relevox.imaging.quality import correlation, dice
from relevox.imaging.resample import resample
from relevox.records import Volume
from relevox.store import template

SCALE = 0.9
"""The patient's brain is this much smaller along each axis than the template's."""


def nod(degrees, shift, scale=1.0):
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= scale
    matrix[:3, 3] = shift
    return matrix


TO_PATIENT = nod(9, (2, -6, 11), SCALE)
"""From a template point to the patient's point."""

TO_FLAIR = nod(2, (1, 2, -1))
"""From a T1w point to the FLAIR point: the patient moved between the two."""

LESIONS_MM = ((-25, 10, 25), (26, -20, 28), (-28, -35, 22))


class KnownRegistration:
    """Stands for ANTs: it knows where the patient lies."""

    @staticmethod
    def rigid(fixed, moving, start=None, threads=1):
        return TO_FLAIR if np.allclose(fixed.voxel_size_mm, alignment.RIGID_MM) else start

    @staticmethod
    def affine(fixed, moving, start=None, threads=1):
        return TO_PATIENT

    @staticmethod
    def syn(fixed, moving, threads=1):
        still = Volume(np.zeros((3, *fixed.data.shape), dtype=np.float32), fixed.affine)
        return ants.Warp(still, still)


@pytest.fixture(scope="module")
def patient():
    """The template as a patient: smaller, turned, in thick slices, with three lesions bright on FLAIR."""
    head = template.full()
    rng = np.random.default_rng(0)
    x, y, z = (
        np.arange(n)[(None,) * k + (slice(None),) + (None,) * (2 - k)] + head.affine[k, 3]
        for k, n in enumerate(head.t1.shape)
    )
    lesions = np.zeros(head.t1.shape, dtype=bool)
    for a, b, c in LESIONS_MM:
        lesions |= (x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < 5**2
    flair = (0.9 * head.grey + 0.75 * head.white + 0.15 * head.csf) * head.brain_mask
    flair[lesions] = 1.5

    def scanned(image, to_image, voxel, shape, noise, affine_turn):
        affine = nod(affine_turn, (0, 0, 0)) @ np.diag([*voxel, 1.0])
        centre = (to_image @ [0, -18, 5, 1])[:3]
        affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        grid = Grid(shape, affine)
        data = resample(Volume(image.astype(np.float32), head.affine), grid, np.linalg.inv(to_image))
        return Volume(data + (rng.normal(0, noise, shape) if noise else 0), affine)

    t1w = scanned(900 * head.t1, TO_PATIENT, (1.2, 1.2, 3.0), (140, 160, 54), 8, 5)
    mask = scanned(head.brain_mask, TO_PATIENT, (1.2, 1.2, 3.0), (140, 160, 54), 0, 5)
    flair = scanned(400 * flair, TO_FLAIR @ TO_PATIENT, (1.2, 1.2, 3.0), (140, 160, 54), 3, -3)
    return head, t1w, flair, Volume(mask.data > 0.5, mask.affine), lesions


@pytest.fixture(scope="module")
def found(patient):
    head, t1w, flair, mask, _ = patient
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "ants", KnownRegistration)
        return chain.to_template(t1w, flair, head, PreprocessingSettings(), brain_mask=mask)


def test_the_patient_lies_on_the_template(patient, found):
    head = template.load(1)
    assert found.t1w.data.shape == study_grid(1).shape
    assert np.array_equal(found.t1w.affine, study_grid(1).affine)
    assert dice(found.brain_mask.data, head.brain_mask) > 0.98
    inside = head.brain_mask & found.brain_mask.data
    assert correlation(found.t1w.data[inside], head.t1[inside]) > 0.93
    assert found.quality["t1w_flair_nmi"] > 1.1


def test_images_are_scaled_in_the_brain_and_zero_outside(found):
    for image in (found.t1w, found.flair):
        inside = found.brain_mask.data
        assert np.median(image.data[inside]) == pytest.approx(1)
        assert not image.data[~inside].any()


def test_no_warp_means_no_change_of_volume(found):
    assert np.allclose(found.jacobian.data, 1, atol=1e-5)
    assert found.quality["folded_share"] == 0
    assert found.quality["volume_factor"] == pytest.approx(SCALE**-3)


def test_volumes_are_native_and_add_up(patient, found):
    head, _, _, mask, _ = patient
    native = np.count_nonzero(mask.data) * mask.voxel_volume_ml
    assert found.quality["mask_ml"] == pytest.approx(native)
    assert found.volumes_ml["intracranial"] == pytest.approx(native, rel=0.01)
    assert found.quality["volume_gap"] == pytest.approx(found.volumes_ml["intracranial"] / native - 1)
    assert found.volumes_ml["intracranial"] == pytest.approx(SCALE**3 * head.brain_mask.sum() / 1000, rel=0.02)
    solid = found.volumes_ml["grey_matter"] + found.volumes_ml["white_matter"]
    assert solid == pytest.approx(SCALE**3 * (head.grey + head.white).sum() / 1000, rel=0.08)
    ventricles = SCALE**3 * (template.full().regions == 11).sum() / 1000
    assert found.volumes_ml["lateral_ventricles"] == pytest.approx(ventricles, rel=0.3)


def test_volumes_that_do_not_add_up_to_the_native_mask_raise_a_flag(patient, monkeypatch):
    """As when the brain reaches beyond the template's grid, or a determinant is wrong."""
    head, t1w, flair, mask, _ = patient
    monkeypatch.setattr(chain, "ants", KnownRegistration)
    third = np.full(head.t1.shape, 0.3, np.float32)
    monkeypatch.setattr(chain, "_tissue", lambda t1w, lesions, inside, priors: tuple(third * inside for _ in range(3)))
    monkeypatch.setattr(chain, "_regions", lambda *_: np.zeros(head.t1.shape, np.int32))
    monkeypatch.setattr(chain, "n4", lambda image, *_: np.clip(image.data, 0, None))
    settings = PreprocessingSettings(voxel_size_mm=4, registration_starts=1)
    lesions = Volume(np.zeros_like(mask.data), mask.affine)
    found = chain.to_template(t1w, flair, head, settings, brain_mask=mask, lesion_mask=lesions)
    assert found.quality["volume_gap"] == pytest.approx(-0.1, abs=0.01)
    assert any("differ from the brain mask in volume by -" in flag for flag in found.flags)


def test_lesions_are_found_where_they_are(patient, found):
    *_, lesions = patient
    truth = template.crop.crop(lesions)
    assert dice(found.lesion_mask.data, truth) > 0.6
    native = SCALE**3 * np.count_nonzero(found.lesion_mask.data) / 1000
    assert found.volumes_ml["lesions"] == pytest.approx(native, rel=1e-3)


def test_regions_tile_the_brain_and_resemble_the_template(found):
    head = template.load(1)
    assert np.array_equal(found.regions.data > 0, found.brain_mask.data)
    both = head.brain_mask & found.brain_mask.data
    assert np.mean(found.regions.data[both] == head.regions[both]) > 0.75


def test_tissues_lesions_and_fluid_add_up_to_the_brain(found):
    """White and grey matter and what is left, fluid, are the whole brain; parts never exceed their wholes."""
    volumes = found.volumes_ml
    solid = volumes["grey_matter"] + volumes["white_matter"]
    fluid = volumes["intracranial"] - solid
    assert 0 < volumes["lateral_ventricles"] < fluid
    assert volumes["lesions"] < volumes["white_matter"]
    assert volumes["brainstem_cerebellum"] < solid


def test_a_good_scan_raises_no_flag_and_all_of_it_was_scanned(found):
    measures = found.quality
    assert measures["t1w_missing_share"] == measures["flair_missing_share"] == 0
    assert measures["edge_agreement"] > 0.53 and measures["tissue_contrast"] > 1
    assert found.flags == ()


def test_the_share_of_the_brain_outside_the_image_is_told():
    """The lower half of the box is cut off, and of it the brain's share."""
    grid = Grid((20, 20, 20), np.eye(4))
    brain_mask = np.zeros(grid.shape, dtype=bool)
    brain_mask[5:15, 5:15, 5:15] = True
    image = Volume(np.ones((20, 20, 12), np.float32), nod(0, (0, 0, 8)))
    assert chain._missing_share(image, grid, np.eye(4), np.ones(grid.shape, bool)) == pytest.approx(0.4, abs=0.05)
    assert chain._missing_share(image, grid, np.eye(4), brain_mask) == pytest.approx(0.3, abs=0.1)
    assert chain._missing_share(image, grid, nod(0, (0, 0, 20)), brain_mask) == 1


class LostAtFirst:
    """Registers FLAIR only from the right pose."""

    calls: ClassVar[list[np.ndarray | None]] = []

    @classmethod
    def rigid(cls, fixed, moving, start=None, threads=1):
        cls.calls.append(start)
        wrong = nod(0, (0, 0, 60))
        return wrong if start is None or not np.allclose(start[:3, :3], nod(25, (0, 0, 0))[:3, :3]) else TURNED


TURNED = nod(25, (0, 12, -9))


def test_flair_is_tried_from_other_poses_where_the_headers_mislead(patient):
    _, t1w, _, mask, _ = patient
    small = Volume(t1w.data[::3, ::3, ::2], t1w.affine @ np.diag([3.0, 3, 2, 1]))
    inside = mask.data[::3, ::3, ::2]
    grid = Grid(small.data.shape, small.affine)
    flair = Volume(100 - resample(small, grid, np.linalg.inv(TURNED)) / 20, small.affine)
    found = alignment.flair_to_t1w(small, flair, inside, LostAtFirst, 1)
    assert np.array_equal(found, TURNED)
    assert len(LostAtFirst.calls) == 3  # the headers, the centres, the centres and a nod


def test_a_given_lesion_mask_is_used_and_measured_on_its_own_grid(patient):
    head, t1w, flair, mask, _ = patient
    given = np.zeros(mask.data.shape, dtype=bool)
    given[60:70, 80:90, 30:33] = True
    settings = PreprocessingSettings(voxel_size_mm=4, registration_starts=1, normalisation="minmax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "ants", KnownRegistration)
        result = chain.to_template(t1w, flair, head, settings, brain_mask=mask, lesion_mask=Volume(given, mask.affine))
    assert result.volumes_ml["lesions"] == pytest.approx(300 * mask.voxel_volume_ml)
    assert result.lesion_mask.data.any()
    assert result.t1w.data.shape == study_grid(4).shape
    assert (result.t1w.data.min(), result.t1w.data.max()) == (0, 1)
    assert "lesion mask as given" in result.steps


def test_an_empty_brain_mask_and_a_missing_network_are_said_before_any_work(patient):
    head, t1w, flair, mask, _ = patient
    with pytest.raises(ImageError) as empty:
        chain.to_template(
            t1w, flair, head, PreprocessingSettings(), brain_mask=Volume(np.zeros_like(mask.data), mask.affine)
        )
    assert empty.value.code == "mask-empty"
    with pytest.raises(EngineError) as missing:
        chain.to_template(t1w, flair, head, PreprocessingSettings())
    assert missing.value.code == "brain-mask-missing"


def test_a_brain_that_the_crop_cuts_fails(patient, monkeypatch):
    head, t1w, flair, mask, _ = patient
    monkeypatch.setattr(chain, "ants", KnownRegistration)
    monkeypatch.setattr(chain, "_tissue", lambda *_: (np.zeros(head.t1.shape, np.float32),) * 3)
    monkeypatch.setattr(chain, "_regions", lambda *_: np.zeros(head.t1.shape, np.int32))
    monkeypatch.setattr(chain, "n4", lambda image, *_: np.clip(image.data, 0, None))
    with pytest.raises(EngineError) as cut:
        chain.to_template(
            t1w, flair, head, PreprocessingSettings(max_crop_loss=1e-6), brain_mask=mask, lesion_mask=mask
        )
    assert cut.value.code == "crop-loss"


class LargerPatient(KnownRegistration):
    """Finds that the patient's brain is larger than the template's by a tenth along each axis, about the origin."""

    @staticmethod
    def syn(fixed, moving, threads=1):
        axes = np.indices(fixed.data.shape)
        points = np.einsum("ij,jxyz->ixyz", fixed.affine[:3, :3], axes) + fixed.affine[:3, 3, None, None, None]
        to_patient, to_template = 0.1 * points, points / 1.1 - points
        return ants.Warp(*(Volume(field.astype(np.float32), fixed.affine) for field in (to_patient, to_template)))


def test_a_patient_dilated_by_a_tenth_has_a_jacobian_of_0_751_at_the_end_of_the_chain(patient, monkeypatch):
    """Fails with 1.331 when the two directions of the warp are taken for each other."""
    head, t1w, flair, mask, _ = patient
    monkeypatch.setattr(chain, "ants", LargerPatient)
    monkeypatch.setattr(chain, "_tissue", lambda *_: (np.zeros(head.t1.shape, np.float32),) * 3)
    monkeypatch.setattr(chain, "_regions", lambda *_: np.zeros(head.t1.shape, np.int32))
    monkeypatch.setattr(chain, "n4", lambda image, *_: np.clip(image.data, 0, None))
    settings = PreprocessingSettings(voxel_size_mm=4, registration_starts=1)
    found = chain.to_template(t1w, flair, head, settings, brain_mask=mask, lesion_mask=mask)
    inside = ndimage.binary_erosion(found.brain_mask.data, iterations=2)  # 1 is said outside the brain
    assert found.jacobian.data[inside] == pytest.approx(1 / 1.331, rel=1e-3)


def test_the_best_start_wins():
    """Of several affine registrations the one that looks most like the template is kept."""
    head = template.load(4)
    fixed = Volume(head.t1, head.affine)
    truth = nod(3, (1, 2, 3))
    moving = Volume(resample(fixed, Grid(fixed.data.shape, fixed.affine), np.linalg.inv(truth)), fixed.affine)
    answers = iter([nod(20, (0, 9, 0)), truth, nod(-20, (0, 0, 20))])

    class Guesses:
        rigid = staticmethod(lambda fixed, moving, start, threads: start)
        affine = staticmethod(lambda fixed, moving, start, threads: next(answers))

    settings = PreprocessingSettings(registration_starts=3)
    mask = Volume(head.brain_mask, head.affine)
    found = alignment.t1w_to_template(fixed, moving, head, mask, settings, Guesses, 1)
    assert np.array_equal(found, truth)


def test_what_the_network_found_away_from_the_template_is_cut_and_what_it_missed_by_little_is_added(patient):
    head, _, _, mask, _ = patient
    still = KnownRegistration.syn(Volume(head.t1[::2, ::2, ::2], head.affine @ np.diag([2.0, 2, 2, 1])), None).inverse
    spilled = mask.data.copy()
    spilled[60:80, 70:90, :6] = True  # a piece of neck
    refined = brain.refine(Volume(spilled, mask.affine), head, TO_PATIENT, still)
    assert dice(refined, mask.data) > 0.95
    far = spilled & ~mask.data
    assert far.sum() > 1000 and refined[far].mean() < 0.1
    small = ndimage.binary_erosion(mask.data, iterations=1)
    regrown = brain.refine(Volume(small, mask.affine), head, TO_PATIENT, still)
    assert dice(regrown, mask.data) > dice(small, mask.data)


def test_a_scan_that_was_stripped_already_keeps_its_mask(patient, monkeypatch):
    _, t1w, _, mask, _ = patient
    network = object()
    for stripped in (True, False):
        result = BrainMask(mask.data, np.zeros(mask.data.shape, np.float32), already_stripped=stripped)
        monkeypatch.setattr(brain_network, "brain_mask", lambda image, affine, given, result=result: result)
        found, is_final = brain.find(t1w, None, network, [])
        assert is_final == stripped and np.array_equal(found, mask.data)


def test_lesions_on_the_flair_and_labels_of_another_program_are_brought_along(patient):
    head, t1w, flair, mask, _ = patient
    on_flair = np.zeros(flair.data.shape, dtype=bool)
    on_flair[60:70, 80:90, 30:33] = True
    labels = resample(
        Volume(head.atlas, head.affine), Grid(t1w.data.shape, t1w.affine), np.linalg.inv(TO_PATIENT), order=0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chain, "ants", KnownRegistration)
        result = chain.to_template(
            t1w,
            flair,
            head,
            PreprocessingSettings(voxel_size_mm=4, registration_starts=1),
            brain_mask=mask,
            flair_lesion_mask=Volume(on_flair, flair.affine),
            parcellation=Volume(labels, t1w.affine),
            made_by={"lesion_mask": "LST-AI", "parcellation": "by FastSurfer", "brain_mask": "HD-BET"},
        )
    assert result.volumes_ml["lesions"] == pytest.approx(300 * flair.voxel_volume_ml)
    centre = on_flair.nonzero()
    point = flair.affine @ [*(np.mean(c) for c in centre), 1]
    found = result.lesion_mask.affine @ [*(np.mean(c) for c in result.lesion_mask.data.nonzero()), 1]
    assert np.allclose(found, np.linalg.inv(TO_FLAIR @ TO_PATIENT) @ point, atol=2)
    said = " ".join(result.steps)
    assert all(words in said for words in ("lesion mask by LST-AI", "labels by FastSurfer", "T1w by HD-BET"))
    small = template.load(4)
    both = small.brain_mask & result.brain_mask.data
    assert np.mean(result.regions.data[both] == small.regions[both]) > 0.6
