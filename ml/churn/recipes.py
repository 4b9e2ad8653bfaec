"""Recipes: which family of models, with which settings; written as text, made of plain values.

A recipe is all that can be said about a model from outside. It names no fitted object, so nothing
that was learned elsewhere can get into a fold.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from ml.churn.features import FEATURE_SETS, FULL

LOGISTIC = "logistic"
SPLINES = "splines"
TREE = "tree"
BOOSTING = "boosting"
FOREST = "forest"
SVM = "svm"
NETWORK = "network"
FAMILIES = (LOGISTIC, SPLINES, TREE, BOOSTING, FOREST, SVM, NETWORK)
"""Simplest first: of families that predict the past equally well the first one wins."""
BLEND = "blend"
"""Two recipes joined by `` + ``: their log-odds are averaged."""

NONE = "none"
RESAMPLING = (NONE, "oversample", "smote")

ROW_LIMITS = {TREE: 100_000, FOREST: 20_000, SVM: 10_000, NETWORK: 8_000}
"""Rows that a slow family is fitted on at most, whole customers chosen by a hash."""


@dataclass(frozen=True)
class Recipe:
    """One recipe.

    Attributes:
        family: One of ``FAMILIES``.
        feature_set: ``"stable"`` or ``"full"``, see ``ml.churn.features``.
        strength: Logistic, splines, support vectors, network: inverse penalty per row, so that a
            value means the same in a short and a long history.
        leaves: Trees: most leaves of one.
        trees: Forest, boosting: how many.
        resample: ``"none"``, or how the classes are balanced: ``"oversample"`` (rows are doubled)
            or ``"smote"`` (rows are interpolated); only ever inside ``fit``.
    """

    family: str
    feature_set: str = FULL
    strength: float = 0.0
    leaves: int = 0
    trees: int = 0
    resample: str = NONE

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        for value, known, name in (
            (self.family, FAMILIES, "family"),
            (self.feature_set, FEATURE_SETS, "feature set"),
            (self.resample, RESAMPLING, "resampling"),
        ):
            if value not in known:
                raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")

    def __str__(self) -> str:
        """Return the text that ``recipe`` reads."""
        words = [self.family, self.feature_set]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value != field.default:
                words.append(f"{field.name}={value if isinstance(value, str) else f'{value:g}'}")
        return " ".join(words)


def recipe(text: str) -> Recipe:
    """Return the recipe that a text such as ``"boosting full leaves=8 trees=60"`` describes.

    Raises:
        ValueError: It describes none.
    """
    family, *words = text.split()
    feature_set = words.pop(0) if words and "=" not in words[0] else FULL
    given: dict[str, float | int | str] = {}
    for word in words:
        name, _, value = word.partition("=")
        if name == "strength":
            given[name] = float(value)
        elif name in ("leaves", "trees"):
            given[name] = int(value)
        elif name == "resample":
            given[name] = value
        else:
            raise ValueError(f"unknown setting {word!r} in recipe {text!r}")
    return Recipe(family, feature_set, **given)  # type: ignore[arg-type]


def recipes_of(text: str) -> list[Recipe]:
    """Return the recipes of a model: one, or those of a blend."""
    return [recipe(part) for part in text.split(" + ")]


def family_of(text: str) -> str:
    """Return the family of a model's recipe, ``"blend"`` of several."""
    parts = recipes_of(text)
    return parts[0].family if len(parts) == 1 else BLEND
