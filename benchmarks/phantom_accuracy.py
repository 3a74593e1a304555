"""What can be known of a simulated label without looking at an image.

For every label model, over several draws of labels and scanners on one set of anatomies: the best possible classifier
(Bayes), logistic regressions on the six volumes, on volumes and scanner, and on the scanner alone, out of fold. With
confounding 0 the scanner must know nothing.

    python benchmarks/phantom_accuracy.py BENCH/anatomies --draws 5

writes ``phantom_accuracy.tsv`` and prints a Markdown table. A label is as it should be where Bayes leaves room for
noise, volumes know the paper's share of ``paper`` (0.77), and next to nothing where it matters where, not how much.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relevox.config import PhantomSettings, phantom_preset
from relevox.phantom import disability
from relevox.phantom.causes import LABEL_MODELS
from relevox.phantom.cohort import PlannedScan, draw_patients
from relevox.phantom.labels import label_cohort
from relevox.statistics.baselines import Design, fit_logistic, scanner_design, volumes_design
from relevox.statistics.folds import patient_folds
from relevox.statistics.scores import classification_scores
from relevox.store import anatomies, layout, tables, template
from relevox.store.atomic import write_text

COLUMNS = ("label", "model", "measure", "mean", "sd", "draws")
MODELS = ("bayes", "volumes", "volumes_scanner", "scanner", "scanner_unconfounded")
N_FOLDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomies", type=Path, help="folder of the anatomies of a simulated cohort")
    parser.add_argument("--preset", default="bench", help="that it was made with")
    parser.add_argument("--seed", type=int, default=0, help="that it was made with")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("phantom_accuracy.tsv"))
    given = parser.parse_args()
    phantom = phantom_preset(given.preset)
    scans, cards = zip(*read_measured(given.anatomies, draw_patients(phantom, given.seed)), strict=True)
    rows = accuracy_rows(scans, cards, phantom, given.seed, given.draws)
    tables.write(given.out, rows, COLUMNS)
    text = markdown(rows, len(scans))
    write_text(given.out.with_suffix(".md"), text)
    print(text)


def read_measured(heads: Path, scans: Sequence[PlannedScan]) -> list[tuple[PlannedScan, dict]]:
    """Read what was measured in every anatomy that has been made."""
    made = [scan for scan in scans if layout.path(heads, "anatomy_card", scan.id, space=template.SPACE).exists()]
    return [(scan, anatomies.read_card(heads, scan.id, template.SPACE)) for scan in made]


def accuracy_rows(
    scans: Sequence[PlannedScan], cards: Sequence[dict], phantom: PhantomSettings, seed: int, n_draws: int
) -> list[dict[str, object]]:
    """Score every model of every label, mean and SD over the draws."""
    rows = []
    for label in LABEL_MODELS:
        found: dict[tuple[str, str], list[float]] = {}
        for draw in range(n_draws):
            for (model, measure), value in scores_of_draw(scans, cards, phantom, seed, label, draw).items():
                found.setdefault((model, measure), []).append(value)
        for (model, measure), values in found.items():
            sd = float(np.std(values, ddof=1)) if n_draws > 1 else float("nan")
            rows.append(
                {"label": label, "model": model, "measure": measure, "mean": float(np.mean(values)), "sd": sd}
                | {"draws": n_draws}
            )
    return rows


def scores_of_draw(
    scans: Sequence[PlannedScan], cards: Sequence[dict], phantom: PhantomSettings, seed: int, label: str, draw: int
) -> dict[tuple[str, str], float]:
    """Score every model of one draw; keys are (model, measure)."""
    causes_ml = [card["causes_ml"] for card in cards]
    names = tables.VOLUME_NAMES
    volumes = volumes_design(names, np.array([[card["volumes_ml"][name] for name in names] for card in cards]))
    found = {}
    for confounding, suffix in ((1.0, ""), (0.0, "_unconfounded")):
        changes = {"label": label, "label_draw": draw, "confounding": confounding}
        cohort = label_cohort(scans, causes_ml, phantom.model_copy(update=changes), seed)
        y = np.array([scan.label for scan in cohort])
        scanner = scanner_design([str(scan.scanner) for scan in cohort])
        designs = {"scanner": scanner}
        if not suffix:
            both = np.hstack([volumes.values, scanner.values])
            designs |= {
                "volumes": volumes,
                "volumes_scanner": Design("volumes_scanner", volumes.features + scanner.features, both),
            }
            best = disability.bayes([scan.probability for scan in cohort])
            found |= {("bayes", "accuracy"): best.accuracy, ("bayes", "auc"): best.auc}
        folds = patient_folds(y, np.array([scan.id.participant for scan in cohort]), N_FOLDS, seed)
        for name, design in designs.items():
            p = out_of_fold(design, y, folds)
            scores = classification_scores(y, p)
            found |= {(name + suffix, measure): getattr(scores, measure) for measure in ("accuracy", "auc")}
    return found


def out_of_fold(design: Design, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Predict every scan by a regression that was fitted on the other folds."""
    p = np.empty(len(y))
    for fold in np.unique(folds):
        fitted = fit_logistic(design, y, np.flatnonzero(folds != fold))
        p[folds == fold] = fitted.predict(design.values[folds == fold])
    return p


def markdown(rows: Sequence[dict[str, object]], n: int) -> str:
    """Set accuracy / AUC of every model side by side, one line a label."""
    cell = {(row["label"], row["model"], row["measure"]): row for row in rows}
    titles = ("Bayes", "six volumes", "volumes and scanner", "scanner", "scanner, confounding 0")
    lines = [
        f"Accuracy / AUC, mean over {rows[0]['draws']} label draws, {n} scans, {N_FOLDS} folds:",
        "",
        f"| label | {' | '.join(titles)} |",
        "|---" * (len(titles) + 1) + "|",
    ]
    for label in dict.fromkeys(row["label"] for row in rows):
        values = [
            " / ".join(f"{cell[label, model, measure]['mean']:.2f}" for measure in ("accuracy", "auc"))
            for model in MODELS
        ]
        lines.append(f"| `{label}` | {' | '.join(values)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
