"""NIfTI in, NIfTI out: the only room that knows nibabel.

Reading refuses what nibabel would load without a word (bit flips, missing
trailers, NaN affines, headers that ask for gigabytes) and turns every image
to RAS+ so that no other room thinks about orientation. Writing makes a fresh
header, so that no name, date or comment of the input travels on, and renames
a finished file into place, so that nothing half written ever counts.
"""

from __future__ import annotations

import gzip
import stat
import warnings
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from relevox.errors import ImageError
from relevox.records import Volume
from relevox.store.atomic import replacing

MAX_BYTES = 4 * 2**30
"""Larger images are refused before memory is asked for."""


def read(path: str | Path) -> Volume:
    """Read a 3-D image as float32, turned to RAS+.

    Parameters
    ----------
    path : path-like
        ``.nii`` or ``.nii.gz``. A fourth axis of length 1 is dropped.

    Returns
    -------
    Volume
        Data ``(x, y, z)``; axes grow to the right, front and top.

    Raises
    ------
    ImageError
        For anything that is not one finite, real, three-dimensional image with a usable affine.
    """
    image = _load(Path(path))
    data = np.asarray(_decoded(image, path), dtype=np.float32)
    if not np.isfinite(data).all():
        raise _error(
            "image-not-finite",
            path,
            f"expected finite voxels, but got {int((~np.isfinite(data)).sum())} NaN or infinite ones",
            "convert the image again from its source, or replace those voxels by 0",
        )
    return Volume(np.ascontiguousarray(data), _rounded(image.affine))


def _rounded(affine: np.ndarray) -> np.ndarray:
    """Round off what the storage of an affine (float32, or a quaternion) leaves behind: less than 0.003 mm anywhere.

    Otherwise one image stored in two orientations would differ by 1e-6 mm, from which registrations make 0.1 mm.
    """
    affine = np.asarray(affine, dtype=np.float64)
    return np.hstack([affine[:, :3].round(5), affine[:, 3:].round(3)]) + 0.0  # + 0.0: no negative zeros


def read_scan(path: str | Path) -> Volume:
    """Read a picture of a patient: as :func:`read`, and refuse one that shows nothing.

    Raises
    ------
    ImageError
        As :func:`read`, and where all voxels are equal.
    """
    volume = read(path)
    if volume.data.min() == volume.data.max():
        raise _error(
            "image-constant",
            path,
            f"expected a picture of a head, but every voxel is {volume.data.flat[0]:g}",
            "convert the scan again from DICOM",
        )
    return volume


def read_labels(path: str | Path) -> Volume:
    """Read a mask or a parcellation as int32, turned to RAS+.

    Raises
    ------
    ImageError
        As :func:`read`, and for values that are not whole numbers.
    """
    volume = read(path)
    labels = np.rint(volume.data)
    if np.abs(volume.data - labels).max(initial=0) > 1e-3:
        raise _error("image-not-labels", path, "expected whole numbers as labels", "threshold or round the image")
    return Volume(labels.astype(np.int32), volume.affine)


def voxel_axes(path: str | Path) -> np.ndarray:
    """Read the steps from voxel to voxel out of a header, ``(3, 3)`` millimetres: one column an axis of the file.

    NaN where the header cannot be read: what is wrong with an image is said by :func:`read`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(nib.load(path).affine, dtype=float)[:3, :3]
    except Exception:  # nibabel raises about ten kinds for a damaged file
        return np.full((3, 3), np.nan)


def shape(path: str | Path) -> tuple[int, ...]:
    """Read the number of voxels along each axis out of a header, an axis of length 1 at the end dropped.

    Raises
    ------
    ImageError
        For a header that cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = tuple(int(n) for n in nib.load(path).shape)
    except Exception as error:  # nibabel raises about ten kinds for a damaged file
        raise _error("image-unreadable", path, f"expected NIfTI, but got: {error}", "convert it again") from None
    return found[:3] if len(found) == 4 and found[3] == 1 else found


