"""The report of a fabricated study: what it says, what it must not say, and that it stays the same."""

import base64
import re
import shutil

import numpy as np
import pytest
from scipy import ndimage

from relevox import config
from relevox.errors import StudyError
from relevox.imaging.regions import REGIONS
from relevox.records import GROUPS, Cohort, Observation, Prediction, ScanId, Volume
from relevox.report import drawing
from relevox.stages import report
from relevox.store import images, layout, tables, template

MODELS = {"cnn": 1.6, "volumes": 0.5, "scanner": 0.7, "age_sex": 0.1}
SETTINGS = config.preset("tiny")


def fabricate_study(study, settings, n_patients=30, seed=0, simulated=True):
    """Write every file the report reads, with numbers that hang together but mean nothing."""
    rng = np.random.default_rng(seed)
    head = template.load(settings.preprocessing.voxel_size_mm)
    space, affine = settings.preprocessing.space, head.affine
    observations = []
    for i in range(n_patients):
        label = int(rng.random() < 0.45)
        for session in range(1 + (i % 5 == 0)):
            observations.append(
                Observation(
                    ScanId(f"sub-{i:03d}", f"ses-{session + 1:02d}"),
                    float(rng.choice([3, 3.5, 4, 6]) if label else rng.choice([0, 1, 1.5, 2.5])),
                    label,
                    age_years=round(float(rng.normal(38, 9)), 1),
                    sex=str(rng.choice(["F", "F", "M", ""], p=[0.4, 0.25, 0.3, 0.05])),
                    scanner=str(rng.choice(["Avanto", "Tim Trio"], p=[0.6, 0.4] if label else [0.3, 0.7])),
                    field_strength_t=3.0,
                    disease_duration_years=round(float(rng.gamma(2, 4 + 3 * label)), 1),
                )
            )
    cohort = Cohort(tuple(observations))
    tables.write_cohort(study, cohort)
    tables.write_json(layout.path(study, "cohort_card"), {"simulated": simulated})
    patients = {p: k for k, p in enumerate(dict.fromkeys(cohort.patients.tolist()))}
    folds = np.array([patients[o.id.participant] % settings.training.n_folds for o in cohort])
    tables.write_folds(study, cohort, folds)
    n = len(cohort)
    tables.write(
        layout.path(study, "flow"),
        [
            {"rule": "scans found", "scans_removed": 0, "scans_left": n + 3, "patients_left": n_patients + 2},
            {"rule": "no EDSS within 183 days", "scans_removed": 3, "scans_left": n, "patients_left": n_patients},
        ],
    )
    means = np.array([700, 790, 25, 150, 1500, 20])
    volumes = means * (1 + 0.15 * rng.normal(size=(n, 6)))
    tables.write(
        layout.path(study, "volumes"),
        [
            tables.id_columns(o.id) | {f"{name}_ml": v for name, v in zip(tables.VOLUME_NAMES, row, strict=True)}
            for o, row in zip(cohort, volumes, strict=True)
        ],
    )
    tables.write(
        layout.path(study, "quality"),
        [
            tables.id_columns(o.id)
            | {"status": "flagged" if i == 4 else "ok", "flags": "thick slices" if i == 4 else "", "crop_loss": 0.001}
            for i, o in enumerate(cohort)
        ],
    )
    predictions = []
    for model, strength in MODELS.items():
        for o, fold in zip(cohort, folds, strict=True):
            logit = strength * (2 * o.label - 1) + rng.normal()
            predictions.append(Prediction(o.id, model, int(fold), o.label, float(1 / (1 + np.exp(-logit)))))
    tables.write_predictions(study, predictions)
    scores = []
    for k, model in enumerate(MODELS):
        for level in ("scan", "patient"):
            for measure in ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auc", "brier"):
                value = 0.2 if measure == "brier" else 0.85 - 0.07 * k
                scores.append(
                    {"model": model, "level": level, "measure": measure, "value": value, "ci_low": value - 0.09}
                    | {"ci_high": value + 0.08, "fold_mean": value, "fold_sd": 0.05, "n": n}
                )
    tables.write(layout.path(study, "scores"), scores)
    for fold in range(settings.training.n_folds):
        epochs = np.arange(1, settings.training.max_epochs + 1)
        tables.write(
            layout.path(study, "history", fold=fold),
            [
                {
                    "epoch": int(e),
                    "train_loss": 0.7 * np.exp(-e / 9) + 0.02 * rng.random(),
                    "validation_loss": 0.4 + 0.3 * np.exp(-e / 9) + 0.05 * rng.random(),
                    "validation_balanced_accuracy": 0.5 + 0.3 * (1 - np.exp(-e / 6)) + 0.04 * rng.random(),
                    "learning_rate": 1e-3,
                    "seconds": 1.0,
                }
                for e in epochs
            ],
        )

    def blob(sigma_mm=10.0):
        noise = rng.normal(size=head.t1.shape)
        smooth = ndimage.gaussian_filter(noise, sigma_mm / settings.preprocessing.voxel_size_mm)
        return smooth / smooth.std() * head.brain_mask

    periventricular = head.regions == 12
    for o, p in zip(cohort, predictions[:n], strict=True):
        lesions = periventricular & (blob() > 0.3)
        flair = (0.6 * head.grey + 0.45 * head.white + 0.9 * lesions) * head.brain_mask + 0.03 * np.abs(blob(2))
        images.write(layout.path(study, "flair", o.id, space=space), Volume(flair.astype(np.float32), affine))
        images.write(layout.path(study, "brain_mask", o.id, space=space), Volume(head.brain_mask, affine))
        measures = {"volumes_ml": {}, "quality": {}, "flags": [], "steps": ["fabricated for a test"], "seconds": {}}
        tables.write_json(layout.path(study, "measures", o.id), measures)
        for method in settings.attribution.methods:
            relevance = np.maximum(blob(8) + 2 * lesions, 0 if method == "lrp" else -5) * head.brain_mask
            relevance = (relevance / relevance.sum() * p.probability).astype(np.float32)
            images.write(layout.path(study, "relevance", o.id, space=space, method=method), Volume(relevance, affine))
            card = tables.id_columns(o.id) | {"method": method, "rule": "alpha 1, beta 0", "target": p.predicted}
            card |= {"start": p.probability, "sum": 0.8 * p.probability, "fold": p.fold, "group": p.group}
            tables.write_json(layout.path(study, "relevance_card", o.id, space=space, method=method), card)
        tables.write(
            layout.path(study, "occlusion", o.id),
            [{"index": r.index, "region": r.name, "delta": float(rng.normal(0, 0.3))} for r in REGIONS],
        )
    size = np.bincount(head.regions[head.brain_mask], minlength=18)[1:]
    counts = {g: [p.group for p in predictions[:n]].count(g) for g in GROUPS}
    regions, occlusion, groups, regressors = [], [], [], []
    for group, count in counts.items():
        groups.append(
            {"group": group, "n_scans": count, "n_patients": count, "r2_median": 0.2 if count > 3 else None}
            | {"r2_95th": 0.5 if count > 3 else None, "r2_expected": 2 / (count - 1) if count > 1 else None}
            | {"r2_mean": 0.25 if count > 3 else None, "r2_expected_permuted": None, "r2_above_chance": None}
            | {"partial_r2_lesion_median": 0.1, "partial_r2_jacobian_median": 0.05, "note": ""}
        )
        for method in settings.attribution.methods if count else ():
            display = rng.random(17)
            for r in REGIONS:
                regions.append(
                    {"group": group, "method": method, "region": r.name, "n_scans": count, "percentile": 95}
                    | {"voxel_share": float(rng.dirichlet(np.ones(17))[0]), "relevance_share": 0.05}
                    | {"voxel_share_ci_low": 0.01, "voxel_share_ci_high": 0.2 if count > 1 else None}
                    | {"volume_share": size[r.index - 1] / size.sum(), "enrichment": 1.0, "mean_relevance": 0.1}
                    | {"mean_relevance_display": float(display[r.index - 1])}
                )
            write_map(study, group, method, "mean", np.abs(blob(8)) + 2 * periventricular, affine)
        for r in REGIONS:
            occlusion.append(
                {"group": group, "region": r.name, "n_scans": count, "mean_delta": float(rng.normal(0, 0.2))}
                | {"sd_delta": 0.3, "mean_absolute_delta": float(rng.random())}
            )
        if count:
            write_map(study, group, "t1w", "mean", head.t1, affine)
            write_map(study, group, "lesion", "mean", periventricular * 0.4, affine)
            write_map(study, group, "jacobian", "mean", 1 + 0.05 * blob(20), affine)
        if count > 3:
            write_map(study, group, "lrp", "r2", np.clip(0.2 + 0.1 * blob(), 0, 1), affine)
            for desc in ("lesion", "jacobian"):
                write_map(study, group, desc, "partialr2", np.clip(0.1 * np.abs(blob()), 0, 1), affine)
                write_map(study, group, desc, "fitted", head.brain_mask, affine)
                write_map(study, group, desc, "t", 3 * blob(), affine)
                write_map(study, group, desc, "logpfwe", np.abs(blob()), affine)
        for desc in ("lesion", "jacobian"):
            regressors.append(
                {"group": group, "method": "lrp", "regressor": desc, "partial_r2_median": 0.1, "n_scans": count}
                | {"n_patients": count, "n_permutations": 99 if count > 3 else None, "voxels_tested": 900}
                | {"voxels_fwe": 7, "smallest_p_fwe": 0.01, "voxels_uncorrected": 90, "peak_t": 5.2}
                | {"peak_region": "thalamus", "peak_x_mm": 4, "peak_y_mm": -8, "peak_z_mm": 6}
                | {"voxels_tfce": None, "smallest_p_tfce": None, "note": ""}
            )
    for r in REGIONS:
        occlusion.append(
            {"group": "all", "region": r.name, "n_scans": n, "mean_delta": 0.1, "sd_delta": 0.3}
            | {"mean_absolute_delta": 0.9 if r.index == 12 else 0.1}
        )
    tables.write(layout.path(study, "analysis_regions"), regions)
    tables.write(layout.path(study, "analysis_occlusion"), occlusion)
    tables.write(layout.path(study, "analysis_groups"), groups)
    tables.write(layout.path(study, "analysis_regressors"), regressors)
    leak = {"correlation_lesion_load": -0.64, "correlation_label": -0.4, "auc_label": 0.21}
    tables.write(
        layout.path(study, "input_leak"),
        [{"channel": "T1w"} | dict.fromkeys(leak, 0.1) | {"auc_label": 0.52}, {"channel": "FLAIR"} | leak],
    )
    if simulated:
        rows = [
            {"method": m, "target": t, "measure": measure, "value": v, "ci_low": 0.8 * v, "ci_high": 1.2 * v, "n": n}
            for m, base in (("lrp", 3.2), ("integrated_gradients", 5.1))
            for t in ("periventricular_lesions", "other_lesions")
            for measure, v in (("enrichment", base), ("relevance_mass", 0.1), ("auc", 0.55 + base / 20))
        ]
        rows.append({"method": "lrp", "target": "class", "measure": "class_swap_correlation", "value": 0.997})
        rows[-1] |= {"ci_low": 0.99, "ci_high": 0.999, "n": 14}
        tables.write(layout.path(study, "benchmark"), rows)
        bayes = {"logit_explained_by": {"periventricular_lesions": 0.6, "other_lesions": -0.4, "r2": 0.5}}
        bayes |= {"bayes_accuracy": 0.88, "bayes_auc": 0.954, "label": "location", "confounding": 1.0}
        causes = {"periventricular_load": 1.0, "other_load": -1.0}
        tables.write_json(layout.path(study, "bayes"), bayes | {"causes": causes})
    return cohort


