"""The page of one new patient (``relevox predict``)."""

from __future__ import annotations

import math

from relevox.report import tables
from relevox.report.drawing import CONVENTION, method_title, readable
from relevox.report.individual import individual_map
from relevox.report.limits import SIMULATED
from relevox.report.map_verdicts import of_maps_like_this
from relevox.report.methods import software_text
from relevox.report.novelty import measure_title, novelty_blocks
from relevox.report.page import Block, Bullets, Cards, Note, Section, Table, Text, picture, render
from relevox.report.results import ModelCard, PatientPage
from relevox.report.scores import MODEL_TITLES, model_order
from relevox.report.section_maps import region_figure


def patient_page(page: PatientPage, version: str) -> str:
    """Return the HTML of one patient's page.

    Parameters
    ----------
    page : PatientPage
        Answer, map, regions, quality and where the models come from.
    version : str
        Of relevox.

    Notes
    -----
    Models that were trained on simulated patients put a warning across the top.
    """
    return render(
        "patient",
        f"{page.model.classes[1]}: {page.id}",
        "One patient, from T1w and FLAIR",
        [
            Section("answer", "Answer", _answer(page)),
            Section(
                "likeness",
                "Is this scan like the training scans?",
                novelty_blocks(page.novelty, page.model.training_range),
            ),
            Section("map", "Where the network looked", _map(page)),
            Section("volumes", "Volumes and quality", _volumes(page)),
            Section("model", "The models", _model(page.model)),
            Section("methods", "Methods", [Text([_steps(page), software_text(page.versions)])]),
        ],
        version,
        SIMULATED if page.model.simulated else "",
    )


def _answer(page: PatientPage) -> list[Block]:
    n = len(page.fold_probabilities)
    votes = round(page.vote_share * n)
    spread = "{:.2f} to {:.2f}, SD {:.2f}".format(*page.spread)
    answer = page.model.classes[page.predicted]
    blocks: list[Block] = [
        Cards(
            [
                ("answer", answer, f"vote of {n} models"),
                ("probability", tables.number(page.probability), f"mean of {n} models; {spread}"),
                ("votes", f"{votes} of {n}", f"models that say {page.model.classes[1]}"),
            ]
        )
    ]
    if page.novelty.is_outside:
        what = ", ".join(measure_title(m.range.name) for m in page.novelty.outside)
        what = what or "its measures taken together"
        blocks.append(
            Note(f"This scan lies outside the training scans ({what}): what the models say of it has not been tested.")
        )
    if page.covariates:
        blocks.append(Text([_told(page)]))
    if 0 < votes < n:
        blocks.append(Note("The models disagree: the answer depends on which patients a model was trained on."))
    if page.quality_status != "ok":
        blocks.append(Note(f"The quality of this scan is {page.quality_status}: see below before reading the answer."))
    rows = [(f"model {i + 1}", tables.number(p)) for i, p in enumerate(page.fold_probabilities)]
    blocks.append(Table("Probability by model.", ("", f"probability of {page.model.classes[1]}"), rows))
    return blocks


def _told(page: PatientPage) -> str:
    """Say what the models know beside the images."""
    words = []
    for name, value in page.covariates.items():
        if not math.isfinite(value):
            words.append(f"{readable(name)} not given (the training scans' mean)")
        elif name == "sex":
            words.append(f"sex {'female' if value else 'male'}")
        else:
            words.append(f"{readable(name)} {value:g} years")
    return f"Beside the images the models were told: {', '.join(words)}. The map shows the images' part only."


def _map(page: PatientPage) -> list[Block]:
    explained = page.model.classes[page.target]
    caption = (
        f"T1w and FLAIR in template space and, below them, {method_title(page.method)} for {explained}, mean of "
        f"{len(page.fold_probabilities)} models; relevance above the {page.percentile:g}th percentile of its positive "
        f"values is coloured. {CONVENTION}"
    )
    blocks: list[Block] = [
        picture(individual_map(page.flair, page.relevance, page.brain_mask, page.percentile, page.t1w), caption),
        *(Note(text) for text in of_maps_like_this(page.model.map_checks)),
    ]
    if page.regions:
        caption = (
            "The map by region. Bars: where the voxels above the threshold lie; marks: the region's share of the "
            "brain, which a map that knows nothing would give."
        )
        blocks.append(picture(region_figure(page.regions, explained), caption))
        blocks.append(tables.region_table(page.regions, "The same in numbers, most relevant voxels first."))
    return blocks


def _volumes(page: PatientPage) -> list[Block]:
    blocks: list[Block] = []
    if page.volumes_ml:
        rows = [(readable(name), tables.number(value, 1)) for name, value in page.volumes_ml.items()]
        blocks.append(Table("Native volumes of this scan.", ("", "ml"), rows))
    blocks.append(Text([f"Quality: {page.quality_status}."]))
    if page.quality_flags:
        blocks.append(Bullets(list(page.quality_flags)))
    return blocks


def _model(card: ModelCard) -> list[Block]:
    kind = "simulated " if card.simulated else ""
    n_scans, n_patients = card.cohort["n_scans"], card.cohort["n_patients"]
    text = f"Trained on {n_scans} scans of {n_patients} {kind}patients to tell {card.classes[1]}."
    scanners = [f"{name} ({count} patients)" for name, count in card.cohort["patients_by_scanner"].items()]
    if scanners:
        text += f" Scanners seen in training: {', '.join(scanners)}; on others the answer has not been tested."
    if card.version:
        text += f" Trained with relevox {card.version}; fingerprint of the weights {card.fingerprint[:16]}."
    blocks: list[Block] = [Text([text])]
    rows = [row for row in card.scores if row["level"] == "scan" and math.isfinite(row["value"])]
    measures = ("balanced_accuracy", "sensitivity", "specificity", "auc")
    body = []
    for model in model_order([str(row["model"]) for row in rows]):
        of_model = {row["measure"]: row for row in rows if row["model"] == model}
        cells = [tables.interval(of_model[m]) if m in of_model else tables.DASH for m in measures]
        body.append((MODEL_TITLES.get(model, model), *cells))
    if body:
        header = ("", "balanced accuracy", "sensitivity", "specificity", "AUC")
        caption = "What the models reached on patients they had not seen, beside what simpler knowledge reaches."
        blocks.append(Table(caption, header, body))
    return blocks


def _steps(page: PatientPage) -> str:
    return f"Preprocessing: {'; '.join(page.steps)}." if page.steps else "The steps of preprocessing were not recorded."
