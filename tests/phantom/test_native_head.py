"""A toy head in the scanner: what is stored agrees with what is said of it."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from relevox.config import PhantomSettings
from relevox.phantom import native_head, native_scanner
from relevox.phantom.anatomy import Anatomy
from relevox.phantom.cohort import draw_patients
from relevox.phantom.contrast import ALL_SCANNERS
from relevox.phantom.head_space import rotation_matrix
from relevox.phantom.head_template import head_template
from relevox.phantom.lesions import Lesions
from relevox.phantom.native_brain import fold
from relevox.phantom.native_contrast import native_contrast
from relevox.phantom.native_head import MARGIN_MM, Surroundings, native_pair
from relevox.phantom.patient import Patient

RADIUS, SIZE = 34.0, 72
VOXEL_ML = 0.0008


def ball(size):
    """Radius of each voxel of a cube around its middle."""
    axis = np.arange(size) - (size - 1) / 2
    return np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij"))).astype(np.float32)


def ball_tissue(size):
    """Fluid in the middle, white matter, grey matter, a rim of fluid; and what else is known of a voxel."""
    radius = ball(size)
    csf = ((radius < 6) | ((radius > RADIUS - 3) & (radius <= RADIUS))).astype(np.float32)
    grey = ((radius > RADIUS - 8) & (radius <= RADIUS - 3)).astype(np.float32)
    white = ((radius >= 6) & (radius <= RADIUS - 8)).astype(np.float32)
    ventricles, none = (radius < 6).astype(np.float32), np.zeros_like(radius)
    distances = np.clip(radius - 6, 0, None), np.clip(RADIUS - 8 - radius, 0, None)
    return grey, white, csf, ventricles, none, *distances, none


@pytest.fixture(scope="module")
def toy():
    """A spherical brain, undeformed, with one lesion of each kind."""
    tissue = ball_tissue(SIZE)
    shift = np.zeros((3, SIZE, SIZE, SIZE), np.float32)
    anatomy = Anatomy(*tissue, np.ones((SIZE,) * 3, np.float32), shift)
    x = np.arange(SIZE) - (SIZE - 1) / 2
    inner, outer = np.zeros((2, SIZE, SIZE, SIZE), bool)
    inner[np.abs(x - 11) < 3] = outer[np.abs(x + 19) < 4] = True
    disc = ball(SIZE) < 22
    core = (np.abs(x) < 5)[None, :, None] & (np.abs(x) < 5)[None, None, :]
    lesions = Lesions(inner & disc & core, outer & disc & core)

    wide = SIZE + 2 * MARGIN_MM
    maps = np.stack(ball_tissue(wide))
    middle = np.array(native_head.BRAIN_CENTRE_MM)
    affine = np.diag([2.0, 2, 2, 1])
    n = 60
    affine[:3, 3] = middle - (n - 1)
    inside = 2 * ball(n) <= RADIUS
    share = inside.astype(np.float32)
    template = head_template(0 * share, 0 * share, share, inside, affine, factor=1)
    patient = Patient(anatomy, lesions, shift, None, VOXEL_ML)
    return patient, Surroundings(maps, template, tuple(middle - (wide - 1) / 2))


def test_masks_are_looked_for_only_where_they_can_be_and_lose_nothing():
    rng = np.random.default_rng(0)
    image = np.zeros((20, 24, 18), np.float32)
    image[3:9, 10:20, 0:5] = rng.uniform(0.4, 1, (6, 10, 5))
    to_head = np.eye(4)
    to_head[:3, :3] = rotation_matrix(np.array([20.0, -30, 10]))
    affine = np.diag([0.8, 0.9, 3.0, 1])
    affine[:3, 3] = 0, 2, -20
    for shape in ((40, 40, 12), (20, 40, 5)):
        matrix = to_head @ affine - np.outer([5, 4, 3, 0], [0, 0, 0, 1])
        found = native_head._share_on(image, np.array([5, 4, 3]), to_head, shape, affine)
        whole = sum(
            ndimage.affine_transform(image, matrix[:3, :3], matrix[:3, 3] + matrix[:3, 2] * z, shape, order=1)
            for z in (-0.3, 0.0, 0.3)
        )
        assert found.any()
        np.testing.assert_array_equal(found, whole >= 1.5)
    assert not native_head._share_on(0 * image, np.zeros(3), to_head, (4, 4, 4), affine).any()


def scan(toy, scanner="Avanto", visit=0, seed=5):
    """Scan the toy with voxels three times as large, in a second."""
    patient, surroundings = toy
    planned = draw_patients(PhantomSettings(n_patients=2, n_repeated=1), 0)[visit]
    number = [s.name for s in ALL_SCANNERS].index(scanner)
    planned = planned.__class__(**{**vars(planned), "scanner": number})

    def coarse(scanner, kind, slices, original=native_scanner.protocol):
        geometry = original(scanner, kind, slices)
        return geometry._replace(
            voxel_mm=tuple(max(2.0, size) for size in geometry.voxel_mm), matrix=(60, 60, 60), interpolation=1
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_scanner, "protocol", coarse)
        return native_pair(patient, surroundings, planned, seed)


@pytest.fixture(scope="module")
def pair(toy):
    return scan(toy)


def test_images_are_whole_numbers_and_never_negative(pair):
    for image in (pair.t1w, pair.flair):
        assert image.data.dtype == np.int16 and image.data.min() >= 0
        assert image.data.max() > 100


def test_the_same_seed_gives_the_same_head_and_another_another(toy, pair):
    again, other = scan(toy), scan(toy, seed=6)
    np.testing.assert_array_equal(again.t1w.data, pair.t1w.data)
    np.testing.assert_array_equal(again.flair.data, pair.flair.data)
    assert not np.allclose(other.truth.to_t1w, pair.truth.to_t1w)


def test_the_true_map_brings_the_brain_mask_onto_the_aligned_brain(pair):
    known = pair.truth
    points = np.argwhere(known.t1w_brain.data) @ known.t1w_brain.affine[:3, :3].T + known.t1w_brain.affine[:3, 3]
    aligned = np.linalg.inv(known.to_t1w) @ np.vstack([points.T, np.ones(len(points))])
    radius = np.linalg.norm(aligned[:3] - np.array(native_head.BRAIN_CENTRE_MM)[:, None], axis=0)
    assert radius.max() < RADIUS + 2.0
    ml = known.t1w_brain.data.sum() * known.t1w_brain.voxel_volume_ml
    np.testing.assert_allclose(ml, 4 / 3 * np.pi * RADIUS**3 * VOXEL_ML, rtol=0.03)
    np.testing.assert_allclose(np.linalg.det(known.to_t1w[:3, :3]), 1000 * VOXEL_ML, rtol=1e-6)


def test_the_patient_moves_rigidly_and_little_between_the_sequences(pair):
    moved = pair.truth.to_flair @ np.linalg.inv(pair.truth.to_t1w)
    np.testing.assert_allclose(moved[:3, :3] @ moved[:3, :3].T, np.eye(3), atol=1e-9)
    assert 0.1 < np.linalg.norm(moved[:3, 3]) < 6


def test_lesions_lie_where_the_truth_says_and_are_bright_on_flair(pair):
    known = pair.truth
    lesion = known.flair_lesions.data
    assert lesion.any()
    around = ndimage.binary_dilation(lesion, iterations=4) & ~ndimage.binary_dilation(lesion, iterations=2)
    assert np.median(pair.flair.data[lesion]) > 1.25 * np.median(pair.flair.data[around])
    lesion = ndimage.binary_erosion(known.t1w_lesions.data)
    around = ndimage.binary_dilation(lesion, iterations=4) & ~ndimage.binary_dilation(lesion, iterations=3)
    assert np.median(pair.t1w.data[lesion]) < np.median(pair.t1w.data[around])


def test_there_is_a_head_around_the_brain_and_noise_around_the_head(pair):
    known = pair.truth
    spacing = known.t1w_brain.voxel_size_mm
    distance = ndimage.distance_transform_edt(~known.t1w_brain.data, sampling=spacing)
    scalp = pair.t1w.data[(distance > 8) & (distance < 16)]
    air = np.percentile(pair.t1w.data, 5)
    assert np.percentile(scalp, 90) > np.median(pair.t1w.data[known.t1w_brain.data])
    assert 0 < air < 0.2 * np.median(pair.t1w.data[known.t1w_brain.data])


def test_t1w_is_sagittal_flair_axial_and_an_external_flair_3d(toy, pair):
    assert nib.aff2axcodes(pair.flair.affine)[2] == "S"
    assert pair.flair.voxel_size_mm.max() == pytest.approx(3.0)
    external = scan(toy, "Skyra")
    assert external.flair.voxel_size_mm.max() == pytest.approx(2.0)


def test_sulci_open_in_the_cortex_and_leave_the_volumes_as_they_are(toy):
    grey, white, csf, *rest = toy[0].anatomy
    # borders are blurred, as an average's are
    anatomy = Anatomy(*(ndimage.gaussian_filter(image, 1.5) for image in (grey, white, csf)), *rest)
    depth = RADIUS - ball(SIZE)
    folded = fold(anatomy, depth, 1.0, np.random.default_rng(0))
    tissue, before = (np.stack(a[:3]) for a in (folded, anatomy))
    np.testing.assert_allclose(tissue.sum(axis=0), before.sum(axis=0), atol=1e-5)
    np.testing.assert_allclose(tissue.sum(axis=(1, 2, 3)), before.sum(axis=(1, 2, 3)), rtol=5e-3)
    assert (folded.csf - anatomy.csf)[anatomy.grey > 0.5].max() > 0.6
    inside = depth > 28  # the fluid in the middle
    np.testing.assert_allclose(folded.csf[inside], anatomy.csf[inside], atol=1e-3)


def test_within_the_box_the_brain_is_the_patients_own_and_beyond_it_the_templates(toy):
    patient, surroundings = toy[:2]
    own = patient.anatomy._replace(
        grey=0.9 * patient.anatomy.grey, csf=patient.anatomy.csf + 0.1 * patient.anatomy.grey
    )
    wider = native_head._wider(own, surroundings)
    inside = (slice(MARGIN_MM, -MARGIN_MM),) * 3
    for field in ("grey", "white", "csf"):
        np.testing.assert_array_equal(getattr(wider, field)[inside], getattr(own, field))
    beyond = np.ones(wider.grey.shape, bool)
    beyond[inside] = False
    np.testing.assert_array_equal(wider.csf[beyond], surroundings.maps[2][beyond])


@pytest.mark.parametrize("scanner", ALL_SCANNERS, ids=lambda s: s.name)
def test_fat_is_brightest_unless_it_is_saturated_and_bone_is_black(scanner):
    t1w = native_contrast(scanner, "t1w")
    assert t1w.fat > t1w.white > t1w.grey > t1w.muscle * 0.8 > t1w.csf and t1w.bone < 0.1
    flair, suppressed = (native_contrast(scanner, "flair", s) for s in (False, True))
    assert flair.fat > flair.lesion > flair.white > flair.muscle
    assert suppressed.fat < 0.5 * suppressed.white and suppressed.fat < suppressed.orbital_fat < flair.orbital_fat
