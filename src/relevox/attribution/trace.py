"""Which layer fed which: one forward pass, written down.

Layers are told apart by their calls and values by the identity of their
tensors, so any model works whose data go from layer to layer: no model class
needs to be known, and residual blocks are found on the way. Sums and reshapes
that a ``forward`` makes without a module are seen too.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from relevox.attribution.layers import Addition, Layer, Normalisation, Probabilities, unsupported
from relevox.attribution.options import Options
from relevox.attribution.output import check_logits, evaluating
from relevox.attribution.pooling import Mask, WinnerTakesAll
from relevox.attribution.products import Products
from relevox.attribution.supported import layer_for

ADDITIONS = {torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__, torch.Tensor.__iadd__}
RESHAPES = {
    torch.flatten, torch.reshape, torch.squeeze, torch.unsqueeze,
    torch.Tensor.flatten, torch.Tensor.reshape, torch.Tensor.view, torch.Tensor.squeeze, torch.Tensor.unsqueeze,
    torch.Tensor.contiguous, torch.Tensor.clone, torch.Tensor.detach,
}  # fmt: skip
"""Functions that change the shape, never the order of the values."""


@dataclass(frozen=True)
class Step:
    """One call of a layer."""

    layer: Layer
    """What it does with relevance."""
    inputs: tuple[int, ...]
    """Numbers of the values that went in."""
    output: int
    """Number of the value that came out."""


class Trace(NamedTuple):
    """A forward pass: value 0 is the model's input."""

    steps: list[Step]
    """In the order of their calls; it may be emptied on the way back, to free memory."""
    output: int
    """Number of the value that holds the logits."""
    logits: torch.Tensor
    """``(b, classes)``."""


def trace(model: nn.Module, x: torch.Tensor, options: Options) -> Trace:
    """Run a model in evaluation mode and write down its layers' calls.

    Model, modes and hooks are left as they were found.

    Parameters
    ----------
    model : torch.nn.Module
        Built of the layers in :data:`relevox.attribution.supported.LAYERS`.
    x : torch.Tensor
        Input batch.
    options : Options
        Which rules, and how BatchNorms, additions and max-pools are met.

    Raises
    ------
    ModelError
        For a layer or operation without a rule (with its dotted name), and for
        a BatchNorm that is to be folded and does not follow a convolution.
    """
    recorder = _Recorder(x, options)
    handles = []
    try:
        for name, module in model.named_modules():
            name = name or type(module).__name__
            handles.append(module.register_forward_pre_hook(recorder.entering(name, module), with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.leaving(name, module), with_kwargs=True))
        with evaluating(model), torch.no_grad(), recorder:
            result = model(x)
    finally:
        for handle in handles:
            handle.remove()
    logits = check_logits(result, len(x))
    output = recorder.number(logits, "the model's output")
    steps = recorder.steps
    if steps and steps[-1].output == output and isinstance(steps[-1].layer, Probabilities):
        logits, output, steps = steps[-1].layer.logits, steps[-1].inputs[0], steps[:-1]
    with torch.no_grad():
        recorder.finish(output, logits)
    _check_folded(steps)
    return Trace(steps, output, logits)


def _check_folded(steps: list[Step]) -> None:
    """A convolution whose output others read too cannot take up a BatchNorm."""
    readers = Counter(value for step in steps for value in step.inputs)
    for step in steps:
        norm = getattr(step.layer, "norm", None)
        if norm is not None and readers[step.output] != 1:
            raise _not_followed(norm)


def _not_followed(norm: Normalisation) -> Exception:
    return unsupported(norm.name, norm.module, "it does not directly follow a convolution of its own")


