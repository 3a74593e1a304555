"""Report: who is in the study, and how good the images are."""

from __future__ import annotations

from collections import Counter

import numpy as np

from relevox.report import tables
from relevox.report.acquisition import acquisition_table
from relevox.report.cohort import score_and_volumes
from relevox.report.cohort_tables import class_sizes, cohort_table, of_study
from relevox.report.flow import flow_diagram
from relevox.report.page import Block, Table, Text, picture
from relevox.report.results import StudyResults


def cohort(results: StudyResults) -> list[Block]:
    """Who is in the study."""
    figure = score_and_volumes(
        np.array([o.score for o in results.cohort]),
        results.cohort.labels,
        results.settings.cohort.score,
        results.classes,
        results.volume_names,
        results.volumes_ml,
    )
    caption = (
        f"Left: the clinical score of the {len(results.cohort)} scans. Right: native volumes by class, one dot a scan; "
        "horizontal line: median, vertical lines: middle half."
    )
    sizes = class_sizes(results.cohort)
    flow = flow_diagram(results.flow, results.classes, sizes)
    flow_caption = (
        "From the data set to the cohort: what each rule left and removed. A patient with scans in both classes counts "
        "in the class of the last scan."
    )
    acquired = acquisition_table(results.acquisition, len(results.cohort))
    described = [acquired, cohort_table(of_study(results))]
    return [
        picture(flow, flow_caption),
        tables.flow_table(results),
        *(table for table in described if table is not None),
        picture(figure, caption),
    ]


def quality(results: StudyResults) -> list[Block]:
    """How good the images are."""
    status = Counter(str(row["status"]) for row in results.quality)
    flags = Counter(
        flag.strip()
        for row in results.quality
        for flag in str(row.get("flags") or "").split(";")
        if flag.strip() not in ("", "n/a")
    )
    n = len(results.quality)
    counts = ", ".join(f"{status.get(name, 0)} {name}" for name in ("ok", "flagged", "failed"))
    blocks: list[Block] = [Text([f"{n} scans were checked: {counts}."])]
    if flags:
        body = [(flag, str(count), f"{100 * count / n:.0f} %") for flag, count in flags.most_common()]
        blocks.append(Table(f"What was flagged, in {n} scans.", ("flag", "scans", "share"), body))
    if results.input_leak:
        blocks.append(tables.leak_table(results))
    return blocks
