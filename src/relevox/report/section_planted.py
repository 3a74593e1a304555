"""Report: whether the maps find a signal that was planted in the study's own scans."""

from __future__ import annotations

from relevox.report.drawing import method_title
from relevox.report.page import Block, Bullets, Note, Table, Text, picture
from relevox.report.planted import (
    distributions,
    example_maps,
    found_sentence,
    network_sentence,
    planted_numbers,
)
from relevox.report.planted_results import PlantedResults

HEADER = (
    "map",
    "enrichment",
    "voxel AUC",
    "rank accuracy",
    "pointing game",
    "AUC against the decoy",
    "its region is hottest",
)


def planted(found: list[PlantedResults]) -> list[Block]:
    """Return the blocks of every planted signal."""
    blocks: list[Block] = [
        Text(
            [
                "A study's own scans have no known truth, so one was put into copies of them. Half of the patients, "
                "drawn at random, got a signal in one region; every scan also got a decoy, the same signal elsewhere. "
                "Only the place of the signal tells the two halves apart. Networks learned it, and every method "
                "explained the test scans in which they found it. The study's own models were not changed."
            ]
        )
    ]
    for results in found:
        blocks += _one(results)
    return blocks


def _one(results: PlantedResults) -> list[Block]:
    plant, title = results.card["plant"], results.title
    strength = (
        f"contrast {plant['strength']:g} of the brain's median, radius {plant['radius_mm']:g} mm"
        if plant["kind"] == "blob"
        else f"loss of {plant['strength']:g} in log volume"
    )
    start = "the study's networks were fine-tuned" if plant["start"] == "study" else "networks were trained anew"
    blocks: list[Block] = [
        Text(
            [
                f"Planted: {title} ({strength}); {start} on {plant['folds']} folds for {plant['epochs']} epochs. "
                + network_sentence(results)
            ]
        )
    ]
    if not results.card["learned"]:
        blocks.append(Note("The network did not learn the planted signal, so its maps cannot be judged by it."))
    if not results.card["n_explained"]:
        return blocks
    n = results.card["n_explained"]
    methods = results.methods
    body = [
        ("chance" if method == "chance" else method_title(method, first=True), *planted_numbers(results, method))
        for method in (*methods, "chance")
    ]
    caption = (
        f"Maps against {title}: mean over the {n} test scans in which the network found it, with interval over "
        "patients. The truth is where the image changes when the signal is taken out. Rank accuracy: share of the k "
        "hottest voxels that lie in the k voxels of the signal. Pointing game: the hottest voxel lies in it. AUC "
        "against the decoy: a voxel of the signal against one of the decoy, which looks the same; 0.5 is chance."
    )
    blocks.append(Table(caption, HEADER, body))
    values = {method: results.values(method, "rank_accuracy") for method in methods}
    chance = results.row("chance", "rank_accuracy")
    caption = (
        f"Rank accuracy of every map for {title}, one dot a scan ({n} scans); bars: quartiles and median. Dashed: a "
        "map that knows nothing. Grey dots: maps that know no network."
    )
    figure = distributions(values, "share of the hottest voxels that lie in the signal", chance and chance["value"])
    blocks.append(picture(figure, caption))
    if results.example:
        caption = (
            "One of these scans at the heights of the signal (left, blue outline) and of the decoy (right, white "
            "outline), and the hottest 1 % of every map's positive relevance, each on its own scale."
        )
        blocks.append(picture(example_maps(results), caption))
    blocks.append(
        Bullets([found_sentence(results, method) for method in methods if results.row(method, "rank_accuracy_gain")])
    )
    return blocks
