"""Training step, inference and attribution, as ratios measured side by side.

python benchmarks/network.py --voxel-size 4 --threads 1
"""

from __future__ import annotations

import argparse

import torch
from timing import median_seconds, peak_gb, show
from torch.nn import functional

from relevox.attribution import attribute
from relevox.config import PreprocessingSettings
from relevox.learning import ResNet3d

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxel-size", type=int, default=4, choices=(1, 2, 4))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)

    shape = PreprocessingSettings(voxel_size_mm=options.voxel_size).shape
    x = torch.rand(options.batch, 2, *shape).contiguous(memory_format=torch.channels_last_3d)
    y = torch.arange(options.batch) % 2
    network = ResNet3d().to(memory_format=torch.channels_last_3d).train()

    a = torch.rand(2048, 2048)
    matmul_rate = 2 * 2048**3 / median_seconds(lambda: a @ a, options.repeats) / 1e9
    steps = {
        p: median_seconds(training_step(network, x, y, p), options.repeats) for p in (torch.float32, torch.bfloat16)
    }
    work = TRAINING_GFLOP_PER_MM3 * x[:, 0].numel()
    rate = work / steps[torch.float32]
    show(
        f"training step, {shape}, batch {options.batch}, {options.threads} thread(s)",
        [
            ("float32", steps[torch.float32], "s"),
            ("bfloat16", steps[torch.bfloat16], "s"),
            ("float32 rate / float32 matrix product rate (target >= 0.6)", rate / matmul_rate, ""),
            ("bfloat16 / float32 (target <= 0.5)", steps[torch.bfloat16] / steps[torch.float32], ""),
            ("peak memory, float32", peak_gb(training_step(network, x, y, torch.float32)), "GB"),
        ],
    )

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
