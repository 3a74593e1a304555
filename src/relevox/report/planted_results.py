"""A signal that was planted in the study's own scans, as the report reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relevox.report.drawing import readable

Row = Mapping[str, Any]

IGNORANT = ("absolute_input", "absolute_difference")
"""Maps that know no network."""


@dataclass(frozen=True)
class PlantedResults:
    """One planted signal."""

    name: str
    """Folder below ``planted``."""
    card: Mapping[str, Any]
    """``plant, n_test_scans, n_with_signal, n_found_by_network, n_explained, learned, conclusion``."""
    rows: Sequence[Row]
    """``method, target, measure, value, ci_low, ci_high, n``."""
    scans: Sequence[Row]
    """``participant_id, session_id, fold, method, target, measure, value``."""
    example: Mapping[str, np.ndarray] = field(default_factory=dict)
    """One scan: ``t1w``, ``flair``, ``signal``, ``decoy`` and every map, ``(x, y, z)``; empty where there is none."""

    @property
    def title(self) -> str:
        """For example ``a blob in the deep grey``."""
        kind, region = self.card["plant"]["kind"], readable(self.card["plant"]["region"])
        return f"atrophy of the {region}" if kind == "atrophy" else f"a blob in the {region}"

    @property
    def methods(self) -> list[str]:
        """Methods with a map, those that know no network last."""
        found = dict.fromkeys(row["method"] for row in self.rows if row["measure"] == "rank_accuracy")
        return [m for m in found if m not in (*IGNORANT, "chance")] + [m for m in IGNORANT if m in found]

    def row(self, method: str, measure: str, target: str = "signal") -> Row | None:
        """Return one row of the table, or None."""
        wanted = (method, target, measure)
        return next((row for row in self.rows if (row["method"], row["target"], row["measure"]) == wanted), None)

    def values(self, method: str, measure: str, target: str = "signal") -> list[float]:
        """Return one measure, a value a scan."""
        wanted = (method, target, measure)
        return [row["value"] for row in self.scans if (row["method"], row["target"], row["measure"]) == wanted]
