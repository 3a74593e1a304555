"""ONNX files; skipped where ``relevox[onnx]`` is not installed."""

import numpy as np
import pytest
import torch

from relevox.learning.fusion import FusedResNet3d
from relevox.learning.network import ResNet3d

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from relevox.learning import onnx

SHAPE = (2, 18, 23, 19)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    made = ResNet3d(widths=(4, 8, 8, 8), head_widths=(8, 8))
    made(torch.rand(4, *SHAPE))  # batch normalisation has seen something
    return made.eval()


@pytest.fixture(scope="module")
def content(network):
    return onnx.to_onnx(network, SHAPE)


@pytest.mark.parametrize("batch", [1, 3])
def test_onnx_answers_as_torch_does_for_any_batch(network, content, batch):
    rng = np.random.default_rng(batch)
    for inputs in (rng.normal(size=(batch, *SHAPE)), np.zeros((batch, *SHAPE)), 50 * rng.random((batch, *SHAPE))):
        assert onnx.largest_difference(network, content, inputs.astype(np.float32)) < onnx.TOLERANCE


def test_other_weights_are_told_apart(network, content):
    torch.manual_seed(1)
    other = ResNet3d(widths=(4, 8, 8, 8), head_widths=(8, 8)).eval()
    inputs = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    assert onnx.largest_difference(other, content, inputs) > 10 * onnx.TOLERANCE


def test_no_path_of_this_machine_is_in_the_file(content):
    import relevox

    for trace in (relevox.__file__.rsplit("/", 2)[0], torch.__file__.rsplit("/", 2)[0], "site-packages", ".py"):
        assert trace.encode() not in content


def test_covariates_are_a_second_input_and_may_be_unknown():
    torch.manual_seed(2)
    network = FusedResNet3d(ResNet3d(widths=(4, 4), head_widths=(4, 4)), ("age", "sex")).eval()
    network.standardise_by(np.array([[30.0, 0], [50.0, 1]]))
    content = onnx.to_onnx(network, SHAPE, n_covariates=2)
    inputs = np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)
    told = np.array([[60, 1], [np.nan, 0], [41, np.nan]])
    assert onnx.largest_difference(network, content, inputs, told) < onnx.TOLERANCE
