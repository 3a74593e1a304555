import json
import re

import numpy as np
import pytest

from relevox.errors import ImageError, Problems
from relevox.records import Scan, ScanId
from relevox.stages import quality_tables
from relevox.store import layout, tables

N = 14


@pytest.fixture
def study(tmp_path):
    """Measures of usual scans, as preprocessing leaves them; the fourth's brain is small, the second is flagged."""
    rng = np.random.default_rng(0)
    for n, scan in enumerate(scans()):
        quality = {"mask_ml": float(rng.normal(1400, 40)), "edge_agreement": None if n == 5 else 0.7}
        if n == 3:
            quality["mask_ml"] = 900.0
        measures = {"volumes_ml": dict.fromkeys(tables.VOLUME_NAMES, 1.0), "quality": quality, "flags": []}
        if n == 1:
            measures["flags"] = ["slices of 5.0 mm"]
        tables.write_json(layout.path(tmp_path, "measures", scan.id), measures)
    return tmp_path


def scans():
    return [Scan(ScanId(f"sub-{n:02d}", "ses-1")) for n in range(N)]


def page(study):
    text = layout.existing(study, "quality_page").read_text()
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))["scans"]


def test_a_scan_unlike_the_others_is_flagged_beside_those_that_flagged_themselves(study):
    quality_tables.write(study, scans(), {})
    rows = tables.read(layout.existing(study, "quality"))
    assert [n for n, row in enumerate(rows) if row["status"] == "flagged"] == [1, 3]
    assert "mask ml 900: unusual" in rows[3]["flags"]
    assert rows[5]["edge_agreement"] == "n/a"


def test_a_failed_scan_stands_in_the_table_and_on_the_page_and_has_no_volumes(study):
    bad = {scans()[2].id: ImageError("T1w is empty", code="image-constant", file=study / "secret.nii.gz")}
    quality_tables.write(study, scans(), bad)
    rows = tables.read(layout.existing(study, "quality"))
    assert (rows[2]["status"], rows[2]["flags"], rows[2]["mask_ml"]) == ("failed", "T1w is empty", "n/a")
    assert len(tables.read(layout.existing(study, "volumes"))) == N - 1
    assert page(study)[2]["status"] == "failed" and "secret" not in json.dumps(page(study))


def test_a_damaged_image_is_told_by_its_kind(study):
    def damaged(name):
        return ImageError(
            "the gzip stream is damaged", code="image-damaged", file=study / f"sub-02_ses-1_{name}.nii.gz"
        )

    bad = {scans()[2].id: Problems([damaged("T1w"), damaged("FLAIR")]), scans()[4].id: damaged("FLAIR")}
    quality_tables.write(study, scans(), bad)
    rows = tables.read(layout.existing(study, "quality"))
    assert rows[2]["flags"] == "T1w: the gzip stream is damaged; FLAIR: the gzip stream is damaged"
    assert rows[4]["flags"] == "FLAIR: the gzip stream is damaged"


def test_pictures_are_found_from_where_the_page_lies(study):
    picture = layout.path(study, "overlay", scans()[0].id, desc="brainmask")
    picture.parent.mkdir(parents=True)
    picture.write_bytes(b"png")
    quality_tables.write(study, scans(), {})
    first, second = page(study)[:2]
    file = first["pictures"][0]["file"]
    assert (layout.path(study, "quality_page").parent / file).resolve() == picture.resolve()
    assert second["pictures"] == []


def test_earlier_decisions_are_on_the_page(study):
    row = {"participant_id": "sub-01", "session_id": "ses-1", "decision": "fail", "note": "moved"}
    tables.write(layout.path(study, "quality_decisions"), [row])
    quality_tables.write(study, scans(), {})
    assert [(scan["decision"], scan["note"]) for scan in page(study)[:2]] == [("", ""), ("fail", "moved")]