class _Recorder(TorchFunctionMode):
    """Numbers the values and lists the steps while the model runs."""

    def __init__(self, x: torch.Tensor, options: Options) -> None:
        super().__init__()
        self.options = options
        self.mask = None if options.pool_mask is None else Mask(options.pool_mask, x)
        self.makers: dict[int, Layer] = {}
        self.steps: list[Step] = []
        self.calls: Counter[str] = Counter()
        self.open: list[str] = []
        self.leaf_depth = 0
        # weak references: only what a rule keeps stays in memory
        self.values: dict[int, tuple[weakref.ref, int]] = {id(x): (weakref.ref(x), 0)}
        self.strangers: dict[int, tuple[weakref.ref, str]] = {}
        self.n_values = 1

    def entering(self, name: str, module: nn.Module):
        leaf = not any(True for _ in module.children())

        def hook(module, args, kwargs):
            self.open.append(name)
            self.leaf_depth += leaf
            if leaf:
                # before the call: an in-place layer overwrites its input
                layer = layer_for(module, self._call_name(name), self.options)
                self.pending = self._begin(layer, (*args, *kwargs.values()))

        return hook

    def leaving(self, name: str, module: nn.Module):
        leaf = not any(True for _ in module.children())

        def hook(module, args, kwargs, output):
            self.open.pop()
            self.leaf_depth -= leaf
            if leaf:
                pending, self.pending = self.pending, None  # no tensor is held longer than needed
                self._end(*pending, output)

        return hook

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if self.leaf_depth:
            return func(*args, **kwargs)
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
        known = [t for t in tensors if self._find(t) is not None]
        pending = None
        where = self.open[-1] if self.open else "the model"
        if func in ADDITIONS and len(known) == 2 and known[0].shape == known[1].shape and "alpha" not in kwargs:
            layer = Addition(None, self._call_name(f"{where}.+"), self.options)
            written_over = func is torch.Tensor.__iadd__
            pending = self._begin(layer, known, [known[0].clone(), known[1]] if written_over else None)
        elif func in RESHAPES and len(known) == 1:
            pending = self._begin(Layer(None, self._call_name(f"{where}.reshape"), self.options), known)
        output = func(*args, **kwargs)
        if isinstance(output, torch.Tensor) and known:
            if pending is not None:
                self._end(*pending, output)
            else:
                self.values.pop(id(output), None)
                self.strangers[id(output)] = (weakref.ref(output), f"{resolve_name(func) or func} in {where!r}")
        return output

    def number(self, tensor: torch.Tensor, where: str) -> int:
        """Return a value's number.

        Raises
        ------
        ModelError
            When no known layer made it.
        """
        found = self._find(tensor)
        if found is not None:
            return found
        reference, maker = self.strangers.get(id(tensor), (None, ""))
        by = maker if reference is not None and reference() is tensor else "something that is not a layer"
        raise unsupported(where, by, "only layers, sums and reshapes may lie between layers")

    def _find(self, tensor: torch.Tensor) -> int | None:
        reference, number = self.values.get(id(tensor), (None, None))
        return number if reference is not None and reference() is tensor else None

    def finish(self, number: int, tensor: torch.Tensor, norm: Normalisation | None = None) -> None:
        """Show a layer of products its output, before the first who reads it."""
        maker = self.makers.get(number)
        waits = isinstance(maker, Products) and not maker.finished
        if norm is not None and not waits:
            raise _not_followed(norm)
        if waits:
            maker.finish(tensor, norm)

    def _begin(self, layer: Layer, inputs, kept=None) -> tuple[Layer, tuple[int, ...], torch.Tensor]:
        tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
        if len(tensors) != (2 if isinstance(layer, Addition) else 1):
            raise unsupported(layer.name, layer.module, f"it has {len(tensors)} inputs")
        numbers = tuple(self.number(tensor, layer.name) for tensor in tensors)
        if isinstance(layer, Addition) and tensors[0].shape != tensors[1].shape:
            raise unsupported(layer.name, layer.module, "its inputs differ in shape")
        if isinstance(layer, Products):
            layer.reads_scan = numbers == (0,)
        if isinstance(layer, WinnerTakesAll) and self.mask is not None:
            layer.mask = self.mask.at(tensors[0], layer.name, layer.module)
        layer.keep(*(kept or tensors))
        folded = isinstance(layer, Normalisation) and self.options.batchnorm == "fold"
        for number, tensor in zip(numbers, tensors, strict=True):
            self.finish(number, tensor, layer if folded else None)
        return layer, numbers, tensors[0]

    def _end(self, layer: Layer, inputs: tuple[int, ...], first: torch.Tensor, output: torch.Tensor) -> None:
        if not isinstance(output, torch.Tensor):
            raise unsupported(layer.name, layer.module, f"it returns {type(output).__name__}")
        if self.mask is not None:
            self.mask.follow(layer.module, first, output)
        self.values[id(output)] = (weakref.ref(output), self.n_values)
        self.makers[self.n_values] = layer
        self.steps.append(Step(layer, inputs, self.n_values))
        self.n_values += 1

    def _call_name(self, name: str) -> str:
        self.calls[name] += 1
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"
