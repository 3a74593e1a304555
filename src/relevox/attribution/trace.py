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

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from relevox.attribution.output import check_logits, evaluating
from relevox.attribution.rules import Addition, Contributions, Normalisation, Probabilities, Rule, rule_for, unsupported

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

    rule: Rule
    """What it does with relevance."""
    inputs: tuple[int, ...]
    """Numbers of the values that went in."""
    output: int
    """Number of the value that came out."""


@dataclass(frozen=True)
class Trace:
    """A forward pass: value 0 is the model's input."""

    steps: tuple[Step, ...]
    """In the order of their calls."""
    output: int
    """Number of the value that holds the logits."""
    logits: torch.Tensor
    """``(b, classes)``."""


def trace(model: nn.Module, x: torch.Tensor) -> Trace:
    """Run a model in evaluation mode and write down its layers' calls.

    Model, modes and hooks are left as they were found.

    Parameters
    ----------
    model : torch.nn.Module
        Built of the layers in :data:`relevox.attribution.rules.RULES`.
    x : torch.Tensor
        Input batch.

    Raises
    ------
    ModelError
        For a layer or operation without a rule (with its dotted name), and for
        a BatchNorm that does not follow a convolution.
    """
    recorder = _Recorder(x)
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
    steps = tuple(recorder.steps)
    if steps and steps[-1].output == output and isinstance(steps[-1].rule, Probabilities):
        logits, output, steps = steps[-1].rule.logits, steps[-1].inputs[0], steps[:-1]
    _fold_normalisations(steps)
    return Trace(steps, output, logits)


def _fold_normalisations(steps: tuple[Step, ...]) -> None:
    makers = {step.output: step for step in steps}
    readers = Counter(value for step in steps for value in step.inputs)
    for step in steps:
        if not isinstance(step.rule, Normalisation):
            continue
        maker = makers.get(step.inputs[0])
        if maker is None or not isinstance(maker.rule, Contributions) or readers[maker.output] != 1:
            raise unsupported(step.rule.name, step.rule.module, "it does not directly follow a convolution of its own")
        maker.rule.scale = step.rule.scale


class _Recorder(TorchFunctionMode):
    """Numbers the values and lists the steps while the model runs."""

    def __init__(self, x: torch.Tensor) -> None:
        super().__init__()
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
                self.pending = self._begin(rule_for(module, self._call_name(name)), (*args, *kwargs.values()))

        return hook

    def leaving(self, name: str, module: nn.Module):
        leaf = not any(True for _ in module.children())

        def hook(module, args, kwargs, output):
            self.open.pop()
            self.leaf_depth -= leaf
            if leaf:
                self._end(*self.pending, output)

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
            pending = self._begin(Addition(None, self._call_name(f"{where}.+")), known)
        elif func in RESHAPES and len(known) == 1:
            pending = self._begin(Rule(None, self._call_name(f"{where}.reshape")), known)
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

    def _begin(self, rule: Rule, inputs) -> tuple[Rule, tuple[int, ...]]:
        tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
        if len(tensors) != (2 if isinstance(rule, Addition) else 1):
            raise unsupported(rule.name, rule.module, f"it has {len(tensors)} inputs")
        numbers = tuple(self.number(tensor, rule.name) for tensor in tensors)
        if isinstance(rule, Addition) and tensors[0].shape != tensors[1].shape:
            raise unsupported(rule.name, rule.module, "its inputs differ in shape")
        rule.keep(*tensors)
        return rule, numbers

    def _end(self, rule: Rule, inputs: tuple[int, ...], output: torch.Tensor) -> None:
        if not isinstance(output, torch.Tensor):
            raise unsupported(rule.name, rule.module, f"it returns {type(output).__name__}")
        self.values[id(output)] = (weakref.ref(output), self.n_values)
        self.steps.append(Step(rule, inputs, self.n_values))
        self.n_values += 1

    def _call_name(self, name: str) -> str:
        self.calls[name] += 1
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"
