"""Training step, inference and attribution, as ratios measured side by side.

python benchmarks/network.py --voxel-size 4 --threads 1

At 1 mm a step takes seconds: `--voxel-size 1 --repeats 2 --training-only` measures a few
and says what an epoch of the paper's study would take. Where other programs run, wall-clock
time says little: the seconds of a step are those of the processor, divided by the threads.

The allocator that worker processes get can be tried out here:
set GLIBC_TUNABLES to relevox.engines.workers.ALLOCATOR.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from timing import median_seconds, peak_gb, show
from torch.nn import functional

from relevox.attribution import attribute
from relevox.config import PreprocessingSettings
from relevox.learning import ResNet3d
from relevox.learning.augmentation import add_noise, mirror
from relevox.learning.inputs import channels_last, load_batch

TRAINING_GFLOP_PER_MM3 = 403.4 / 4_027_392
"""Of a forward and backward pass, by input voxel."""


def training_step(network, x, y, precision):
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = network(x)
        loss = functional.cross_entropy(logits.float(), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


PAPER_SAMPLES, PAPER_VALIDATION_SCANS, PAPER_FOLDS, PAPER_EPOCHS = 511, 55, 7, 200
"""Samples of an epoch after mirroring, scans that watch it, folds, and epochs at most."""


def processor_seconds(function, repeats, threads):
    """Median processor time of a call, by thread."""
    return median_seconds(function, repeats, clock=time.process_time) / threads


def loading(shape, batch, threads, repeats):
    """Seconds to bring a batch from the memory-mapped array to float32, and to mirror it and add noise."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inputs.npy"
        inputs = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(4 * batch, 2, *shape))
        inputs[:] = 0.5
        rng = np.random.default_rng(0)
        device = torch.device("cpu")

        def load():
            return channels_last(load_batch(inputs, rng.integers(0, len(inputs), batch), device))

        x = load()

        def augment():
            add_noise(mirror(x, torch.tensor([True, False] * batch)[:batch]), torch.randn(x.shape), 0.02)

        return processor_seconds(load, repeats, threads), processor_seconds(augment, repeats, threads)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxel-size", type=int, default=4, choices=(1, 2, 4))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--training-only", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)

    shape = PreprocessingSettings(voxel_size_mm=options.voxel_size).shape
    x = torch.rand(options.batch, 2, *shape).contiguous(memory_format=torch.channels_last_3d)
    y = torch.arange(options.batch) % 2
    network = ResNet3d().to(memory_format=torch.channels_last_3d).train()

    a = torch.rand(2048, 2048)
    matmul_rate = 2 * 2048**3 / processor_seconds(lambda: a @ a, 5, options.threads) / 1e9
    formats = (torch.float32, torch.bfloat16)
    calls = {p: training_step(network, x, y, p) for p in formats}
    peaks = {p: peak_gb(calls[p]) for p in reversed(formats)}  # first of all, and the smaller before the larger
    steps = {p: processor_seconds(calls[p], options.repeats, options.threads) for p in formats}
    load, augment = loading(shape, options.batch, options.threads, 5)
    work = TRAINING_GFLOP_PER_MM3 * x[:, 0].numel()
    rate = work / steps[torch.float32]
    show(
        f"training step, {shape}, batch {options.batch}, {options.threads} thread(s)",
        [
            ("float32", steps[torch.float32], "s"),
            ("bfloat16", steps[torch.bfloat16], "s"),
            ("float32 rate / float32 matrix product rate (target >= 0.6)", rate / matmul_rate, ""),
            ("bfloat16 / float32 (target <= 0.5)", steps[torch.bfloat16] / steps[torch.float32], ""),
            ("peak memory of a step, float32", peaks[torch.float32], "GB"),
            ("peak memory of a step, bfloat16 (target at 1 mm <= 6)", peaks[torch.bfloat16], "GB"),
            ("loading a batch", load, "s"),
            ("loading / bfloat16 step (target <= 0.05)", load / steps[torch.bfloat16], ""),
            ("mirror and noise / bfloat16 step", augment / steps[torch.bfloat16], ""),
        ],
    )
    # a validation scan costs a forward pass, about a third of a training step
    samples = PAPER_SAMPLES + PAPER_VALIDATION_SCANS / 3
    epoch = samples / options.batch * (steps[torch.bfloat16] + load + augment)
    show(
        f"extrapolated from {options.repeats} steps: the paper's study, {shape}, bfloat16, {options.threads} thread(s)",
        [
            ("one epoch", epoch / 60, "min"),
            (f"{PAPER_FOLDS} folds of {PAPER_EPOCHS} epochs", epoch * PAPER_FOLDS * PAPER_EPOCHS / 86400, "days"),
        ],
    )
    if options.training_only:
        return

    network.eval()
    one = x[:1]

    def forward():
        with torch.inference_mode():
            network(one)

    def relevance():
        attribute(network, one, 1, "lrp")

    forward_time, lrp_time = median_seconds(forward, options.repeats), median_seconds(relevance, options.repeats)
    show(
        f"one scan, {shape}, {options.threads} thread(s)",
        [
            ("forward", forward_time, "s"),
            ("LRP", lrp_time, "s"),
            ("LRP / forward (target <= 4.5)", lrp_time / forward_time, ""),
            ("LRP, memory above the network", peak_gb(relevance), "GB"),
        ],
    )


if __name__ == "__main__":
    main()
