import gzip
import os
import struct

import nibabel as nib
import numpy as np
import pytest

from relevox.errors import ImageError
from relevox.records import Volume
from relevox.store import images


@pytest.fixture
def volume():
    data = np.random.default_rng(0).random((6, 7, 8), dtype=np.float32)
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-5, 4, 3)
    return Volume(data, affine)


@pytest.fixture
def file(tmp_path, volume):
    return images.write(tmp_path / "sub-01_T1w.nii.gz", volume)


def code(path):
    with pytest.raises(ImageError) as caught:
        images.read(path)
    return caught.value.code


def test_what_is_written_is_read_back(file, volume):
    again = images.read(file)
    assert np.array_equal(again.data, volume.data)
    assert np.allclose(again.affine, volume.affine)


def test_the_same_image_gives_the_same_bytes(tmp_path, file, volume):
    assert images.write(tmp_path / "other.nii.gz", volume).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, -1)])
@pytest.mark.parametrize(("qform", "sform"), [(1, 1), (1, 0), (0, 1)])
def test_every_orientation_of_one_image_is_read_as_the_same_volume(tmp_path, volume, axes, flips, qform, sform):
    """To the bit: registrations make a tenth of a millimetre from differences in the sixth decimal."""
    oblique = volume.affine.copy()
    oblique[1:3, 1:3] = np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]) @ oblique[1:3, 1:3]
    oblique[:3, 3] = (-87.3219, 113.4567, -61.9871)
    image = nib.Nifti1Image(volume.data, oblique)
    nib.save(image, tmp_path / "straight.nii.gz")
    orientation = np.array([[axis, flip] for axis, flip in zip(axes, flips, strict=True)])
    turned = image.as_reoriented(orientation)
    affine = turned.affine.copy()
    turned.set_qform(affine, qform)
    turned.set_sform(affine, sform)
    nib.save(turned, tmp_path / "turned.nii.gz")
    straight, again = (images.read(tmp_path / f"{name}.nii.gz") for name in ("straight", "turned"))
    assert np.array_equal(again.data, straight.data)
    assert np.array_equal(again.affine, straight.affine)
    assert np.allclose(again.affine, oblique, atol=1e-3)


def test_one_flipped_bit_is_refused(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    assert code(file) == "image-damaged"


@pytest.mark.parametrize("missing", [4, 8, 200])
def test_a_truncated_stream_is_refused(file, missing):
    file.write_bytes(file.read_bytes()[:-missing])
    assert code(file) == "image-damaged"


def test_empty_text_and_misnamed_files_are_refused(tmp_path, file):
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    assert code(tmp_path / "empty.nii.gz") == "image-unreadable"
    (tmp_path / "text.nii").write_text("no image " * 100)
    assert code(tmp_path / "text.nii") == "image-unreadable"
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"no image " * 100))
    assert code(tmp_path / "text.nii.gz") == "image-unreadable"
    (tmp_path / "gz.nii").write_bytes(file.read_bytes())
    assert code(tmp_path / "gz.nii") == "image-name"
    (tmp_path / "plain.nii.gz").write_bytes(gzip.decompress(file.read_bytes()))
    assert code(tmp_path / "plain.nii.gz") == "image-name"


def test_a_folder_a_broken_link_and_a_pipe_are_refused_without_waiting(tmp_path):
    (tmp_path / "folder.nii.gz").mkdir()
    assert code(tmp_path / "folder.nii.gz") == "image-unreadable"
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "nowhere")
    assert code(tmp_path / "link.nii.gz") == "image-missing"
    os.mkfifo(tmp_path / "pipe.nii.gz")
    assert code(tmp_path / "pipe.nii.gz") == "image-unreadable"


def _patched(tmp_path, volume, offset, content):
    plain = bytearray(nib.Nifti1Image(volume.data, volume.affine).to_bytes())
    plain[offset : offset + len(content)] = content
    path = tmp_path / "patched.nii"
    path.write_bytes(plain)
    return path


def test_a_header_that_asks_for_gigabytes_is_refused(tmp_path, volume):
    path = _patched(tmp_path, volume, 40, struct.pack("<8h", 3, 30000, 30000, 300, 1, 1, 1, 1))
    assert code(path) == "image-too-large"


def test_missing_orientation_codes_are_refused(tmp_path, volume):
    assert code(_patched(tmp_path, volume, 252, struct.pack("<2h", 0, 0))) == "image-orientation"


def test_a_qform_that_contradicts_the_sform_is_refused(tmp_path, volume):
    image = nib.Nifti1Image(volume.data, volume.affine)
    image.set_sform(volume.affine, 1)
    shifted = volume.affine.copy()
    shifted[0, 3] += 20
    image.set_qform(shifted, 1)
    nib.save(image, tmp_path / "two.nii.gz")
    assert code(tmp_path / "two.nii.gz") == "image-orientation"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.full((4, 4, 4), np.nan, np.float32), "image-not-finite"),
        (np.zeros((4, 4, 4, 2), np.float32), "image-shape"),
        (np.zeros((4, 4), np.float32), "image-shape"),
        (np.zeros((4, 4, 4), np.complex64), "image-not-real"),
    ],
)
def test_unusable_voxels_are_refused(tmp_path, data, expected):
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "bad.nii.gz")
    assert code(tmp_path / "bad.nii.gz") == expected


@pytest.mark.parametrize("value", [0, 7])
def test_a_scan_that_shows_nothing_is_refused_and_an_empty_mask_is_not(tmp_path, volume, value):
    path = images.write(tmp_path / "same.nii.gz", Volume(np.full_like(volume.data, value), volume.affine))
    with pytest.raises(ImageError) as caught:
        images.read_scan(path)
    assert caught.value.code == "image-constant" and f"every voxel is {value}" in caught.value.message
    assert (images.read_labels(path).data == value).all()


def test_a_fourth_axis_of_one_is_dropped(tmp_path, volume):
    nib.save(nib.Nifti1Image(volume.data[..., None], volume.affine), tmp_path / "four.nii.gz")
    assert images.read(tmp_path / "four.nii.gz").data.shape == volume.data.shape


def test_an_affine_that_cannot_be_inverted_is_refused(tmp_path, volume):
    path = _patched(tmp_path, volume, 280, struct.pack("<12f", *[0.0] * 12))
    assert code(path) == "image-affine"


def test_labels_are_whole_numbers(tmp_path, volume):
    images.write(tmp_path / "labels.nii.gz", Volume(np.arange(24).reshape(2, 3, 4), volume.affine))
    assert images.read_labels(tmp_path / "labels.nii.gz").data.dtype == np.int32
    images.write(tmp_path / "half.nii.gz", Volume(np.full((2, 3, 4), 0.5, np.float32), volume.affine))
    with pytest.raises(ImageError, match="whole numbers"):
        images.read_labels(tmp_path / "half.nii.gz")


def test_nothing_of_the_input_header_travels_on(tmp_path, volume):
    image = nib.Nifti1Image(volume.data, volume.affine)
    image.header["descrip"] = b"DOE^JOHN"
    image.header["db_name"] = b"MRN12345"
    nib.save(image, tmp_path / "in.nii.gz")
    images.write(tmp_path / "out.nii.gz", images.read(tmp_path / "in.nii.gz"))
    content = gzip.decompress((tmp_path / "out.nii.gz").read_bytes())
    assert b"DOE" not in content and b"MRN" not in content


def test_an_interrupted_write_leaves_the_old_file(tmp_path, file, volume, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr(nib.Nifti1Image, "to_bytes", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        images.write(file, Volume(volume.data * 2, volume.affine))
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [file.name]
