import base64
import hashlib
import json
import math
import re

from relevox.records import ScanId
from relevox.report.quality_page import QualityRow, quality_page

ROWS = [
    QualityRow(
        ScanId("sub-01", "ses-1"),
        "flagged",
        ["<script>alert(1)</script> & more"],
        {"mask_ml": 700.0, "t1w_flair_nmi": math.nan},
        {"lesions": "../sub-01/l.png", "brainmask": "../sub-01/b.png"},
        "fail",
        "</script><b>cut</b>",
    ),
    QualityRow(ScanId("sub-02"), "ok", (), {"mask_ml": 1400.0, "t1w_flair_nmi": 1.1}, {}),
    QualityRow(ScanId("sub-03"), "failed", ("the crop would lose 3 %",), {}, {}),
]


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))


def test_every_scan_is_there_with_flags_pictures_and_earlier_decision():
    first, second, third = data_of(quality_page(ROWS, "1"))["scans"]
    assert (first["key"], first["decision"], first["note"]) == ("sub-01_ses-1", "fail", "</script><b>cut</b>")
    assert [picture["file"] for picture in first["pictures"]] == ["../sub-01/b.png", "../sub-01/l.png"]
    assert first["measures"] == {"mask_ml": 700.0, "t1w_flair_nmi": None}
    assert (second["session"], second["pictures"], second["decision"]) == ("", [], "")
    assert (third["status"], third["flags"]) == ("failed", ["the crop would lose 3 %"])


def test_limits_and_medians_of_the_cohort_stand_beside_a_measure():
    data = data_of(quality_page(ROWS, "1"))
    assert data["limits"]["mask_ml"] == [1000, 2000]
    assert data["medians"] == {"mask_ml": 1050.0, "t1w_flair_nmi": 1.1}


def test_nothing_a_study_holds_becomes_markup():
    page = quality_page(ROWS, "1")
    assert "<script>alert" not in page and "<b>cut" not in page
    assert page.count("<script") == 2


def test_only_the_script_whose_hash_the_policy_names_may_run():
    page = quality_page(ROWS, "1")
    named = re.search(r"script-src 'sha256-([^']+)'", page).group(1)
    script = re.search(r"<script>(.*?)</script>", page, re.S).group(1)
    assert base64.b64decode(named) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in page and "http" not in script


def test_the_same_scans_give_the_same_bytes():
    assert quality_page(ROWS, "1") == quality_page(ROWS, "1")
