"""How far a map can be believed, measured on one's own model and scans.

Each check asks one question. Does the map depend on what the network has
learned (:mod:`randomisation`), on the class it explains (:mod:`class_swap`), on
which of several networks was asked (:mod:`stability`)? Does the answer fall
when what it calls relevant is taken away (:mod:`perturbation`)?
"""

from relevox.attribution.checks.class_swap import class_swap
from relevox.attribution.checks.perturbation import Curve, order_by, perturb, random_order
from relevox.attribution.checks.randomisation import cascade, randomisation
from relevox.attribution.checks.similarity import Similarity, similarity
from relevox.attribution.checks.stability import Agreement, agreement
from relevox.attribution.checks.supervoxels import supervoxels

__all__ = [
    "Agreement",
    "Curve",
    "Similarity",
    "agreement",
    "cascade",
    "class_swap",
    "order_by",
    "perturb",
    "random_order",
    "randomisation",
    "similarity",
    "supervoxels",
]
