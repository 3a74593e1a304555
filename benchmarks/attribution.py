"""What an explanation costs, beside a plain forward pass: ours, and other implementations, side by side.

python benchmarks/attribution.py --voxel-size 4
PYTHONPATH=/folder/with/zennit/and/captum python benchmarks/attribution.py --voxel-size 1

Each method runs in a process of its own: first its peak memory above the network's, then forward pass and method
by turns, so that other programs hit both alike. Zennit and Captum are measured where they are installed (the extra
``oracle``). `--allocator` gives the processes what relevox's workers get.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from timing import peak_gb
from torch import nn

from relevox.attribution import attribute
from relevox.config import PreprocessingSettings
from relevox.engines.workers import ALLOCATOR
from relevox.learning import ResNet3d


def plain(network):
    def run(x):
        with torch.inference_mode():
            network(x)

    return run


def input_gradient(network):
    def run(x):
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(network(leaf)[:, 1].sum(), leaf)[0]

    return run


def ours(**options):
    def prepare(network):
        return lambda x: attribute(network, x, 1, "lrp", **options).relevance

    return prepare


def zennit(rule_name, **rule_options):
    """Zennit with its sums made layers, as its documentation asks for."""

    def prepare(network):
        from zennit import canonizers, composites, layer, rules
        from zennit.types import Activation, Convolution, Linear

        class Addition(nn.Module):
            def __init__(self):
                super().__init__()
                self.sum = layer.Sum()

            def forward(self, first, second):
                return self.sum(torch.stack([first, second], dim=-1))

        network = with_additions(network, Addition)
        rule = getattr(rules, rule_name)(zero_params="bias", **rule_options)
        composite = composites.LayerMapComposite(
            [(Activation, rules.Pass()), (layer.Sum, rules.Norm()), (Convolution, rule), (Linear, rule)],
            canonizers=[canonizers.SequentialMergeBatchNorm()],
        )

        def run(x):
            leaf = x.clone().requires_grad_()
            with composite.context(network) as hooked:
                return torch.autograd.grad(hooked(leaf)[:, 1].softmax(0).sum(), leaf)[0]

        return run

    return prepare


def captum(network):
    """Captum's alpha 1, beta 0 (another rule for signed inputs), with rules for the layers that it does not know."""
    from captum.attr import LRP
    from captum.attr._utils.custom_modules import Addition_Module
    from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, IdentityRule

    network = with_additions(network, Addition_Module)
    rules = {nn.Conv3d: Alpha1_Beta0_Rule, nn.LeakyReLU: IdentityRule}

    def run(x):
        for module in network.modules():
            if not any(True for _ in module.children()) and not isinstance(module, nn.ReLU):
                module.rule = rules.get(type(module), EpsilonRule)()
        return LRP(network).attribute(x.clone(), target=1)

    return run


def pytorch_lrp(network):
    """The rules of Pytorch-LRP, written plainly: four groups by sign, BatchNorm passed; sums by positive parts."""
    kept = {}

    def hook(module, inputs, output):
        kept[module] = [value.clone() for value in inputs]

    def convolution(conv, x, relevance):
        signs = [(x.clamp(min=0), conv.weight.clamp(min=0)), (x.clamp(max=0), conv.weight.clamp(max=0))]
        signs += [(x.clamp(min=0), conv.weight.clamp(max=0)), (x.clamp(max=0), conv.weight.clamp(min=0))]
        inputs, weights = torch.cat([s[0] for s in signs], 1), torch.cat([s[1] for s in signs])
        products = F.conv3d(inputs, weights, padding=conv.padding, groups=4).chunk(4, dim=1)
        z = products[0] + products[1]
        s = relevance / (z + (z == 0) * 1e-9)
        s = torch.cat([s, s, 0 * s, 0 * s], dim=1)  # beta is 0
        back = F.conv_transpose3d(s, weights, padding=conv.padding, groups=4) * inputs
        return sum(back.chunk(4, dim=1))

    def back(module, relevance):
        if isinstance(module, nn.Sequential):
            for part in reversed(list(module)):
                relevance = back(part, relevance)
            return relevance
        if hasattr(module, "addition"):
            first, second = (value.clamp(min=0) for value in kept[module.addition])
            share = relevance / (first + second + 1e-9)
            return back(module.main, share * first) + back(module.shortcut, share * second)
        if isinstance(module, nn.Conv3d):
            return convolution(module, kept[module][0], relevance)
        if isinstance(module, (nn.MaxPool3d, nn.AdaptiveMaxPool3d)):
            leaf = kept[module][0].requires_grad_()
            with torch.enable_grad():
                return torch.autograd.grad(module(leaf), leaf, relevance)[0]
        return relevance.reshape(kept[module][0].shape)

    def run(x):
        handles = [module.register_forward_hook(hook) for module in network.modules()]
        with torch.no_grad():
            logits = network(x)
            for handle in handles:
                handle.remove()
            relevance = F.one_hot(torch.tensor([1]), 2) * logits.softmax(1)
            result = back(network.blocks, back(network.head, relevance))
        kept.clear()
        return result

    return run