def write(path: str | Path, volume: Volume, dtype: type = np.float32) -> Path:
    """Write an image with a fresh header, whole or not at all.

    Parameters
    ----------
    path : path-like
        Ends in ``.nii.gz``; folders are made.
    volume : Volume
        Data ``(x, y, z)`` or ``(channels, x, y, z)``; channels become the fourth NIfTI axis.
    dtype : type
        Of the voxels on disk; masks are written as uint8, labels as int16.
    """
    data = np.asarray(volume.data)
    if data.ndim == 4:
        data = np.moveaxis(data, 0, -1)
    if data.dtype == bool:
        dtype = np.uint8
    elif np.issubdtype(data.dtype, np.integer) and dtype is np.float32:
        dtype = np.int16
    image = nib.Nifti1Image(np.asarray(data, dtype=dtype), np.asarray(volume.affine, dtype=np.float64))
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, code="aligned")
    image.set_sform(volume.affine, code="aligned")
    path = Path(path)
    with replacing(path) as temporary, open(temporary, "wb") as raw:
        # mtime and file name stay out of the gzip header: same image, same bytes; more compression takes twice the time
        # for 2 % less space
        with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as stream:
            stream.write(image.to_bytes())
    return path


def _load(path: Path) -> nib.Nifti1Image:
    try:
        mode = path.stat().st_mode
    except OSError:
        raise _error("image-missing", path, "expected an image, but no file is there", "check the path") from None
    if not stat.S_ISREG(mode):
        raise _error("image-unreadable", path, "expected a regular file", "give the image itself, not a folder or pipe")
    if path.stat().st_size == 0:
        raise _error("image-unreadable", path, "expected an image, but the file is empty", "copy it again")
    _check_stream(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nib.load(path)
            if isinstance(image, nib.MGHImage):  # FreeSurfer's programs write nothing else
                image = nib.Nifti1Image(image.dataobj, image.affine)
        header, shape = image.header, tuple(int(n) for n in image.shape)
    except Exception as error:  # nibabel raises about ten kinds for a damaged file
        raise _error(
            "image-unreadable", path, f"expected NIfTI, but got: {error}", "convert the scan again from DICOM"
        ) from None
    if not isinstance(image, nib.Nifti1Image):  # Nifti2Image is one
        raise _error("image-unreadable", path, f"expected NIfTI, but got {type(image).__name__}", "convert it to NIfTI")
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) != 3 or min(shape, default=0) < 2:
        raise _error("image-shape", path, f"expected three dimensions, but got {image.shape}", "give one 3-D volume")
    if np.prod(shape, dtype=np.float64) * 4 > MAX_BYTES:
        raise _error(
            "image-too-large",
            path,
            f"the header asks for {shape} voxels",
            "check the header: it may be damaged",
        )
    dtype = header.get_data_dtype()
    if dtype.fields is not None or np.issubdtype(dtype, np.complexfloating):
        raise _error("image-not-real", path, f"expected real numbers, but got {dtype}", "give the magnitude image")
    affine = np.asarray(image.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise _error("image-affine", path, "expected an affine that can be inverted", "set sform or qform")
    codes = int(header["qform_code"]), int(header["sform_code"])
    if codes == (0, 0):
        raise _error(
            "image-orientation",
            path,
            "neither qform nor sform is set: left and right cannot be told apart",
            "convert the scan again from DICOM",
        )
    if min(codes) > 0 and not np.allclose(header.get_qform(), header.get_sform(), atol=0.1):
        raise _error(
            "image-orientation",
            path,
            "qform and sform place the image differently, and programs differ in which they read",
            "make them equal (fslorient -copyqform2sform, or convert again from DICOM)",
        )
    return nib.as_closest_canonical(image)


def _check_stream(path: Path) -> None:
    """Read a gzip stream to its end: nibabel stops before the checksum."""
    with open(path, "rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    if compressed != (path.suffix in (".gz", ".mgz")):
        state = "compressed" if compressed else "not compressed"
        raise _error("image-name", path, f"the file is {state}, but its name says otherwise", "rename the file")
    if not compressed:
        return
    try:
        with gzip.open(path, "rb") as stream:
            read = 0
            while block := stream.read(1 << 22):
                read += len(block)
                if read > 2 * MAX_BYTES:
                    raise _error("image-too-large", path, "decompresses to more than 8 GiB", "check the file")
    except (OSError, EOFError, zlib.error) as error:
        raise _error("image-damaged", path, f"the gzip stream is damaged: {error}", "copy the file again") from None


def _decoded(image: nib.Nifti1Image, path: str | Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = image.get_fdata(dtype=np.float32)
    except Exception as error:
        raise _error("image-unreadable", path, f"voxels cannot be read: {error}", "copy the file again") from None
    return data[..., 0] if data.ndim == 4 else data


def _error(code: str, path: str | Path, message: str, remedy: str) -> ImageError:
    return ImageError(message, code=code, file=path, remedy=remedy)