def write_map(study, group, desc, statistic, data, affine):
    path = layout.path(study, "group_map", group=group, desc=desc, statistic=statistic)
    images.write(path, Volume(np.asarray(data, dtype=np.float32), affine))


@pytest.fixture(scope="module", autouse=True)
def coarse_pictures():
    """Draw at a resolution that takes little time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "DPI", 40)
        yield


@pytest.fixture(scope="module")
def whole_study(tmp_path_factory):
    study = tmp_path_factory.mktemp("whole") / "study"
    fabricate_study(study, SETTINGS)
    report.run(study, SETTINGS)
    return study


@pytest.fixture
def study(whole_study, tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(whole_study, copy)
    return copy


@pytest.fixture
def blank_figures(monkeypatch):
    """Leave the drawing out where only words matter: it takes most of the time."""
    monkeypatch.setattr(drawing, "to_png", lambda figure: b"blank")


def html(study):
    return layout.path(study, "report").read_text(encoding="utf-8")


def words(text):
    """Leave out style and pictures."""
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    return re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", text)


def test_every_section_is_there_and_every_picture_is_inside(whole_study):
    text = html(whole_study)
    for anchor in ("glance", "cohort", "scores", "training", "scans", "groups", "voxelwise", "causes", "limits"):
        assert f'<section id="{anchor}">' in text
        assert f'href="#{anchor}"' in text
    pictures = re.findall(r'src="([^"]{0,30})', text)
    assert len(pictures) >= 12
    assert all(uri.startswith("data:image/png;base64,") for uri in pictures)


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(whole_study):
    text = html(whole_study)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link|<iframe|javascript:", words(text), re.IGNORECASE)
    assert "default-src 'none'" in text


def test_no_path_and_no_date_leaves_the_house(whole_study):
    text = words(html(whole_study))
    assert str(whole_study) not in text
    assert not re.search(r"/(home|tmp|work|root|Users)/", text)
    assert not re.search(r"\b(19|20)\d\d-\d\d-\d\d\b", text)
    for encoded in re.findall(r"base64,([A-Za-z0-9+/=]+)", html(whole_study)):
        picture = base64.b64decode(encoded)
        assert not re.search(rb"tEXt|zTXt|iTXt|tIME", picture[:2000])


def test_the_same_results_give_the_same_bytes(whole_study, tmp_path):
    again = tmp_path / "elsewhere"
    shutil.copytree(whole_study, again)
    shutil.rmtree(again / "report")
    report.run(again, SETTINGS)
    assert html(again) == html(whole_study)


def test_what_is_up_to_date_is_left_alone_and_what_changed_is_made_again(study, blank_figures):
    page = layout.path(study, "report")
    before = page.stat().st_mtime_ns
    report.run(study, SETTINGS)
    assert page.stat().st_mtime_ns == before
    scores = layout.path(study, "scores")
    scores.write_text(scores.read_text().replace("0.85", "0.86"))
    report.run(study, SETTINGS)
    assert page.stat().st_mtime_ns != before


def test_ids_and_scanners_are_escaped(study, blank_figures):
    cohort = layout.path(study, "cohort")
    cohort.write_text(cohort.read_text().replace("Tim Trio", "<script>alert(1)</script>"))
    quality = layout.path(study, "quality")
    quality.write_text(quality.read_text().replace("thick slices", "<img src=x onerror=alert(2)>"))
    report.run(study, SETTINGS)
    text = words(html(study))
    assert "<script" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;img src=x onerror=alert(2)&gt;" in text


def assert_simulated_in_banner_and_limits(text):
    sentence = "A model trained on simulated patients says nothing about a person."
    banner = re.search(r'<div class="banner"[^>]*>(.*?)</div>', text, flags=re.DOTALL)
    limits = re.search(r'<section id="limits".*?</section>', text, flags=re.DOTALL)
    assert sentence in banner[1]
    assert sentence in limits[0]


def test_a_simulated_cohort_says_so_across_the_top(study, blank_figures):
    assert_simulated_in_banner_and_limits(words(html(study)))
    shutil.rmtree(study / "benchmark")
    report.run(study, SETTINGS)  # the study's own card still tells
    text = words(html(study))
    assert_simulated_in_banner_and_limits(text)
    assert "does not hold it: the maps against the known causes" in text


def test_real_patients_are_not_called_simulated(tmp_path, blank_figures):
    fabricate_study(tmp_path, SETTINGS, simulated=False)
    report.run(tmp_path, SETTINGS)
    assert "simulated" not in words(html(tmp_path)).lower()


def test_the_tables_of_a_paper_are_written_as_numbers_and_as_latex(whole_study):
    folder, page = whole_study / "tables", html(whole_study)
    rows = tables.read(folder / "table2.tsv")
    age = next(row for row in rows if row["variable"] == "age (years)")
    assert age["test"] == "mixed model" and 0 < float(age["p"]) <= 1
    text = (folder / "table2.tex").read_text(encoding="utf-8")
    for cell in (age["all"], "female", rows[1]["test"]):
        assert cell in text and cell in page


def test_baselines_inside_the_interval_are_named(whole_study):
    text = words(html(whole_study))
    assert "The six volumes reach an AUC of 0.78 (0.69 to 0.86), which lies inside the CNN&#39;s 95 % interval" in text
    assert "Age and sex alone reach an AUC of 0.64 (0.55 to 0.72), below the CNN&#39;s 95 % interval" in text


def test_the_measured_class_swap_stands_in_the_limits(whole_study):
    assert "Here maps of the two classes correlate 0.997 (n = 14)." in words(html(whole_study))


def test_the_leak_is_named_in_the_limits(whole_study):
    text = words(html(whole_study))
    assert "The mean FLAIR intensity alone tells the classes apart with an AUC of 0.79" in text
    assert "The mean T1w intensity" not in text


def test_optional_parts_that_are_missing_are_said_to_be_missing(study, blank_figures):
    for folder in ("analysis", "attribution", "benchmark"):
        shutil.rmtree(study / folder)
    report.run(study, SETTINGS)
    text = words(html(study))
    for part in ("relevance by region", "region occlusion", "attention maps of single scans"):
        assert f"does not hold it: {part}" in text or f"does not hold it: the {part}" in text
    assert '<section id="groups">' not in text


@pytest.mark.parametrize("kind", ["cohort", "scores", "quality", "volumes", "flow"])
def test_a_mandatory_part_that_is_missing_is_an_error_that_names_it(study, kind):
    layout.path(study, kind).unlink()
    with pytest.raises(StudyError) as error:
        report.run(study, SETTINGS)
    assert error.value.code == "study-incomplete"
    assert error.value.file == layout.PATTERNS[kind]


def test_predictions_of_another_cohort_are_refused(study):
    cohort = layout.path(study, "cohort")
    cohort.write_text("\n".join(cohort.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(StudyError) as error:
        report.run(study, SETTINGS)
    assert error.value.code == "study-stale"


def test_maps_of_another_grid_are_refused(study):
    write_map(study, "TP", "lrp", "mean", np.zeros((4, 4, 4)), np.eye(4))
    with pytest.raises(StudyError) as error:
        report.run(study, SETTINGS)
    assert error.value.code == "study-stale"


def test_what_group_size_explains_is_said_with_its_numbers(study, blank_figures):
    file = layout.path(study, "analysis_groups")
    rows = tables.read(file)
    found = {"TP": (0.06, 0.02), "FP": (0.1, 0.07), "TN": (0.09, 0.02), "FN": (0.11, 0.08)}
    for row in rows:
        row["r2_mean"], row["r2_expected_permuted"] = found[row["group"]]
    tables.write(file, rows)
    report.run(study, SETTINGS)
    text = words(html(study))
    assert "False negatives look better explained than true positives" in text
    assert "size accounts for all of the difference. Above chance they have 0.030 and 0.040" in text
    assert "True negatives look better" not in text  # TN and TP are of one size


def test_the_tests_of_the_regressors_are_in_the_report(whole_study):
    text = words(html(whole_study))
    assert "5.2 in thalamus (4, -8, 6)" in text
    assert "99 permutations of whole patients" in text
