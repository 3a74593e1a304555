"""A study folder as preprocessing leaves it: tiny random images on the 8 mm grid."""

import shutil

import numpy as np
import pytest
import torch

from relevox import config
from relevox.config import preset
from relevox.records import Cohort, Observation, Prediction, ScanId, Volume
from relevox.stages import benchmark, benchmark_plant, evaluate, explain, explain_checks, train, validate
from relevox.store import images, layout, models, provenance, tables
from relevox.store.atomic import write_text


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """On small arrays more threads only wait for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "threads_each", lambda workers: 1)
        patch.setattr(benchmark_plant, "threads_each", lambda workers: 1)
        patch.setattr(evaluate, "threads_each", lambda workers: 1)
        patch.setattr(explain, "cores", lambda: 1)
        patch.setattr(explain_checks, "threads_each", lambda workers: 1)
        patch.setattr(validate, "threads_each", lambda workers: 1)
        patch.setattr(benchmark, "cores", lambda: 1)
        torch.set_num_threads(1)
        yield


@pytest.fixture(scope="session")
def tiny_settings():
    settings = preset("tiny")
    training = settings.training.model_copy(update={"device": "cpu", "precision": "float32"})
    return settings.model_copy(update={"training": training})


@pytest.fixture(scope="session")
def made_study(tmp_path_factory, tiny_settings):
    return make_study(tmp_path_factory.mktemp("made") / "study", tiny_settings)


@pytest.fixture(scope="session")
def made_trained_study(made_study, tmp_path_factory, tiny_settings):
    study = shutil.copytree(made_study, tmp_path_factory.mktemp("trained") / "study")
    train.run(study, tiny_settings)
    return study


@pytest.fixture
def tiny_study(made_study, tmp_path):
    """A study with preprocessed images, for one test."""
    return shutil.copytree(made_study, tmp_path / "study")


@pytest.fixture
def trained_study(made_trained_study, tmp_path):
    """The same after training, for one test."""
    return shutil.copytree(made_trained_study, tmp_path / "study")


def make_study(study, settings, first=0, n_patients=12, scanners=("Avanto", "Tim Trio")):
    """Two scans more than patients, half of them positive; positives have a bright spot in FLAIR."""
    rng = np.random.default_rng(first)
    ids = [ScanId(f"sub-{n:02d}", "ses-01") for n in range(first, first + n_patients)]
    ids += [ScanId(f"sub-{n:02d}", "ses-02") for n in (first, first + 1)]
    observations = [
        Observation(
            id=scan,
            score=4.0 if int(scan.participant[-2:]) % 2 else 1.5,
            label=int(scan.participant[-2:]) % 2,
            age_years=float(rng.uniform(20, 60)),
            sex="F" if rng.random() < 0.6 else "M",
            scanner=scanners[0] if rng.random() < 0.5 else scanners[1],
        )
        for scan in sorted(ids)
    ]
    cohort = Cohort(tuple(observations))
    tables.write_cohort(study, cohort)
    space, shape = settings.preprocessing.space, settings.preprocessing.shape
    volumes = []
    for observation in cohort:
        for kind in ("t1w", "flair"):
            data = np.zeros(shape, dtype=np.float32)
            data[2:-2, 2:-2, 2:-2] = 0.5 + 0.05 * rng.standard_normal([n - 4 for n in shape])
            if kind == "flair" and observation.label:
                data[6:11, 8:13, 6:11] += 0.5
            images.write(layout.path(study, kind, observation.id, space=space), Volume(data, np.diag([8, 8, 8, 1.0])))
        volumes.append(
            tables.id_columns(observation.id)
            | {f"{name}_ml": float(rng.normal(500, 50)) for name in tables.VOLUME_NAMES}
        )
    tables.write(layout.path(study, "volumes"), volumes)
    return study


@pytest.fixture(scope="session")
def predicted_once(made_study, tmp_path_factory, tiny_settings):
    """The tiny study with masks, Jacobians, untrained networks and made-up predictions: TP, FP and TN, no FN."""
    settings = tiny_settings
    study = shutil.copytree(made_study, tmp_path_factory.mktemp("predicted") / "study")
    cohort, rng = tables.read_cohort(study), np.random.default_rng(1)
    space, shape = settings.preprocessing.space, settings.preprocessing.shape
    for scan in cohort.ids:
        brain = np.zeros(shape, dtype=bool)
        brain[2:-2, 2:-2, 2:-2] = True
        made = {
            "brain_mask": brain,
            "lesion_mask": brain & (rng.random(shape) < 0.05),
            "jacobian": np.where(brain, 1 + 0.1 * rng.standard_normal(shape), 1).astype(np.float32),
        }
        for kind, data in made.items():
            images.write(layout.path(study, kind, scan, space=space), Volume(data, np.diag([8, 8, 8, 1.0])))
    train.gather_inputs(study, settings, cohort)
    folds = train.deal_folds(study, settings, cohort)
    for fold in range(settings.training.n_folds):
        torch.manual_seed(fold)
        card = models.ModelCard.of(settings, fold, {})
        network = card.build()
        with torch.no_grad():
            for layer in (network.head[1], network.head[3], network.head[5]):
                layer.weight.abs_()
            network.blocks.block4.main[4].bias.fill_(2.0)  # positive all the way to the logits: no map is empty
        written = models.save(study, card, network)
        provenance.Unit(study, "train", f"fold-{fold}").record(written)
    sure = {1: [0.9], 0: [0.2, 0.8]}
    tables.write_predictions(
        study,
        [
            Prediction(o.id, "cnn", int(fold), o.label, sure[o.label][n % len(sure[o.label])])
            for n, (o, fold) in enumerate(zip(cohort, folds, strict=True))
        ],
    )
    return study


@pytest.fixture(scope="session")
def explained_once(tmp_path_factory, predicted_once, tiny_settings):
    """The predicted study with maps and region occlusion."""
    study = shutil.copytree(predicted_once, tmp_path_factory.mktemp("explained") / "study")
    explain.run(study, tiny_settings)
    return study


@pytest.fixture
def predicted_study(tmp_path, predicted_once):
    """A copy that a test may change."""
    return shutil.copytree(predicted_once, tmp_path / "study")


@pytest.fixture(scope="session")
def sharable_once(tmp_path_factory, predicted_once):
    """The predicted study with settings, cohort card, quality and scores: enough to predict and to export."""
    study = shutil.copytree(predicted_once, tmp_path_factory.mktemp("sharable") / "study")
    return finish_study(study, preset("tiny"))


@pytest.fixture
def sharable_study(tmp_path, sharable_once):
    """A copy that a test may change."""
    return shutil.copytree(sharable_once, tmp_path / "study")


def finish_study(study, settings):
    """Write what the command line and ``evaluate`` leave beside the models."""
    write_text(layout.path(study, "settings"), config.to_toml(settings))
    cohort, rng = tables.read_cohort(study), np.random.default_rng(2)
    tables.write_json(layout.path(study, "cohort_card"), {"simulated": False})
    quality = [
        tables.id_columns(scan) | {"status": "ok", "flags": "", "mask_dice": float(rng.uniform(0.94, 0.97))}
        for scan in cohort.ids
    ]
    tables.write(layout.path(study, "quality"), quality)
    scores = [
        {"model": model, "level": "scan", "measure": measure, "value": value, "ci_low": value - 0.1}
        | {"ci_high": value + 0.1, "fold_mean": value, "fold_sd": 0.05, "n": 14}
        for model, value in (("cnn", 0.8), ("scanner", 0.6))
        for measure in ("balanced_accuracy", "auc")
    ]
    tables.write(layout.path(study, "scores"), scores)
    return study


@pytest.fixture
def explained_study(tmp_path, explained_once):
    """A copy that a test may change."""
    return shutil.copytree(explained_once, tmp_path / "study")
