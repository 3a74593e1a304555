import numpy as np
import pytest
import torch

from relevox.learning import ResNet3d
from relevox.learning.ensemble import predict, vote

SHAPE = (18, 23, 19)


@pytest.fixture
def trained_network():
    torch.manual_seed(0)
    network = ResNet3d(widths=(4, 4, 8, 8), head_widths=(8, 8))
    network(torch.rand(4, 2, *SHAPE))  # BatchNorm has seen something
    return network


def scans(n=5):
    return np.random.default_rng(0).random((n, 2, *SHAPE)).astype(np.float16)


def test_a_scans_probability_does_not_depend_on_its_batch_mates(trained_network):
    x = scans()
    together = predict(trained_network, x, batch_size=5)
    alone = np.array([predict(trained_network, x, np.array([i]))[0] for i in range(5)])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert np.ptp(together) > 1e-5  # otherwise nothing would be shown


def test_probabilities_are_the_softmax_of_the_logits(trained_network):
    x = scans(3)
    with torch.no_grad():
        expected = trained_network.eval()(torch.from_numpy(x).float()).softmax(1)[:, 1].numpy()
    np.testing.assert_allclose(predict(trained_network, x, batch_size=2), expected, atol=1e-6)


def test_predicting_leaves_the_network_as_it_was(trained_network):
    trained_network.train()
    before = {name: tensor.clone() for name, tensor in trained_network.state_dict().items()}
    predict(trained_network, scans(2))
    assert trained_network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained_network.state_dict().items())


def test_rows_choose_the_scans_and_their_order(trained_network):
    x = scans()
    everything = predict(trained_network, x)
    np.testing.assert_allclose(predict(trained_network, x, np.array([3, 1])), everything[[3, 1]], atol=1e-6)
    assert predict(trained_network, x, np.array([], dtype=int)).shape == (0,)


def test_the_majority_wins_against_the_mean():
    answer = vote(np.array([[0.6], [0.6], [0.1]]))
    assert answer.predicted.tolist() == [1]
    assert answer.probability[0] == pytest.approx(1.3 / 3)
    assert answer.share[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("probabilities", "predicted"), [([0.9, 0.4], 1), ([0.6, 0.1], 0), ([0.6, 0.4], 0)])
def test_an_equal_split_is_decided_by_the_mean_probability(probabilities, predicted):
    assert vote(np.array(probabilities)[:, None]).predicted.tolist() == [predicted]


def test_one_model_votes_as_its_argmax():
    assert vote(np.array([[0.5, 0.51, 0.49]])).predicted.tolist() == [0, 1, 0]


def test_the_decision_is_above_a_half_exactly_where_class_1_wins():
    rng = np.random.default_rng(3)
    for n_models in (1, 2, 4, 7):
        answer = vote(rng.random((n_models, 500)).round(2))  # rounding makes exact halves and ties
        np.testing.assert_array_equal(answer.decision > 0.5, answer.predicted == 1)
        assert answer.decision.min() >= 0 and answer.decision.max() <= 1


def test_a_patients_scans_decide_together_by_all_their_votes():
    # either scan has 2 of 4 votes; their mean probabilities, 0.35 and 0.6, decide for each and, equal votes, for both
    answer = vote(np.array([[0.6, 0.8], [0.6, 0.8], [0.1, 0.4], [0.1, 0.4]]))
    assert answer.predicted.tolist() == [0, 1] and answer.decision.mean() < 0.5
    # one vote more outweighs any probability
    answer = vote(np.array([[0.51, 0.51], [0.51, 0.51], [0.51, 0.0], [0.0, 0.0]]))
    assert answer.decision.mean() > 0.5 > answer.probability.mean()
