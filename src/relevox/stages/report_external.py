"""Part of the report stage: what the models reached on other cohorts."""

from __future__ import annotations

from relevox import config
from relevox.report.results import ExternalResults
from relevox.stages.report_reader import Reader
from relevox.statistics.evaluation.external import COLUMNS
from relevox.store import layout, tables

_SCORES = COLUMNS[3:]
_COMPARISONS = ("difference", "statistic", "p", "n")


def collect(reader: Reader) -> list[ExternalResults]:
    """Read every external cohort on which the models have voted, by name.

    Parameters
    ----------
    reader : Reader
        Of the study.
    """
    found = []
    for folder, entities in layout.find(reader.study, "external"):
        name, own = entities["name"], reader.below(folder)
        if reader.optional("predictions", cohort=name) is None:
            continue  # preprocessed, but not voted on yet
        for kind in ("cohort", "volumes"):
            own.file(kind)
        cohort = tables.read_cohort(folder)
        names, volumes = tables.read_volumes(folder, cohort)
        settings = own.file("settings").read_text(encoding="utf-8")
        found.append(
            ExternalResults(
                name=name,
                settings=config.from_toml(settings, file="study.toml").cohort,
                cohort=cohort,
                flow=own.rows("flow"),
                quality=own.rows("quality"),
                volume_names=names,
                volumes_ml=volumes,
                ballots=tables.read_ballots(reader.study, name),
                scores=own.numbers("scores", _SCORES),
                comparisons=own.numbers("comparisons", _COMPARISONS),
                calibration=own.rows("calibration"),
                leaks=own.rows("leak_audit"),
                characteristics={}
                if own.optional("characteristics") is None
                else tables.read_characteristics(folder, cohort),
                simulated=bool(tables.read_json(own.file("cohort_card")).get("simulated")),
            )
        )
    return found
