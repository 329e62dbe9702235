"""What is true of a phantom lesion: how classes give attributes, and the Bayes rule that gives them back.

A lesion of class c is drawn in two steps. First its *appearance* a: usually c itself, sometimes a class it mimics
(a naevus that looks like a melanoma), by the matrix `mimicry`. Then 13 attributes, independent normal numbers z in
logit space (log space for the diameter in mm) around the means of a. The pictures are drawn from the attributes
alone and never see the class, so no classifier of pictures can be better than `bayes`, which sees the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
HAM10000_SHARES = (327, 514, 1099, 115, 1113, 6705, 142)
"""Photographs of each class in HAM10000 (Tschandl 2018), in the order of `CLASSES`."""

# Columns: akiec bcc bkl df mel nv vasc. Typical values, 0 none .. 1 as strong as it gets (after the criteria of
# the dermoscopy consensus: Argenziano 2003; Kittler 2016).
_TYPICAL: Mapping[str, tuple[float, ...]] = {
    "asymmetry": (0.50, 0.45, 0.35, 0.15, 0.80, 0.22, 0.25),
    "border": (0.50, 0.40, 0.40, 0.15, 0.80, 0.22, 0.35),
    "sharpness": (0.30, 0.45, 0.85, 0.20, 0.55, 0.45, 0.80),
    "pigment": (0.25, 0.22, 0.52, 0.38, 0.82, 0.58, 0.45),
    "redness": (0.75, 0.60, 0.15, 0.35, 0.15, 0.12, 0.92),
    "colours": (0.35, 0.35, 0.40, 0.20, 0.82, 0.20, 0.30),
    "network": (0.05, 0.04, 0.10, 0.50, 0.40, 0.75, 0.03),
    "veil": (0.04, 0.15, 0.06, 0.03, 0.65, 0.04, 0.12),
    "cysts": (0.06, 0.06, 0.75, 0.04, 0.06, 0.06, 0.03),
    "vessels": (0.20, 0.80, 0.06, 0.06, 0.12, 0.03, 0.06),
    "lacunae": (0.04, 0.06, 0.04, 0.03, 0.05, 0.03, 0.85),
    "scar": (0.06, 0.08, 0.04, 0.80, 0.12, 0.03, 0.04),
    "scale": (0.80, 0.12, 0.25, 0.04, 0.04, 0.03, 0.03),
}
_DIAMETER_MM = (7.5, 6.5, 7.5, 5.5, 8.5, 6.0, 5.0)
ATTRIBUTES = (*_TYPICAL, "diameter")
"""Names of the attributes, in the order of the columns of z."""

_MIMICS: Mapping[str, tuple[str, ...]] = {
    "akiec": ("bcc", "bkl"),
    "bcc": ("akiec", "nv"),
    "bkl": ("mel", "nv", "akiec"),
    "df": ("nv", "bcc"),
    "mel": ("nv", "bkl"),
    "nv": ("mel", "bkl"),
    "vasc": ("mel", "bcc"),
}
_LIMIT = 8.0


def _logit(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(p) - np.log1p(-p)


def class_means() -> NDArray[np.float64]:
    """(7, 14): typical z of each appearance."""
    graded = _logit(np.array(list(_TYPICAL.values()), dtype=np.float64)).T
    return np.column_stack([graded, np.log(np.array(_DIAMETER_MM))])


def spread(difficulty: float) -> NDArray[np.float64]:
    """(14,): standard deviation of z within an appearance; difficulty 0..1 widens all but the diameter."""
    return np.array([0.3 + 1.2 * difficulty] * len(_TYPICAL) + [0.25])


def mimicry(difficulty: float) -> NDArray[np.float64]:
    """(7, 7): probability that a lesion of class (row) has the appearance of class (column); rows sum to 1."""
    share = 0.16 * difficulty
    matrix = np.eye(len(CLASSES)) * (1 - share)
    for name, others in _MIMICS.items():
        for other in others:
            matrix[CLASSES.index(name), CLASSES.index(other)] += share / len(others)
    return matrix


def prior(floor: float) -> NDArray[np.float64]:
    """(7,): HAM10000's class shares, each raised to at least `floor` before they are scaled to sum to 1."""
    shares = np.array(HAM10000_SHARES, dtype=np.float64)
    raised = np.maximum(shares / shares.sum(), floor)
    scaled: NDArray[np.float64] = raised / raised.sum()
    return scaled


