"""The page on which a person passes or fails every scan in seconds: pictures, flags, keys.

It is one file that shows the overlays beside it in the study folder. Its script is ours alone: the page's
content policy names its hash, and whatever a study holds is shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import numpy as np
from markupsafe import Markup

from relevox.imaging.quality import LIMITS
from relevox.records import ScanId
from relevox.report.drawing import CONVENTION
from relevox.report.novelty import measure_title
from relevox.report.page import environment

CAPTIONS = {
    "brainmask": "Brain mask (red) on the T1w image: does it follow the brain, without skull, eyes or neck?",
    "alignment": "FLAIR (below) brought to the T1w (above): the same lines, T1w's border of fluid and tissue (blue)"
    " and the brain mask (red), must fit both.",
    "template": "The patient in template space, T1w above FLAIR: outlines of the template's brain (red) and of its "
    "lateral ventricles (blue).",
    "lesions": "Lesion mask (red) on the FLAIR.",
}
"""What a person looks at in each overlay, in the order of the page."""


@dataclass(frozen=True)
class QualityRow:
    """What the page shows of one scan."""

    id: ScanId
    """Patient and session."""
    status: str
    """``ok``, ``flagged`` or ``failed``."""
    flags: Sequence[str]
    """What should be looked at, in words."""
    measures: Mapping[str, float]
    """By name; NaN where not known."""
    pictures: Mapping[str, str]
    """Address of each overlay, relative to the page, by the keys of ``CAPTIONS``."""
    decision: str = ""
    """``pass`` or ``fail`` by an earlier look; empty where there was none."""
    note: str = ""
    """What was written then."""


def quality_page(rows: Sequence[QualityRow], version: str) -> str:
    """Return the page's HTML.

    Parameters
    ----------
    rows : sequence of QualityRow
        One a scan, sorted.
    version : str
        Of relevox, for the foot.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.measures))
    titles = [(name, measure_title(name)) for name in names]
    script = _resource("quality.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    identity = "\n".join(row.id.key for row in rows)
    data = {
        "key": hashlib.sha256(identity.encode()).hexdigest()[:12],
        "scans": [_scan(row) for row in rows],
        "titles": titles,
        "limits": {name: [_finite(limit) for limit in LIMITS[name]] for name in names if name in LIMITS},
        "medians": {name: _median([row.measures.get(name, math.nan) for row in rows]) for name in names},
    }
    return (
        environment()
        .get_template("quality.html.jinja")
        .render(
            data=data,
            titles=titles,
            version=version,
            convention=CONVENTION,
            style=Markup(_resource("quality.css")),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )


def _scan(row: QualityRow) -> dict[str, object]:
    pictures = [
        {"file": row.pictures[kind], "caption": caption} for kind, caption in CAPTIONS.items() if kind in row.pictures
    ]
    return {
        "key": row.id.key,
        "participant": row.id.participant,
        "session": row.id.session,
        "status": row.status,
        "flags": list(row.flags),
        "measures": {name: _finite(value) for name, value in row.measures.items()},
        "pictures": pictures,
        "decision": row.decision,
        "note": row.note,
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _median(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return float(np.median(known)) if known else None


def _resource(name: str) -> str:
    return resources.files("relevox.report").joinpath(name).read_text(encoding="utf-8")
