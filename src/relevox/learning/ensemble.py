"""Answers: one network's probabilities, and several networks' vote (paper 2.3.3, 2.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from relevox.learning.device import choose_device
from relevox.learning.inputs import channels_last, load_batch

TIE_BREAK = 1e-6
"""Weight of the mean probability beside the votes: it matters where they are equal, and nowhere else."""


def predict(
    network: nn.Module,
    inputs: np.ndarray,
    rows: np.ndarray | None = None,
    batch_size: int = 8,
    device: str = "auto",
    covariates: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the probability of class 1 for scans, in evaluation mode and float32.

    Parameters
    ----------
    network : Module
        ``(b, c, x, y, z)`` to logits ``(b, 2)``. It is returned to the mode it was in.
    inputs : array-like, (n, c, x, y, z)
        Scans; a memory-mapped array is read batch by batch.
    rows : ndarray, (m,), optional
        Which scans; default all.
    batch_size : int
        Scans computed at once; the answer does not depend on it.
    device : str
        ``auto``, ``cpu``, ``cuda``, ...
    covariates : ndarray, (n, k), optional
        Raw values for a network that is fused with them; NaN where unknown.

    Returns
    -------
    ndarray, (m,) float64
        Softmax probability of class 1.
    """
    rows = np.arange(len(inputs)) if rows is None else np.asarray(rows)
    where, was_training = choose_device(device), network.training
    network = network.to(where, memory_format=torch.channels_last_3d).eval()
    told = None if covariates is None else torch.as_tensor(covariates, dtype=torch.float32, device=where)
    answers = [np.empty(0)]
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            some = rows[start : start + batch_size]
            x = load_batch(inputs, some, where)
            extra = () if told is None else (told[some],)
            answers.append(network(channels_last(x), *extra).double().softmax(dim=1)[:, 1].cpu().numpy())
    network.train(was_training)
    return np.concatenate(answers)


@dataclass(frozen=True)
class Vote:
    """What several models say together."""

    predicted: np.ndarray
    """``(n,)`` class of the majority; an equal split is decided by the mean probability."""
    probability: np.ndarray
    """``(n,)`` mean probability of class 1: the score for the AUC."""
    share: np.ndarray
    """``(n,)`` share of the models that voted for class 1."""

    @property
    def decision(self) -> np.ndarray:
        """``(n,)`` one number above 0.5 exactly where class 1 wins: the share, ties by the mean probability.

        Averaged over a patient's scans it is the majority of all their votes.
        """
        return _decision(self.share, self.probability)


def vote(probabilities: np.ndarray) -> Vote:
    """Let several models vote (paper 2.5).

    Parameters
    ----------
    probabilities : ndarray, (models, n)
        Probability of class 1, one row a model.

    Examples
    --------
    >>> vote(np.array([[0.6, 0.9], [0.6, 0.4], [0.1, 0.4]])).predicted.tolist()
    [1, 0]
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    share = (probabilities > 0.5).mean(axis=0)  # an exact 0.5 is a vote for class 0, as in argmax
    mean = probabilities.mean(axis=0)
    return Vote(predicted=(_decision(share, mean) > 0.5).astype(np.int32), probability=mean, share=share)


def _decision(share: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return 0.5 + (1 - TIE_BREAK) * (share - 0.5) + TIE_BREAK * (mean - 0.5)
