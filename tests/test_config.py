import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevox import config
from relevox.errors import SettingsError


@pytest.mark.parametrize("name", config.PRESETS)
def test_every_preset_survives_a_round_trip_through_toml(name):
    assert config.from_toml(config.to_toml(config.preset(name))) == config.preset(name)


@given(st.floats(0.01, 1e3), st.integers(3, 50), st.text(max_size=20))
def test_any_setting_survives_a_round_trip_through_toml(rate, folds, score):
    base = config.preset("default")
    settings = base.model_copy(
        update={
            "training": base.training.model_copy(update={"learning_rate": rate, "n_folds": folds}),
            "cohort": base.cohort.model_copy(update={"score": score}),
        }
    )
    assert config.from_toml(config.to_toml(settings)) == settings


def test_the_paper_preset_has_the_papers_numbers():
    paper = config.preset("paper")
    assert paper.preprocessing.shape == (144, 184, 152)
    assert paper.network.widths == (16, 32, 64, 128)
    training = paper.training
    assert (training.n_folds, training.batch_size, training.max_epochs) == (7, 2, 200)
    assert (training.mirror_positives, training.mirror_negatives, training.noise_sigma) == (1.0, 0.75, 0.02)
    assert paper.preprocessing.normalisation == "minmax"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sed = 1", "did you mean 'seed'"),
        ("[training]\nlearning_rat = 0.1", "did you mean 'learning_rate'"),
        ("[trainin]\nn_folds = 3", "did you mean 'training'"),
        ("[training]\nn_folds = 1", "greater than or equal to 3"),
        ("[training]\nn_folds = 'seven'", "training.n_folds"),
        ("[analysis]\npercentile = 101", "less than 100"),
        ("training = 3", "training"),
        ("a = [", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_wrong_settings_are_refused_and_the_nearest_known_one_is_named(text, expected):
    with pytest.raises(SettingsError, match=expected.replace("[", r"\[")):
        config.from_toml(text)


def test_half_an_edss_does_not_exist():
    valid = config.CohortSettings().valid_scores
    assert 0.5 not in valid and {0.0, 1.0, 1.5, 10.0} <= set(valid)


def test_the_threshold_belongs_to_the_positive_class():
    settings = config.CohortSettings()
    assert [settings.label(score) for score in (2.5, 3.0, 3.5)] == [0, 1, 1]


def test_the_excluded_scores_lie_around_the_threshold_and_survive_toml():
    text = "[cohort]\nexclude_between = [2.0, 4.0]"
    settings = config.from_toml(text)
    assert settings.cohort.exclude_between == (2.0, 4.0)
    assert config.from_toml(config.to_toml(settings)) == settings
    assert [settings.cohort.excludes(score) for score in (2.0, 2.5, 3.5, 4.0)] == [False, True, True, False]
    for wrong in ("[3.0, 4.0]", "[4.0, 5.0]", "[2.0, 2.5]", "[4.0, 2.0]", "[2.0]"):
        with pytest.raises(SettingsError, match="exclude_between"):
            config.from_toml(f"[cohort]\nexclude_between = {wrong}")


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(SettingsError, match="did you mean 'paper'"):
        config.preset("papper")


def test_a_later_outcome_is_named_and_impossible_windows_are_refused():
    later = config.from_toml("[cohort]\nwindow_from_days = 365\nwindow_days = 1095").cohort
    assert later.class_words == ("later EDSS < 3", "later EDSS >= 3")
    assert later.outcome_words == "EDSS >= 3, 365 to 1095 days after the scan"
    with pytest.raises(SettingsError, match=r"window_from_days 365 is above window_days 183$"):
        config.from_toml("[cohort]\nwindow_from_days = 365")
    with pytest.raises(SettingsError, match="one score could be both"):
        config.from_toml("[cohort]\noutcome = 'worsening'")


def test_a_simulated_cohort_takes_changes_of_its_preset_and_refuses_impossible_ones():
    changed = config.phantom_preset("demo", n_patients=30, weights={"frontal_cortex": "-1"})
    assert (changed.n_patients, changed.weights, changed.voxel_size_mm) == (30, {"frontal_cortex": -1.0}, 4)
    for changes, words in (
        ({"weights": {"frontal_cotex": -1}}, "did you mean 'frontal_cortex'"),
        ({"weights": {"frontal_cortex": 0}}, "differ from 0"),
        ({"label": "all", "weights": {"frontal_cortex": 1}}, "one label"),
        ({"labels": "paper"}, "did you mean 'label'"),
        ({"n_patients": 1}, "n_patients"),
    ):
        with pytest.raises(SettingsError, match=words):
            config.phantom_preset("tiny", **changes)


def test_a_smaller_simulated_cohort_keeps_the_share_that_is_scanned_twice():
    assert config.phantom_preset("paper", n_patients=3).n_repeated == 1  # 63 of 319
    assert config.phantom_preset("paper", n_patients=3, n_repeated=0).n_repeated == 0
    assert config.phantom_preset("paper").n_repeated == 63