def draw(label: int, difficulty: float, rng: np.random.Generator) -> dict[str, float]:
    """Attributes of one lesion of class number `label`: 13 values in 0..1, and the diameter in mm."""
    appearance = int(np.searchsorted(np.cumsum(mimicry(difficulty)[label])[:-1], rng.random(), side="right"))
    z = class_means()[appearance] + spread(difficulty) * rng.standard_normal(len(ATTRIBUTES))
    graded = 1 / (1 + np.exp(-np.clip(z[:-1], -_LIMIT, _LIMIT)))
    return dict(zip(ATTRIBUTES, [*(round(float(v), 6) for v in graded), round(float(np.exp(z[-1])), 4)], strict=True))


def bayes(attributes: Mapping[str, NDArray[np.float64]], *, difficulty: float, floor: float) -> NDArray[np.float64]:
    """Class probabilities given the true attributes: the best that any classifier can do.

    Args:
        attributes: for each name in `ATTRIBUTES` an array (N,), as `Example.attributes` states them.
        difficulty: as in the dataset's params.
        floor: as in the dataset's params.

    Returns:
        float64 (N, 7), rows sum to 1, columns in the order of `CLASSES`.
    """
    graded = np.column_stack([np.asarray(attributes[name], dtype=np.float64) for name in _TYPICAL])
    z = np.column_stack([_logit(np.clip(graded, 1e-6, 1 - 1e-6)), np.log(np.asarray(attributes["diameter"]))])
    distance = (z[:, None, :] - class_means()) / spread(difficulty)
    like = -0.5 * (distance**2).sum(axis=2)
    like = np.exp(like - like.max(axis=1, keepdims=True))
    joint = (like @ mimicry(difficulty).T) * prior(floor)
    posterior: NDArray[np.float64] = joint / joint.sum(axis=1, keepdims=True)
    return posterior


def caption(attributes: Mapping[str, str | float | None]) -> str:
    """One sentence in the words of a dermoscopy report; what is seen, never what it is."""

    def value(name: str) -> float:
        found = attributes[name]
        assert isinstance(found, float)
        return found

    shape = _grade(value("asymmetry"), "a symmetric", "a slightly asymmetric", "an asymmetric")
    border = _grade(value("border"), "a regular", "a slightly irregular", "an irregular")
    edge = _grade(value("sharpness"), "faded", "moderately defined", "sharply defined")
    tone = "red" if value("redness") > 0.5 else _grade(value("pigment"), "light brown", "brown", "dark brown to black")
    colours = _grade(value("colours"), "one colour", "two colours", "several colours")
    signs = [
        words
        for name, words in (
            ("network", "a pigment network"),
            ("veil", "a blue-white veil"),
            ("cysts", "small white cysts"),
            ("vessels", "branching vessels"),
            ("lacunae", "red lakes"),
            ("scar", "a white central patch"),
            ("scale", "white scale"),
        )
        if value(name) > 0.5
    ]
    hair = _grade(value("hair"), "", ", a few hairs", ", many hairs")
    return (
        f"an image containing {shape} {tone} lesion of {colours}, about {value('diameter'):.0f} mm wide, "
        f"with {border}, {edge} border{', ' + ', '.join(signs) if signs else ''}{hair}, "
        f"on skin of type {attributes['skin_tone']}"
    )


def _grade(value: float, low: str, middle: str, high: str) -> str:
    return low if value < 1 / 3 else middle if value < 2 / 3 else high
