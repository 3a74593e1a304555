"""Score and region tables."""

from dataclasses import replace

import numpy as np

from relevox.report import tables
from relevox.report.results import RegionShare


def by_name(table):
    return {row[0].strip(): row for row in table.rows}


def test_bayes_stands_below_the_models_where_it_is_known(results):
    assert "best possible (Bayes)" not in by_name(tables.score_table(results, "scan"))
    known = replace(results, bayes={"bayes_accuracy": 0.88, "bayes_auc": 0.954})
    assert by_name(tables.score_table(known, "scan"))["best possible (Bayes)"][5] == "0.95"


def test_direction_at_most_turns_the_names_of_the_classes(results):
    cohort = results.settings.cohort.model_copy(update={"direction": "at_most", "threshold": 2.0})
    turned = replace(results, settings=results.settings.model_copy(update={"cohort": cohort}))
    assert turned.classes == ("EDSS > 2", "EDSS ≤ 2")


def test_regions_come_most_relevant_first_and_occlusion_only_where_known():
    regions = [RegionShare("a", 0.1, 0.1, 0.5), RegionShare("b_c", 0.9, 0.8, 0.5), RegionShare("d", np.nan, 0, 0)]
    table = tables.region_table(regions, "")
    assert [row[0] for row in table.rows] == ["b c", "a", "d"]
    assert table.rows[0][4] == "1.80"
    assert table.rows[2][1] == tables.DASH
    assert len(table.header) == 5
    assert len(tables.region_table([RegionShare("a", 0.1, 0.1, 0.5, 0.3)], "").header) == 6


def test_the_network_stands_beside_chance_and_every_baseline(results):
    def row(model, against, test, difference, p):
        return {"model": model, "against": against, "test": test, "difference": difference, "p": p}

    rows = [row("cnn", "chance", "permutation", 0.4, 0.0005), row("volumes", "chance", "permutation", 0.1, 0.3)]
    rows += [row("cnn", "volumes", "delong", 0.3, 1e-6), row("cnn", "volumes", "mcnemar_durkalski", 0.25, 0.01)]
    rows += [row("cnn", "volumes", "mcnemar_obuchowski", 0.25, 0.02), row("cnn", "volumes", "corrected_t", 0.25, 0.2)]
    table = tables.comparison_table(replace(results, comparisons=rows))
    assert table.rows[0][1:3] == ("< 0.001", tables.DASH)
    assert table.rows[1][1:] == ("0.30", "0.30", "< 0.001", "0.25", "0.010", "0.020", "0.20")
