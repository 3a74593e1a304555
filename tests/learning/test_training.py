import itertools

import numpy as np
import pytest
import torch

from relevox.config import TrainingSettings
from relevox.errors import EngineError
from relevox.learning import ResNet3d
from relevox.learning.augmentation import Samples
from relevox.learning.ensemble import predict
from relevox.learning.recipe import Schedule, class_weights, make_optimiser, one_cycle, shuffled_batches
from relevox.learning.training import reestimate_batch_norm, train, validate

SHAPE = (12, 9, 8)
QUICK = TrainingSettings(
    optimiser="adamw",
    learning_rate=1e-2,
    batch_size=4,
    schedule="one_cycle",
    max_epochs=6,
    early_stopping_patience=0,
    restore_best=False,
    precision="float32",
    device="cpu",
)


def bright_spot_scans(n=32, seed=0):
    """Class 1 has a bright spot in FLAIR; both sides have the same mean over the rest."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    x = 0.5 + 0.05 * rng.standard_normal((n, 2, *SHAPE))
    x[labels == 1, 1, 3:6, 3:6, 3:6] += 0.5
    x[:, :, :1] = 0  # background
    return x.astype(np.float16), labels


def tiny_network(seed=0):
    torch.manual_seed(seed)
    return ResNet3d(widths=(4, 8, 8), head_widths=(8, 8))


def trained_on_spots(n_epochs=6, seed=0, **changes):
    x, y = bright_spot_scans()
    settings = QUICK.model_copy(update={"max_epochs": n_epochs} | changes)
    return train(tiny_network(), x, y, np.arange(24), np.arange(24, 32), settings, seed=seed)


def test_the_network_learns_a_bright_spot():
    trained = trained_on_spots()
    x, y = bright_spot_scans(seed=1)
    assert ((predict(trained.network, x) > 0.5) == y).mean() > 0.9
    assert trained.history[-1].train_loss < 0.7 * trained.history[0].train_loss
    assert trained.history[-1].validation_balanced_accuracy > 0.9


def test_the_seed_decides_everything():
    same, again, other = (trained_on_spots(2, seed=seed).history for seed in (5, 5, 6))
    assert [row.train_loss for row in same] == [row.train_loss for row in again]
    assert [row.train_loss for row in same] != [row.train_loss for row in other]


def test_labels_of_scans_outside_train_and_validation_are_never_used():
    x, y = bright_spot_scans()
    rows = {"train_rows": np.arange(16), "validation_rows": np.arange(16, 24)}
    settings = QUICK.model_copy(update={"max_epochs": 2})
    before = train(tiny_network(), x, y, **rows, settings=settings).history
    x[24:], y[24:] = np.nan, 1 - y[24:]
    after = train(tiny_network(), x, y, **rows, settings=settings).history
    assert [row.train_loss for row in before] == [row.train_loss for row in after]


def test_batches_are_read_one_by_one_and_never_the_whole_cohort():
    class Watched:
        def __init__(self, array):
            self.array, self.shape, self.largest = array, array.shape, 0

        def __getitem__(self, rows):
            self.largest = max(self.largest, len(rows))
            return self.array[rows]

    x, y = bright_spot_scans()
    watched = Watched(x)
    settings = QUICK.model_copy(update={"max_epochs": 1, "batch_size": 4, "reestimate_batch_norm": True})
    train(tiny_network(), watched, y, np.arange(24), np.arange(24, 32), settings)
    assert watched.largest == 4


def test_batches_show_every_sample_once_in_sizes_that_differ_by_one_at_most():
    samples = Samples(np.arange(358), np.arange(358) % 2 == 0)
    batches = shuffled_batches(samples, 45, np.random.default_rng(0))
    assert sorted(np.concatenate([b.rows for b in batches]).tolist()) == list(range(358))
    assert {len(b) for b in batches} == {7, 8}
    assert all((b.mirrored == (b.rows % 2 == 0)).all() for b in batches)
    assert batches[0].rows.tolist() != sorted(batches[0].rows.tolist())


def test_class_weights_are_inverse_to_the_samples_of_each_class():
    labels = np.array([0] * 273 + [1] * 238)
    weights = class_weights(labels)
    assert weights[0] * 273 == pytest.approx(weights[1] * 238)
    assert sum(np.array(weights)[labels]) == pytest.approx(511)
    assert class_weights(labels, "none") == (1.0, 1.0)


def test_the_best_weights_are_restored_and_the_last_are_kept_otherwise():
    x, y = bright_spot_scans()
    y_noise = np.random.default_rng(3).permutation(y)  # nothing to generalise: the loss rises again
    settings = QUICK.model_copy(update={"max_epochs": 8, "learning_rate": 1e-2})
    rows = np.arange(24), np.arange(24, 32)
    last = train(tiny_network(), x, y_noise, *rows, settings)
    best = train(tiny_network(), x, y_noise, *rows, settings.model_copy(update={"restore_best": True}))
    losses = [row.validation_loss for row in best.history]
    assert losses == [row.validation_loss for row in last.history]
    assert best.epoch == int(np.argmin(losses)) + 1 < 8
    assert last.epoch == 8
    weight = torch.tensor(best.class_weights)
    assert validate(best.network, x, y_noise, rows[1], weight, 8)[0] == pytest.approx(min(losses), rel=1e-5)
    assert validate(last.network, x, y_noise, rows[1], weight, 8)[0] == pytest.approx(losses[-1], rel=1e-5)


def test_training_stops_when_the_validation_loss_has_not_improved():
    x, y = bright_spot_scans()
    settings = QUICK.model_copy(update={"max_epochs": 40, "early_stopping_patience": 2, "learning_rate": 1e-12})
    trained = train(tiny_network().eval(), x, y, np.arange(24), np.arange(24, 32), settings)
    losses = [row.validation_loss for row in trained.history]
    if trained.stopped == "early stopping":
        assert len(losses) - (int(np.argmin(losses)) + 1) == 2
    assert trained.stopped == "early stopping"
    assert len(losses) < 40


def test_a_loss_that_is_not_finite_stops_the_training_and_says_so():
    x, y = bright_spot_scans()
    x[3, 0, 4, 4, 4] = np.inf
    with pytest.raises(EngineError, match=r"loss-not-finite.*epoch 1.*learning_rate"):
        train(tiny_network(), x, y, np.arange(24), np.arange(24, 32), QUICK)


def test_bfloat16_learns_the_same_spot():
    trained = trained_on_spots(4, precision="bfloat16")
    assert trained.precision == "bfloat16"
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    assert all(p.dtype == torch.float32 for p in trained.network.parameters())


def test_the_one_cycle_rises_and_falls_to_nothing():
    rates = [one_cycle(t, 0.2) for t in np.linspace(0, 1, 51)]
    assert max(rates) == rates[10] == 1.0
    assert all(a < b for a, b in itertools.pairwise(rates[:11]))
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0)


@pytest.mark.parametrize(("n_batches", "n_epochs"), [(1, 1), (5, 1), (3, 7)])
def test_a_cycle_of_any_length_ends_near_nothing(n_batches, n_epochs):
    settings = QUICK.model_copy(update={"max_epochs": n_epochs})
    optimiser = make_optimiser(tiny_network(), settings)
    schedule, used = Schedule(optimiser, settings, n_batches), []
    for _ in range(n_batches * n_epochs):
        used.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.after_batch()
    assert max(used) <= settings.learning_rate
    assert optimiser.param_groups[0]["lr"] < 1e-6 * settings.learning_rate or len(used) < 3


def test_a_plateau_halves_the_rate_after_the_patience():
    settings = TrainingSettings(plateau_patience=2)
    optimiser = make_optimiser(tiny_network(), settings)
    schedule, rates = Schedule(optimiser, settings, 1), []
    for loss in [1.0, 0.9, 0.9, 0.9, 0.9, 0.9]:
        schedule.after_batch()
        schedule.after_epoch(loss)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == [1e-4] * 4 + [0.5e-4] * 2


def test_only_weights_of_convolutions_decay():
    decayed, spared = make_optimiser(tiny_network(), QUICK.model_copy(update={"weight_decay": 0.1})).param_groups
    assert {p.ndim for p in decayed["params"]} == {5} and decayed["weight_decay"] == 0.1
    assert {p.ndim for p in spared["params"]} == {1} and spared["weight_decay"] == 0
    assert len(decayed["params"]) + len(spared["params"]) == len(list(tiny_network().parameters()))


def test_batch_norm_statistics_become_those_of_the_training_scans():
    network, (x, _) = tiny_network(), bright_spot_scans()
    rows = np.arange(16)
    reestimate_batch_norm(network, x, rows, batch_size=16)
    first, norm = network.blocks.block1.main[0], network.blocks.block1.main[1]
    with torch.no_grad():
        h = first(torch.from_numpy(x[rows]).float())
    torch.testing.assert_close(norm.running_mean, h.mean(dim=(0, 2, 3, 4)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, h.var(dim=(0, 2, 3, 4)), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1 and not network.training


def test_the_loss_of_an_epoch_is_the_weighted_mean_over_its_samples():
    network, (x, y) = tiny_network().eval(), bright_spot_scans()
    y = (np.arange(32) < 8).astype(int)
    weight = torch.tensor([0.5, 2.0])
    with torch.no_grad():
        logp = network(torch.from_numpy(x).float()).log_softmax(1).numpy()
    w = np.array([0.5, 2.0])[y]
    expected = -(w * logp[np.arange(32), y]).sum() / w.sum()
    loss, _ = validate(network, x, y, np.arange(32), weight, batch_size=5)
    assert loss == pytest.approx(expected, rel=1e-5)
