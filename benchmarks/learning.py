"""The paper's recipe and others on one fold of a study, epoch by epoch, with BatchNorm as it is and measured again.

python benchmarks/learning.py STUDY --out FOLDER --recipes paper bench --epochs 12

STUDY has been trained (its inputs, folds and baselines are used, its models are left alone) on a simulated cohort, say
`bench`. Every epoch the network answers for the test scans twice: with the running statistics of BatchNorm, and with
statistics measured again over the training scans (`training.reestimate_batch_norm`). FOLDER gets learning.tsv and
learning.png; what was trained before is read again from learning.tsv, so that recipes can be added one by one.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import asdict
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import torch

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from relevox.config import PRESETS, TrainingSettings
from relevox.config import from_toml as settings_from_toml
from relevox.learning import ensemble, training
from relevox.statistics.folds import cohort_rounds
from relevox.statistics.scores import classification_scores
from relevox.store import layout, tables
from relevox.store.models import ModelCard

OURS = PRESETS["demo"].training
RECIPES = {
    "paper": TrainingSettings(early_stopping_patience=0, restore_best=False),
    "paper, rate 1e-3": TrainingSettings(learning_rate=1e-3, early_stopping_patience=0, restore_best=False),
    "constant": OURS.model_copy(update={"schedule": "plateau"}),
    "bench": OURS,
}
"""Adam 1e-4, batch 2, plateau; the same ten times faster; AdamW 1e-3, batch 8, constant; the same with one cycle."""

STATISTICS = {"running": "running statistics", "measured": "measured again"}


def curve(study: Path, fold: int, recipe: TrainingSettings) -> pd.DataFrame:
    """Train one fold and return a row an epoch and way of BatchNorm."""
    settings = settings_from_toml(layout.path(study, "settings").read_text(), file="study.toml")
    settings = settings.model_copy(update={"training": recipe})
    cohort = tables.read_cohort(study)
    rounds = cohort_rounds(cohort, tables.read_folds(study, cohort), "")
    rows, inputs = rounds[fold], np.load(layout.existing(study, "inputs"), mmap_mode="r")
    torch.manual_seed(settings.seed)
    network, table = ModelCard.of(settings, fold, {}).build(), []

    def look(epoch):
        again = copy.deepcopy(network)
        training.reestimate_batch_norm(again, inputs, rows.train, recipe.batch_size)
        for statistics, of in (("running", network), ("measured", again)):
            answers = ensemble.predict(of, inputs, rows.test)
            network.to(memory_format=torch.channels_last_3d)
            scores = classification_scores(cohort.labels[rows.test], answers)
            table.append(
                asdict(epoch)
                | {
                    "statistics": statistics,
                    "accuracy": scores.accuracy,
                    "auc": scores.auc,
                    "positive": float((answers > 0.5).mean()),
                    "n_test": len(rows.test),
                }
            )
        print(pd.DataFrame(table[-2:])[["epoch", "seconds", "statistics", "accuracy", "auc", "positive"]].to_string())

    training.train(network, inputs, cohort.labels, rows.train, rows.validation, recipe, settings.seed, on_epoch=look)
    return pd.DataFrame(table)


def references(study: Path, fold: int) -> dict[str, float]:
    """Accuracy, on the fold's test scans, of the volumes; and the best possible over the cohort."""
    found = {}
    shown = [p for p in tables.read_predictions(study) if p.model == "volumes" and p.fold == fold]
    if shown:
        found["six volumes"] = float(np.mean([(p.probability > 0.5) == p.label for p in shown]))
    if layout.path(study, "bayes").exists():
        found["best possible (Bayes)"] = tables.read_json(layout.path(study, "bayes"))["bayes_accuracy"]
    return found


def draw(table: pd.DataFrame, lines: dict[str, float], file: Path) -> None:
    """Draw loss, test accuracy and share of positive answers against the epoch."""
    panels = (
        ("train_loss", "training loss"),
        ("validation_loss", "validation loss (running statistics)"),
        ("accuracy", "accuracy, test scans"),
        ("positive", "share of test scans called positive"),
    )
    colours = dict(zip(RECIPES, ("#12507B", "#56B4E9", "#E69F00", "#009E73"), strict=True))
    figure, axes = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for (column, title), axis in zip(panels, axes.flat, strict=True):
        for recipe in table["recipe"].unique():
            for statistics, dashes in (("running", "-"), ("measured", "--")):
                if column.endswith("loss") and statistics == "measured":
                    continue
                part = table[(table["recipe"] == recipe) & (table["statistics"] == statistics)]
                name = recipe if column.endswith("loss") else f"{recipe}, {STATISTICS[statistics]}"
                axis.plot(part["epoch"], part[column], dashes, marker=".", color=colours[recipe], label=name)
        axis.set(title=title, xlabel="epoch")
        axis.spines[["top", "right"]].set_visible(False)
    for (name, value), style in zip(lines.items(), (":", "-."), strict=False):
        axes.flat[2].axhline(value, color="#7A7A7A", linestyle=style, label=name)
    handles, names = axes.flat[2].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    figure.suptitle(f"One fold, {int(table['n_test'].iloc[0])} test scans")
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["paper", "bench"])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "learning.tsv"
    known = [pd.read_csv(file, sep="\t")] if file.exists() else []
    for name in options.recipes:
        started = time.perf_counter()
        recipe = RECIPES[name].model_copy(update={"max_epochs": options.epochs})
        known = [table[table["recipe"] != name] for table in known]
        known.append(curve(options.study, options.fold, recipe).assign(recipe=name, fold=options.fold))
        pd.concat(known).to_csv(file, sep="\t", index=False)
        print(f"{name}: {time.perf_counter() - started:.0f} s")
    table = pd.concat(known)
    lines = references(options.study, options.fold)
    draw(table, lines, options.out / "learning.png")
    last = table[table["epoch"] == table.groupby("recipe")["epoch"].transform("max")]
    print(last[["recipe", "statistics", "accuracy", "auc", "positive", "validation_loss"]].to_string(index=False))
    print(json.dumps(lines))


if __name__ == "__main__":
    main()
