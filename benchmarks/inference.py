"""Do intervals hold the truth, and tests reject, as often as they say? Simulated studies with repeated scans.

python benchmarks/inference.py --studies 1000
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np
from scipy import special, stats

from relevox.statistics import comparison
from relevox.statistics.calibration import calibration
from relevox.statistics.conformal import conformal_threshold
from relevox.statistics.confounds import confound_verdict
from relevox.statistics.folds import patient_folds
from relevox.statistics.intervals import proportion
from relevox.statistics.resampling import resample
from relevox.statistics.scores import MEASURES, by_patient, checked, weighted_scores
from relevox.statistics.subgroups import interaction

N_BOOTSTRAP = 1000
N_FOLDS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a row")
    parser.add_argument("--only", nargs="*", choices=SIMULATIONS, default=list(SIMULATIONS))
    options = parser.parse_args()
    for name in options.only:
        start = time.perf_counter()
        SIMULATIONS[name](options.studies)
        print(f"({time.perf_counter() - start:.0f} s)\n", flush=True)


def everyone(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Classes and patients of n patients, 1 to 4 scans each, four in ten of class 1."""
    patients = np.repeat(np.arange(n), rng.integers(1, 5, n))
    return (rng.random(n) < 0.4)[patients], patients


def paper_shaped(rng: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """319 patients with 382 scans: all repeated scans are of class 1 (as in the paper)."""
    scans = [1] * 215 + [1] * 71 + [3] * 30 + [2] * 3
    patients = np.repeat(np.arange(319), scans)
    return patients >= 215, patients


def answers(y, patients, accuracy, rng, alike=0.5, within=0.7) -> tuple[np.ndarray, ...]:
    """Probabilities by models of given accuracies that share a part of what they see.

    ``alike`` is the correlation of two models, ``within`` that of two scans of a patient.
    """

    def noise():
        of_patient, of_scan = rng.standard_normal(patients.max() + 1)[patients], rng.standard_normal(len(y))
        return np.sqrt(within) * of_patient + np.sqrt(1 - within) * of_scan

    shared = noise()
    return tuple(
        special.expit(
            stats.norm.ppf(share) * np.where(y, 1, -1) + np.sqrt(alike) * shared + np.sqrt(1 - alike) * noise()
        )
        for share in accuracy
    )


def coverage(n_studies: int) -> None:
    """How often a 95 % interval of a score holds the truth."""
    rng = np.random.default_rng(0)
    # of class 1 the models see N(m, 1), of class 0 N(-m, 1)
    m = stats.norm.ppf(0.75)
    brier = stats.norm(m).expect(lambda z: (1 - special.expit(z)) ** 2)
    truth = np.array([0.75, 0.75, 0.75, 0.75, stats.norm.cdf(np.sqrt(2) * m), brier])
    for n in (30, 60, 120, 319):
        held = defaultdict(list)
        for _ in range(n_studies):
            y, patients = everyone(n, rng)
            (p,) = answers(y, patients, [0.75], rng)
            if min(len(np.unique(patients[y])), len(np.unique(patients[~y]))) < 2:
                continue
            ours = _resampled(y, p, patients)
            plain = np.nanquantile(ours.draws, [0.025, 0.975], axis=1).T
            scans = _resampled(y, p, np.arange(len(y)))
            for name, found in (("patients", ours.interval()), ("percentile", plain), ("scans", scans.interval())):
                held[name].append((found[:, 0] <= truth) & (truth <= found[:, 1]))
        print(f"coverage of 95 % intervals, {n} patients with 1 to 4 scans, {len(held['patients'])} studies")
        print(f"  {'':20s} {'ours (BCa, widened)':>26s} {'percentile':>26s} {'scans resampled':>26s}")
        for k, measure in enumerate(MEASURES):
            print(f"  {measure:20s}" + "".join(f" {_share(np.array(h)[:, k]):>26s}" for h in held.values()))


def tests(n_studies: int) -> None:
    """How often each paired test rejects at 0.05: models that are alike, and 0.79 against 0.70."""
    rng = np.random.default_rng(1)
    for title, draw, accuracy in (
        ("size, 319 patients / 382 scans, accuracy 0.75 and 0.75", paper_shaped, (0.75, 0.75)),
        ("size, 100 patients with 1 to 4 scans, 0.75 and 0.75", lambda r: everyone(100, r), (0.75, 0.75)),
        ("size, 30 patients with 1 to 4 scans, 0.75 and 0.75", lambda r: everyone(30, r), (0.75, 0.75)),
        ("power, 319 patients / 382 scans, 0.79 and 0.70", paper_shaped, (0.79, 0.70)),
    ):
        rejected = defaultdict(list)
        for _ in range(n_studies):
            y, patients = draw(rng)
            folds = rng.permutation(patients.max() + 1)[patients] % N_FOLDS
            a, b = answers(y, patients, accuracy, rng)
            for name, p in p_values(y, a, b, patients, folds).items():
                rejected[name].append(p < 0.05)
        _print_rejections(title, rejected)


def refits(n_studies: int) -> None:
    """The same for two learners that are alike on average, trained anew in every fold of every study.

    Each sees five features, of equal worth; the test folds are predicted by linear discriminants.
    """
    rng = np.random.default_rng(2)
    for n in (100, 319):
        rejected = defaultdict(list)
        for _ in range(n_studies):
            y, patients = everyone(n, rng)
            features = 0.45 * (y - 0.5)[:, None] + rng.standard_normal((n, 10))[patients] * np.sqrt(0.7)
            features += np.sqrt(0.3) * rng.standard_normal(features.shape)
            folds = patient_folds(y.astype(int), patients, N_FOLDS, seed=int(rng.integers(1 << 30)))
            a, b = (_discriminant(features[:, part], y, folds) for part in (slice(0, 5), slice(5, 10)))
            for name, p in p_values(y, a, b, patients, folds).items():
                rejected[name].append(p < 0.05)
        _print_rejections(f"size with trained models, {n} patients with 1 to 4 scans", rejected)


def p_values(y, a, b, patients, folds) -> dict[str, float]:
    """p of every paired test of two models."""
    labels, mean_a, _, _ = by_patient(y.astype(int), a, patients)
    mean_b = by_patient(y.astype(int), b, patients)[1]
    right_a, right_b = (a > 0.5) == y, (b > 0.5) == y
    bootstrap = comparison.paired_bootstrap(y, a, b, patients, N_BOOTSTRAP)
    difference = [(right_a - 1.0 * right_b)[folds == k].mean() for k in range(N_FOLDS) if (folds == k).any()]
    return {
        "DeLong, patients": comparison.delong(labels, mean_a, mean_b).p,
        "DeLong, scans with patients as clusters": comparison.delong(y, a, b, patients).p,
        "McNemar, Durkalski": comparison.mcnemar_clustered(right_a, right_b, patients, "durkalski").p,
        "McNemar, Obuchowski": comparison.mcnemar_clustered(right_a, right_b, patients, "obuchowski").p,
        "corrected t over folds (accuracy)": comparison.corrected_t(difference, 5, 1).p,
        "paired bootstrap, accuracy": bootstrap["accuracy"].p,
        "paired bootstrap, balanced accuracy": bootstrap["balanced_accuracy"].p,
        "paired bootstrap, AUC": bootstrap["auc"].p,
        "wrong: DeLong, scans as if independent": comparison.delong(y, a, b).p,
        "wrong: McNemar, scans as if independent": comparison.mcnemar_clustered(right_a, right_b, np.arange(len(y))).p,
    }


def confounds(n_studies: int) -> None:
    """How often a cohort is called driven by its scanners."""
    rng = np.random.default_rng(3)
    share = np.array([0.1, 0.3, 0.7, 0.9])
    for title, scanner, brain in (
        ("the model reads the scanner only", 3.0, 0.0),
        ("the model reads the brain only", 0.0, 2.0),
        ("the model reads both", 1.5, 2.0),
    ):
        called, plain, within = [], [], []
        for _ in range(max(50, n_studies // 5)):
            patients = np.repeat(np.arange(220), rng.integers(1, 3, 220))
            machine = rng.integers(0, 4, 220)[patients]
            y = (rng.random(220)[patients] < share[machine]).astype(int)
            z = scanner * 4 * (share[machine] - 0.5) + brain * (y - 0.5)
            p = special.expit(z + rng.standard_normal(220)[patients] + 0.3 * rng.standard_normal(len(y)))
            found = confound_verdict(y, p, share[machine], patients, machine.astype(str), n_bootstrap=500)
            called.append(found.confound_driven)
            plain.append(found.model)
            within.append(found.stratified.value)
        print(f"{title}: AUC {np.mean(plain):.3f}, within scanners {np.mean(within):.3f}", end="; ")
        print(f"called scanner-driven in {_share(called)} of {len(called)} studies of 220 patients")


def others(n_studies: int) -> None:
    """Coverage of the calibration slope's interval and of conformal sets; size of the interaction test."""
    rng = np.random.default_rng(4)
    held = defaultdict(list)
    for n in (60, 319):
        for _ in range(n_studies):
            patients = np.repeat(np.arange(n), rng.integers(1, 5, n))
            logit = 1.5 * rng.standard_normal(n)[patients]
            y = rng.random(n)[patients] < special.expit(logit)  # a patient's scans agree, and so do the answers
            of_patients = calibration(y, special.expit(logit), patients)
            of_scans = calibration(y, special.expit(logit))
            held[f"calibration slope, {n} patients"].append(of_patients.slope_low <= 1 <= of_patients.slope_high)
            held[f"wrong: the same, scans as if independent, {n}"].append(
                of_scans.slope_low <= 1 <= of_scans.slope_high
            )
    for n in (30, 60):
        for _ in range(n_studies):
            y, patients = everyone(n, rng)
            (p,) = answers(y, patients, [0.75], rng)
            threshold = conformal_threshold(np.where(y, 1 - p, p), 0.1, patients)
            new_y, new_patients = everyone(50, rng)
            (new_p,) = answers(new_y, new_patients, [0.75], rng)
            one = np.unique(new_patients, return_index=True)[1]
            held[f"conformal sets at 0.90, {n} calibration patients"].extend(
                np.where(new_y, 1 - new_p, new_p)[one] <= threshold
            )
    for name, shares in held.items():
        print(f"coverage: {name}: {_share(shares) if 'conformal' not in name else f'{np.mean(shares):.4f}'}")
    for measure in ("auc", "accuracy"):
        rejected = []
        for _ in range(n_studies):
            y, patients = everyone(120, rng)
            (p,) = answers(y, patients, [0.75], rng)
            levels = np.array(["A", "B", "C"])[rng.integers(0, 3, 120)[patients]]
            rejected.append(interaction(y, p, patients, levels, measure, n_permutations=199).p <= 0.05)
        print(f"size of the interaction test at 0.05, {measure}: {_share(rejected)}")


SIMULATIONS = {
    "coverage": coverage,
    "tests": tests,
    "refits": refits,
    "confounds": confounds,
    "others": others,
}


def _resampled(y, p, patients):
    y, p = checked(y, p)
    return resample(lambda weights: weighted_scores(y, p, weights), patients, N_BOOTSTRAP)


def _discriminant(features: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Out-of-fold probabilities by linear discriminants, trained on all but the test fold and the next."""
    p = np.empty(len(y))
    for k in range(N_FOLDS):
        train = (folds != k) & (folds != (k + 1) % N_FOLDS)
        means = [features[train & (y == value)].mean(axis=0) for value in (False, True)]
        residual = features[train] - np.where(y[train][:, None], means[1], means[0])
        weights = np.linalg.solve(residual.T @ residual / train.sum(), means[1] - means[0])
        p[folds == k] = special.expit((features[folds == k] - (means[0] + means[1]) / 2) @ weights)
    return p


def _share(hits) -> str:
    hits = np.asarray(hits)
    found = proportion(int(hits.sum()), len(hits), "clopper-pearson")
    return f"{found.value:.3f} ({found.ci_low:.3f} to {found.ci_high:.3f})"


def _print_rejections(title: str, rejected: dict[str, list]) -> None:
    print(f"rejections at 0.05: {title}")
    for name, hits in rejected.items():
        print(f"  {name:42s} {_share(hits)}")


if __name__ == "__main__":
    main()
