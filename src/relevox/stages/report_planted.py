"""Part of the report stage: signals that were planted in the study's scans."""

from __future__ import annotations

from relevox.report.planted_results import PlantedResults
from relevox.stages.report_reader import Reader
from relevox.store import images, layout, tables

_NUMBERS = ("value", "ci_low", "ci_high", "n")


def collect(reader: Reader) -> list[PlantedResults]:
    """Read every planted signal that was scored, by name.

    Parameters
    ----------
    reader : Reader
        Of the study.
    """
    found = []
    for folder, entities in layout.find(reader.study, "planted"):
        own = reader.below(folder)
        card = own.optional("plant")
        if card is None:
            continue  # still learning
        scans = own.numbers("plant_scans", ("value",))
        rows = own.numbers("plant_benchmark", _NUMBERS)
        names = dict.fromkeys(["t1w", "flair", "signal", "decoy", *(str(row["method"]) for row in rows)])
        files = {name: own.optional("plant_example", desc=name) for name in names}
        found.append(
            PlantedResults(
                name=entities["name"],
                card=tables.read_json(card),
                rows=rows,
                scans=scans,
                example={name: images.read(file).data for name, file in files.items() if file is not None},
            )
        )
    return found