def with_additions(network, kind):
    network = copy.deepcopy(network)
    for module in network.modules():
        if hasattr(module, "addition"):
            module.addition = kind()
    return network


METHODS = {
    "forward": plain,
    "input gradient": input_gradient,
    "relevox, alpha 1 beta 0": ours(),
    "relevox, alpha 1 beta 0, dense": ours(sparse=False),
    "relevox, alpha 2 beta 1": ours(rule="alpha2-beta1"),
    "relevox, epsilon": ours(rule="epsilon"),
    "Pytorch-LRP's rules": pytorch_lrp,
    "Captum, alpha 1 beta 0": captum,
    "Zennit, z plus": zennit("ZPlus"),
    "Zennit, alpha 2 beta 1": zennit("AlphaBeta", alpha=2, beta=1),
}


def network_of_the_paper():
    """Random weights; normalisations as after a training, so that signs are mixed."""
    torch.manual_seed(0)
    network = ResNet3d().to(memory_format=torch.channels_last_3d)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.normal_(norm.weight, 1.0, 0.3)
            nn.init.normal_(norm.bias, 0.0, 0.1)
            norm.running_mean.normal_(0.0, 0.1)
            norm.running_var.uniform_(0.5, 2.0)
    return network.eval()


def measure(name: str, voxel_size: int, repeats: int, threads: int) -> dict[str, float]:
    torch.set_num_threads(threads)
    network = network_of_the_paper()
    x = torch.rand(1, 2, *PreprocessingSettings(voxel_size_mm=voxel_size).shape)
    x[:, :, : x.shape[2] // 5] = 0  # background
    x = x.contiguous(memory_format=torch.channels_last_3d)
    method, forward = METHODS[name](network), plain(network)
    # compiled code is loaded once, and counts neither as time nor as memory
    method(torch.rand(1, 2, 32, 32, 32).contiguous(memory_format=torch.channels_last_3d))
    memory = peak_gb(lambda: method(x))
    forward(x)
    seconds = {"forward": [], "method": []}
    for _ in range(repeats):
        for kind, call in (("forward", forward), ("method", method)):
            start = time.process_time()
            call(x)
            seconds[kind].append((time.process_time() - start) / threads)
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    return {"seconds": medians["method"], "ratio": medians["method"] / medians["forward"], "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxel-size", type=int, default=4, choices=(1, 2, 4))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--allocator", action="store_true", help="the allocator settings of relevox's workers")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="some of them only")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.voxel_size, options.repeats, options.threads)))
        return
    environment = os.environ | ({"GLIBC_TUNABLES": ALLOCATOR} if options.allocator else {})
    print(f"one scan at {options.voxel_size} mm, {options.threads} thread(s), median of {options.repeats}")
    print(f"{'':<34}{'seconds':>9}{'/ forward':>11}{'GB above the network':>22}")
    for name in options.methods:
        arguments = [
            f"--voxel-size={options.voxel_size}",
            f"--repeats={options.repeats}",
            f"--threads={options.threads}",
        ]
        command = [sys.executable, __file__, "--one", name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            print(f"{name:<34}not measured: {done.stderr.strip().splitlines()[-1][:80]}")
            continue
        got = json.loads(done.stdout.splitlines()[-1])
        print(f"{name:<34}{got['seconds']:>9.3g}{got['ratio']:>11.3g}{got['memory']:>22.3g}", flush=True)


if __name__ == "__main__":
    main()
