"""A few MR slices as DICOM files (explicit VR, little endian): as much of the standard as dcm2niix asks for."""

import struct

import numpy as np

_LONG = ("OB", "OW", "UN", "SQ", "UT")
_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def _element(group, number, vr, value):
    if vr == "US":
        raw = struct.pack("<H", value)
    elif isinstance(value, bytes):
        raw = value
    else:
        text = "\\".join(str(v) for v in value) if isinstance(value, (list, tuple)) else str(value)
        raw = text.encode("ascii")
    if len(raw) % 2:
        raw += b"\0" if vr in ("UI", "OB") else b" "
    head = struct.pack("<HH", group, number) + vr.encode("ascii")
    return head + (struct.pack("<HI", 0, len(raw)) if vr in _LONG else struct.pack("<H", len(raw))) + raw


def write_series(
    folder,
    patient="MRN12345",
    name="DOE^JOHN",
    date="20190307",
    study="1.2.3.1",
    number=1,
    description="t1_mprage_sag",
    shape=(16, 18, 14),
    echo_ms=2.9,
    repetition_ms=2300,
    inversion_ms=900,
    image_type=("ORIGINAL", "PRIMARY", "M", "ND"),
):
    """Write one series, a file a slice, and return its voxels ``(x, y, z)`` in the order of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(number).integers(0, 900, shape).astype(np.uint16)
    series = f"{study}.{number}"
    for k in range(shape[2]):
        uid = f"{series}.{k + 1}"
        elements = [
            (0x0008, 0x0008, "CS", image_type),
            (0x0008, 0x0016, "UI", _MR_IMAGE_STORAGE),
            (0x0008, 0x0018, "UI", uid),
            (0x0008, 0x0020, "DA", date),
            (0x0008, 0x0022, "DA", date),
            (0x0008, 0x0030, "TM", "101112"),
            (0x0008, 0x0032, "TM", f"{101112 + 100 * number}"),
            (0x0008, 0x0060, "CS", "MR"),
            (0x0008, 0x0070, "LO", "SIEMENS"),
            (0x0008, 0x0080, "LO", "St. Elsewhere"),
            (0x0008, 0x103E, "LO", description),
            (0x0008, 0x1090, "LO", "Avanto"),
            (0x0010, 0x0010, "PN", name),
            (0x0010, 0x0020, "LO", patient),
            (0x0010, 0x0030, "DA", "19700101"),
            (0x0010, 0x0040, "CS", "F"),
            (0x0018, 0x0020, "CS", "GR"),
            (0x0018, 0x0023, "CS", "3D"),
            (0x0018, 0x0050, "DS", 1.5),
            (0x0018, 0x0080, "DS", repetition_ms),
            (0x0018, 0x0081, "DS", echo_ms),
            (0x0018, 0x0082, "DS", inversion_ms),
            (0x0018, 0x0087, "DS", 1.5),
            (0x0018, 0x1030, "LO", description),
            (0x0018, 0x1314, "DS", 9),
            (0x0020, 0x000D, "UI", study),
            (0x0020, 0x000E, "UI", series),
            (0x0020, 0x0010, "SH", "1"),
            (0x0020, 0x0011, "IS", number),
            (0x0020, 0x0012, "IS", 1),
            (0x0020, 0x0013, "IS", k + 1),
            (0x0020, 0x0032, "DS", (-10, -12, 1.5 * k)),
            (0x0020, 0x0037, "DS", (1, 0, 0, 0, 1, 0)),
            (0x0020, 0x0052, "UI", f"{study}.9"),
            (0x0028, 0x0002, "US", 1),
            (0x0028, 0x0004, "CS", "MONOCHROME2"),
            (0x0028, 0x0010, "US", shape[1]),
            (0x0028, 0x0011, "US", shape[0]),
            (0x0028, 0x0030, "DS", (1.2, 1.1)),
            (0x0028, 0x0100, "US", 16),
            (0x0028, 0x0101, "US", 12),
            (0x0028, 0x0102, "US", 11),
            (0x0028, 0x0103, "US", 0),
            (0x7FE0, 0x0010, "OW", voxels[:, :, k].T.astype("<u2").tobytes()),
        ]
        meta = b"".join(
            _element(0x0002, *rest)
            for rest in (
                (0x0001, "OB", b"\0\1"),
                (0x0002, "UI", _MR_IMAGE_STORAGE),
                (0x0003, "UI", uid),
                (0x0010, "UI", _EXPLICIT_LITTLE_ENDIAN),
                (0x0012, "UI", "1.2.3"),
            )
        )
        length = struct.pack("<HH", 0x0002, 0x0000) + b"UL" + struct.pack("<HI", 4, len(meta))
        body = b"".join(_element(*element) for element in elements)
        (folder / f"{number:03d}_{k:03d}.dcm").write_bytes(b"\0" * 128 + b"DICM" + length + meta + body)
    return voxels
