"""Which layer has which rule, and what rules and their combinations are called."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from relevox.attribution.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare
from relevox.errors import SettingsError

ROLES = ("first", "convolution", "head")
"""``first``: reads the scan itself; ``head``: a linear layer, or a convolution that makes a single voxel."""

RULES = {"zplus": AlphaBeta, "epsilon": Epsilon, "gamma": Gamma, "flat": Flat, "wsquare": WSquare}
"""Rules by name; ``epsilon=0.01`` and ``gamma=0.5`` set the number, ``alpha2-beta1`` is written so."""

COMPOSITES: dict[str, dict[str | type[nn.Module], Rule]] = {
    "epsilon-zplus": {"head": Epsilon(), "default": AlphaBeta()},
    "epsilon-zplus-flat": {"head": Epsilon(), "first": Flat(), "default": AlphaBeta()},
    "epsilon-gamma": {"head": Epsilon(), "default": Gamma()},
    "epsilon-alpha2-beta1": {"head": Epsilon(), "default": AlphaBeta(2, 1)},
    "epsilon-alpha2-beta1-flat": {"head": Epsilon(), "first": Flat(), "default": AlphaBeta(2, 1)},
}
"""Rules by layer, as the literature combines them (Montavon et al. 2019; Kohlbrenner et al. 2020)."""

RuleChoice = str | Rule | Mapping[str | type[nn.Module], "str | Rule"]
"""What a user may give: a name, a rule, or rules by layer."""


@dataclass
class Composite:
    """Rules by layer; the most particular key wins.

    In this order: a dotted name (of a layer or of what contains it; the longest),
    ``first``, a layer's class, ``convolution`` or ``head``, ``default``.
    """

    rules: Mapping[str | type[nn.Module], Rule]
    """By dotted name, class, role or ``default``."""
    used: set[str | type[nn.Module]] = field(default_factory=set)
    """Keys that some layer answered to."""

    def rule_for(self, name: str, module: nn.Module, roles: tuple[str, ...]) -> Rule:
        """Return a layer's rule.

        Raises
        ------
        SettingsError
            When no key fits.
        """
        parts = name.partition("#")[0].split(".")
        dotted = [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
        order = [*dotted, *(r for r in roles if r == "first"), type(module), *roles, "default"]
        key = next((key for key in order if key in self.rules), None)
        if key is None:
            raise SettingsError(
                f"no rule was given for layer {name!r} ({type(module).__name__})",
                code="lrp-rule-missing",
                remedy="add a rule for it, or one under 'default'",
            )
        self.used.add(key)
        return self.rules[key]

    def check_used(self) -> None:
        """Refuse names and classes that no layer answered to: most often a slip of the pen.

        Raises
        ------
        SettingsError
            Naming them.
        """
        unused = [key for key in self.rules if key not in self.used and key not in (*ROLES, "default")]
        if unused:
            names = ", ".join(repr(key) if isinstance(key, str) else key.__name__ for key in unused)
            raise SettingsError(f"rules were given for {names}, but the model has none of them", code="lrp-rule-unused")

    def __str__(self) -> str:
        if set(self.rules) == {"default"}:
            return str(self.rules["default"])
        named = {key if isinstance(key, str) else key.__name__: rule for key, rule in self.rules.items()}
        others = named.pop("default", None)
        text = "; ".join(f"{key}: {rule}" for key, rule in named.items())
        return text if others is None else f"{text}; else {others}"


def composite(choice: RuleChoice) -> Composite:
    """Return the rules a user chose.

    Parameters
    ----------
    choice : str, Rule or mapping
        A rule, its name, the name of one of :data:`COMPOSITES`, or a mapping of
        layers (see :class:`Composite`) to rules or their names.

    Raises
    ------
    SettingsError
        For an unknown name.

    Examples
    --------
    >>> str(composite("alpha2-beta1"))
    'alpha 2, beta 1'
    >>> str(composite({"head": "epsilon", "default": "gamma=0.5"}))
    'head: epsilon 1e-06; else gamma 0.5'
    """
    if isinstance(choice, str) and choice in COMPOSITES:
        return Composite(COMPOSITES[choice])
    if isinstance(choice, Mapping):
        return Composite({key: _rule(value) for key, value in choice.items()})
    return Composite({"default": _rule(choice)})


def _rule(choice: str | Rule) -> Rule:
    if isinstance(choice, Rule):
        return choice
    text = str(choice)
    number = r"(\d+(?:\.\d*)?(?:e-?\d+)?)"
    if found := re.fullmatch(rf"alpha{number}-beta{number}", text):
        return AlphaBeta(*map(float, found.groups()))
    if found := re.fullmatch(rf"(epsilon|gamma)={number}", text):
        return RULES[found[1]](float(found[2]))
    if text in RULES:
        return RULES[text]()
    known = ["alpha1-beta0", "alpha2-beta1", *RULES, *COMPOSITES]
    near = difflib.get_close_matches(text, known, n=1, cutoff=0.4)
    raise SettingsError(
        f"unknown rule {choice!r}; expected one of {', '.join(known)}",
        code="lrp-rule-unknown",
        remedy=f"did you mean {near[0]!r}?" if near else None,
    )
