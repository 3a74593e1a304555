"""How a unit shares its relevance among its inputs: the rules of linear layers.

A unit sums products ``p = x w``. Let z+ be the sum of its positive products and
z- that of its negative ones. Every rule here gives the positive products the
factor s+ and the negative ones s-, each made of z+, z- and the unit's relevance
R; an input gets ``sum over units of s+ p+ + s- p-``. What a rule is called, and
which layer has which, is in :mod:`relevox.attribution.composites`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from relevox.attribution.pieces import pieces
from relevox.errors import SettingsError

SMALLEST = 1e-30
"""Sums of contributions below it count as zero: relevance divided by them would overflow."""


@dataclass(frozen=True)
class Rule:
    """Base of the rules; each says what it needs and how it divides."""

    @property
    def needs_parts(self) -> bool:
        """Whether z+ and z- are needed, or only their sum."""
        return True

    @property
    def negative_products(self) -> bool:
        """Whether negative products receive."""
        return True

    def stand_in(self, x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is multiplied in place of the layer's input and weights; here both themselves."""
        return x, weight

    def factors(
        self, positive: torch.Tensor, negative: torch.Tensor | None, relevance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return s+ and s- (None: the negative products get nothing).

        Parameters
        ----------
        positive, negative : torch.Tensor
            z+ and z-. A rule that needs no parts takes ``z+ + z-`` as the first
            and None as the second, and returns one factor for all products;
            one without negative products takes None as the second too.
        relevance : torch.Tensor
            R, of the same shape.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """Positive products share alpha R, negative ones take back beta R; alpha - beta = 1.

    ``s+ = alpha R / z+``, ``s- = -beta R / z-`` (Bach et al. 2015, eq. 60).
    A unit without positive (negative) products passes nothing on that side.
    """

    alpha: float = 1.0
    """Weight of the positive products, at least 1."""
    beta: float = 0.0
    """Weight of the negative products, at least 0."""

    def __post_init__(self) -> None:
        if self.beta < 0 or abs(self.alpha - self.beta - 1) > 1e-9:
            raise SettingsError(
                f"expected beta >= 0 and alpha - beta = 1, but got alpha {self.alpha:g}, beta {self.beta:g}",
                code="lrp-alpha-beta",
                remedy="alpha 1, beta 0 and alpha 2, beta 1 are common",
            )

    def __str__(self) -> str:
        return f"alpha {self.alpha:g}, beta {self.beta:g}"

    @property
    def negative_products(self) -> bool:
        """Only with a beta."""
        return self.beta != 0

    def factors(self, positive, negative, relevance):
        """Divide each side by its own sum."""
        s_plus = divided(relevance, positive)
        if self.beta == 0:
            return s_plus, None
        return s_plus.mul_(self.alpha), divided(relevance, negative).mul_(-self.beta)


@dataclass(frozen=True)
class Epsilon(Rule):
    """All products share alike: ``s = R / (z + epsilon sign(z))`` (Bach et al. 2015, eq. 58).

    With epsilon 0 this is LRP-0: gradient x input in a network of ReLUs without biases.
    """

    epsilon: float = 1e-6
    """What keeps small sums from blowing up; it takes its part of the relevance."""

    def __post_init__(self) -> None:
        if self.epsilon < 0:
            raise SettingsError(f"expected epsilon >= 0, but got {self.epsilon:g}", code="lrp-epsilon")

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g}"

    @property
    def needs_parts(self) -> bool:
        """The sum will do."""
        return False

    def factors(self, positive, negative, relevance):
        """Divide by the stabilised sum."""
        return divided(relevance, torch.where(positive < 0, positive - self.epsilon, positive + self.epsilon)), None


@dataclass(frozen=True)
class Gamma(Rule):
    """Products of the sum's own sign count 1 + gamma times (Montavon et al. 2019; Andeol et al. 2021 for any sign).

    ``s+ = (1 + gamma) R / Z, s- = R / Z, Z = (1 + gamma) z+ + z-`` where ``z+ + z- > 0``;
    with the signs exchanged where it is negative.
    """

    gamma: float = 0.25
    """How much the favoured products gain; 0 is epsilon's rule, infinity alpha 1, beta 0."""

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise SettingsError(f"expected gamma >= 0, but got {self.gamma:g}", code="lrp-gamma")

    def __str__(self) -> str:
        return f"gamma {self.gamma:g}"

    def factors(self, positive, negative, relevance):
        """Divide by the sum in which the favoured side weighs more."""
        upwards = positive + negative > 0
        favoured = torch.where(upwards, positive, negative)
        s = divided(relevance, (positive + negative).add_(favoured, alpha=self.gamma))
        more = s * (1 + self.gamma)
        return torch.where(upwards, more, s), torch.where(upwards, s, more)


@dataclass(frozen=True)
class Flat(Rule):
    """Every input of a unit gets the same share, whatever its value (Lapuschkin et al. 2019)."""

    def __str__(self) -> str:
        return "flat"

    @property
    def negative_products(self) -> bool:
        """There are none."""
        return False

    def stand_in(self, x, weight):
        """Ones for both."""
        return torch.ones_like(x), torch.ones_like(weight)

    def factors(self, positive, negative, relevance):
        """Divide by the number of inputs."""
        return divided(relevance, positive), None


@dataclass(frozen=True)
class WSquare(Flat):
    """Inputs share by their squared weights, whatever their values (Montavon et al. 2017)."""

    def __str__(self) -> str:
        return "w square"

    def stand_in(self, x, weight):
        """Ones, and the squares."""
        return torch.ones_like(x), weight.square()


def divided(relevance: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Return ``relevance / by``, and 0 where there is nothing to divide by; the divisor is overwritten by it.

    Examples
    --------
    >>> divided(torch.tensor([6.0, 6.0]), torch.tensor([-2.0, 0.0]))
    tensor([-3.,  0.])
    """
    for given, divisor in pieces(relevance, by):
        sign = divisor.sign()
        # dividing by infinity is several times faster than a mask
        torch.div(given, F.threshold_(divisor.abs_(), SMALLEST, torch.inf), out=divisor).mul_(sign)
    return by
