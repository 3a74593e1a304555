"""Networks as ONNX, and the proof that they still answer the same (optional: ``relevox[onnx]``)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from relevox.errors import SettingsError

TOLERANCE = 1e-4
"""Largest difference of a logit from torch's, for logits up to 1 and in proportion above."""

INPUTS, OUTPUT = ("scans", "covariates"), "logits"
"""Names of the graph's inputs ``(batch, c, x, y, z)`` and ``(batch, k)``, and of its output ``(batch, 2)``, float32."""


def check_installed() -> None:
    """Refuse early where the optional packages are missing.

    Raises
    ------
    SettingsError
        With what to install.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"ONNX files need the package {error.name}, which is not installed",
            code="onnx-missing",
            remedy="pip install 'relevox[onnx]'",
        ) from None


def to_onnx(network: nn.Module, shape: Sequence[int], n_covariates: int = 0) -> bytes:
    """Write a network as ONNX.

    Parameters
    ----------
    network : Module
        ``(b, c, x, y, z)``, and covariates ``(b, k)`` where it has some, to logits ``(b, 2)``, in evaluation mode.
    shape : sequence of int
        ``(c, x, y, z)``; the batch stays free.
    n_covariates : int
        k; 0 for a network of images alone.

    Returns
    -------
    bytes
        The file. torch leaves its own paths and names in notes of the graph; they are removed.
    """
    check_installed()
    examples = (torch.zeros(2, *shape), torch.zeros(2, n_covariates))[: 1 + bool(n_covariates)]
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its own future
        program = torch.onnx.export(
            network.eval(),
            examples,
            dynamo=True,
            input_names=list(INPUTS[: len(examples)]),
            output_names=[OUTPUT],
            dynamic_shapes=tuple({0: batch} for _ in examples),
            verbose=False,
        )
    model = program.model_proto
    _strip(model)
    return model.SerializeToString(deterministic=True)


def largest_difference(
    network: nn.Module, content: bytes, inputs: np.ndarray, covariates: np.ndarray | None = None
) -> float:
    """Compare an ONNX file with its network.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    content : bytes
        What :func:`to_onnx` returned.
    inputs : ndarray, (n, c, x, y, z) float32
        Scans, one batch.
    covariates : ndarray, (n, k) float32, optional
        For a network that has some; NaN where unknown.

    Returns
    -------
    float
        Largest absolute difference of a logit, divided by the larger of 1 and the largest logit.
    """
    check_installed()
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    given = [np.ascontiguousarray(array, dtype=np.float32) for array in (inputs, covariates) if array is not None]
    found = session.run([OUTPUT], dict(zip(INPUTS, given, strict=False)))[0]
    with torch.inference_mode():
        expected = network(*map(torch.from_numpy, given)).numpy()
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def _strip(model) -> None:
    """Remove notes, which hold source paths, from the model and all that is in it."""
    graphs = [model.graph, *(function for function in model.functions)]
    parts = [model, *graphs]
    for graph in graphs:
        parts += [*graph.node, *graph.value_info, *getattr(graph, "input", []), *getattr(graph, "output", [])]
        parts += getattr(graph, "initializer", [])
    for part in parts:
        if hasattr(part, "doc_string"):
            part.ClearField("doc_string")
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
