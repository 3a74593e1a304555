import numpy as np
import torch

from relevox.learning.augmentation import add_noise, mirror, training_samples


def test_the_papers_training_folds_become_about_511_samples():
    labels = np.array([1] * 119 + [0] * 156)
    samples = training_samples(labels, np.arange(275), np.random.default_rng(0))
    assert len(samples) == 275 + 119 + 117
    assert samples.mirrored.sum() == 119 + 117


def test_every_scan_is_shown_as_it_is_and_every_positive_mirrored_too():
    labels = np.array([0, 1, 0, 1, 0, 0, 1])
    rows = np.array([1, 2, 4, 5, 6])
    samples = training_samples(labels, rows, np.random.default_rng(0))
    assert samples.rows[~samples.mirrored].tolist() == rows.tolist()
    assert {1, 6} <= set(samples.rows[samples.mirrored].tolist()) <= set(rows.tolist())
    assert len(set(samples.rows[samples.mirrored].tolist())) == samples.mirrored.sum() == 2 + 2


def test_the_seed_decides_which_negatives_are_mirrored():
    def drawn(seed):
        return training_samples(np.zeros(40, int), np.arange(40), np.random.default_rng(seed)).rows[40:].tolist()

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_shares_of_zero_add_nothing():
    samples = training_samples(np.array([0, 1]), np.arange(2), np.random.default_rng(0), 0, 0)
    assert samples.rows.tolist() == [0, 1] and not samples.mirrored.any()


def test_a_mirror_exchanges_left_and_right_only_where_asked():
    x = torch.randn(2, 2, 3, 4, 5)
    same = mirror(x, torch.tensor([False, False]))
    assert torch.equal(same, x)
    mirrored = mirror(x, torch.tensor([False, True]))
    assert torch.equal(mirrored[0], x[0])
    assert torch.equal(mirrored[1, :, 0], x[1, :, 2])  # leftmost from rightmost
    assert torch.equal(mirror(mirrored, torch.tensor([False, True])), x)


def test_noise_stays_inside_the_brain_and_has_its_sigma():
    x = torch.zeros(2, 2, 30, 30, 30)
    x[:, :, 5:25, 5:25, 5:25] = 0.5
    x[:, 1, 10, 10, 10] = 0  # a dark voxel in one channel is still brain
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noisy = add_noise(x, noise, 0.02)
    brain = (x != 0).any(dim=1, keepdim=True).expand_as(x)
    assert not noisy[~brain].any()
    assert (noisy[:, 1, 10, 10, 10] != 0).all()
    assert abs((noisy - x)[brain].std().item() - 0.02) < 3e-4


def test_no_noise_changes_nothing():
    x = torch.rand(1, 2, 3, 3, 3)
    assert torch.equal(add_noise(x, torch.randn_like(x), 0.0), x)
