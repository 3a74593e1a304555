import numpy as np
import pytest
import torch

from relevox.attribution import attribute
from relevox.config import TrainingSettings
from relevox.errors import InputError
from relevox.learning import ResNet3d
from relevox.learning.ensemble import predict
from relevox.learning.fusion import FusedResNet3d, covariate_values, image_only
from relevox.learning.network import count_parameters
from relevox.learning.training import train
from relevox.records import Observation, ScanId

NAMES = ("age", "sex")
SHAPE = (8, 9, 8)


def fused(seed=0):
    torch.manual_seed(seed)
    return FusedResNet3d(ResNet3d(widths=(4, 4, 8), head_widths=(4, 4)), NAMES)


def observation(n, age, sex):
    return Observation(ScanId(f"sub-{n}"), score=1.0, label=0, age_years=age, sex=sex)


def test_the_image_part_stays_the_papers_network():
    network = FusedResNet3d(ResNet3d(), NAMES)
    assert count_parameters(network.image) == 915_810
    assert count_parameters(network) == 915_810 + 2 * 128


def test_fusing_equals_one_convolution_over_features_and_covariates_side_by_side():
    network = fused().eval()
    network.standardise_by(np.array([[30.0, 1], [50.0, 0]]))
    x, raw = torch.rand(3, 2, *SHAPE), torch.tensor([[30.0, 0], [47.0, 1], [50.0, 1]])
    z = (raw - torch.tensor([40.0, 0.5])) / torch.tensor([10.0, 0.5])
    pool, first, *rest = network.image.head
    beside = torch.cat([pool(network.image.features(x)), z[:, :, None, None, None]], dim=1)
    weight = torch.cat([first.weight, network.fusion.weight[:, :, None, None, None]], dim=1)
    h = torch.conv3d(beside, weight, first.bias)
    for layer in rest:
        h = layer(h)
    torch.testing.assert_close(network(x, raw), h)


def test_a_bound_network_answers_from_the_image_alone_and_alike():
    network = fused().eval()
    network.standardise_by(np.random.default_rng(0).normal(40, 10, (20, 2)))
    x, raw = torch.rand(2, 2, *SHAPE), torch.tensor([[31.0, 45.0], [52.0, float("nan")]])
    with torch.no_grad():
        expected = network(x, raw)
        for n in (0, 1):
            bound = network.bind(raw[n].numpy())
            assert type(bound) is ResNet3d
            torch.testing.assert_close(bound(x[n : n + 1]), expected[n : n + 1])
            assert not torch.equal(bound.head[1].bias, network.image.head[1].bias)


def test_relevance_of_a_bound_network_is_that_of_an_image_and_conserved():
    network = fused().eval()
    with torch.no_grad():
        for n in (1, 3, 5):
            network.image.head[n].weight.abs_()
    network.standardise_by(np.array([[30.0, 1], [50.0, 0]]))
    bound = network.bind(np.array([60.0, 0.0]))
    result = attribute(bound, torch.rand(1, 2, *SHAPE), 1, "lrp", start="one")
    assert result.relevance.shape == (1, 2, *SHAPE)
    assert float(result.relevance.sum()) + sum(float(loss) for loss in result.losses.values()) == pytest.approx(
        1, abs=1e-4
    )


def test_unknown_values_count_as_the_training_mean_and_constant_ones_not_at_all():
    network = fused().eval()
    network.standardise_by(np.array([[30.0, 1], [50.0, 1], [np.nan, np.nan]]))
    assert network.mean.tolist() == [40, 1] and network.sd.tolist() == [10, 0]
    x = torch.rand(1, 2, *SHAPE)
    with torch.no_grad():
        at_mean = network(x, torch.tensor([[40.0, 1.0]]))
        torch.testing.assert_close(network(x, torch.tensor([[float("nan")] * 2])), at_mean)
        torch.testing.assert_close(network(x, torch.tensor([[40.0, 0.0]])), at_mean)


def test_without_covariates_it_is_refused():
    with pytest.raises(InputError, match=r"covariates-missing.*age, sex"):
        fused()(torch.rand(1, 2, *SHAPE))
    with pytest.raises(InputError, match="covariates-missing"):
        fused()(torch.rand(1, 2, *SHAPE), torch.zeros(1, 3))


def test_covariates_are_read_from_the_cohort():
    values = covariate_values([observation(1, 40.0, "F"), observation(2, np.nan, "")], NAMES)
    np.testing.assert_array_equal(values, [[40, 1], [np.nan, np.nan]])
    plain = ResNet3d(widths=(4, 4, 8), head_widths=(4, 4))
    assert image_only(plain, observation(1, 40.0, "F")) is plain


def test_the_network_learns_from_a_covariate_what_no_image_shows():
    rng = np.random.default_rng(0)
    y = np.arange(48) % 2
    x = rng.random((48, 2, *SHAPE)).astype(np.float16)
    told = np.column_stack([np.where(y == 1, 60.0, 30.0) + rng.normal(0, 3, 48), rng.integers(0, 2, 48)])
    network = fused()
    network.standardise_by(told[:32])
    settings = TrainingSettings(
        learning_rate=1e-2, batch_size=8, max_epochs=6, early_stopping_patience=0, restore_best=False,
        precision="float32", device="cpu",
    )  # fmt: skip
    trained = train(network, x, y, np.arange(32), np.arange(32, 40), settings, covariates=told)
    answer = predict(trained.network, x, np.arange(40, 48), device="cpu", covariates=told)
    assert ((answer > 0.5) == y[40:]).all()
