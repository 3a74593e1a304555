"""The first table of a study: every model beside the network, in one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relevox.statistics.evaluation.answers import LEVELS

MEASURES = ("accuracy", "balanced_accuracy", "auc")
"""The measures of this table."""

TESTS = {
    "scan": {"accuracy": "mcnemar_durkalski", "auc": "paired_bootstrap"},
    "patient": {"accuracy": "paired_bootstrap", "auc": "delong"},
}
"""Which test's p stands beside a difference."""

COLUMNS = (
    "model",
    "level",
    *(f"{measure}{end}" for measure in MEASURES for end in ("", "_ci_low", "_ci_high")),
    *(
        f"cnn_minus_model_{measure}{end}"
        for measure in ("accuracy", "auc")
        for end in ("", "_ci_low", "_ci_high", "_p", "_test")
    ),
    "n",
)
"""Model, per scan or per patient, each measure with the ends of its interval, the network minus the model in accuracy
and AUC with the ends of the interval (patient bootstrap), p and its test, and the number of scans or patients."""


def summary_table(
    scores: Sequence[Mapping[str, object]], comparisons: Sequence[Mapping[str, object]]
) -> list[dict[str, object]]:
    """Put scores and comparisons of the same models side by side.

    Parameters
    ----------
    scores : sequence of mapping
        From :func:`.scores.score_table`.
    comparisons : sequence of mapping
        From :func:`.comparisons.comparison_table`.
    """
    found = {(row["model"], row["level"], row["measure"]): row for row in scores}
    pairs = {
        (row["against"], row["level"], row["measure"], row["test"]): row for row in comparisons if row["model"] == "cnn"
    }
    rows = []
    for level in LEVELS:
        for model in dict.fromkeys(row["model"] for row in scores):
            row: dict[str, object] = {"model": model, "level": level, "n": found[model, level, "auc"]["n"]}
            for measure in MEASURES:
                score = found[model, level, measure]
                row |= {measure: score["value"]}
                row |= {f"{measure}_{end}": score[end] for end in ("ci_low", "ci_high")}
            for measure, test in TESTS[level].items():
                difference = pairs.get((model, level, measure, "paired_bootstrap"))
                tested = pairs.get((model, level, measure, test))
                name = f"cnn_minus_model_{measure}"
                if difference is not None:
                    row |= {name: difference["difference"]}
                    row |= {f"{name}_{end}": difference[end] for end in ("ci_low", "ci_high")}
                if tested is not None:
                    row |= {f"{name}_p": tested.get("p"), f"{name}_test": test}
            rows.append(row)
    return rows
