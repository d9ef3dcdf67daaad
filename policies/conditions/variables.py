"""What a condition may look at: the names, their types and their units."""

from dataclasses import dataclass

from streams.codes import Action, Severity

Value = str | float


@dataclass(frozen=True)
class Variable:
    """One name of the condition language; ``mm`` and ``px`` are the exponents of its unit."""

    kind: type[str] | type[float]
    meaning: str
    unit: str = ""
    mm: int = 0
    px: int = 0


VARIABLES: dict[str, Variable] = {
    "class": Variable(str, "what the classifier answered: a class, `normal` or `unknown`"),
    "confidence": Variable(float, "confidence of the answer, 0 to 1"),
    "score": Variable(float, "the expert's anomaly score; its scale is the artifact's"),
    "p_value": Variable(float, "share of held-out normals at least as odd; small is odd"),
    "area_mm2": Variable(float, "area of the odd region", "mm²", mm=2),
    "longest_mm": Variable(float, "longest side of the longest piece", "mm", mm=1),
    "area_px": Variable(float, "area of the odd region", "px", px=2),
    "longest_px": Variable(float, "longest side of the longest piece", "px", px=1),
    "count": Variable(float, "pieces of the odd region"),
    "zone": Variable(str, "first zone of the list that the region touches, or ''"),
    "station": Variable(str, "the station's name"),
    "shot": Variable(str, "what the station calls the shot (a side, a light), or ''"),
    "lot": Variable(str, "the lot's id, or ''"),
    "shift": Variable(str, "name of the shift in which the part was photographed, or ''"),
}
OF_A_VERDICT: dict[str, Variable] = {
    "severity": Variable(str, "what the shot was judged: `normal`, `negligible` ..."),
    "action": Variable(str, "what the shot alone would lead to: `pass`, `rework` ..."),
    "source": Variable(str, "who judged the shot: `expert`, `classifier`, `fallback`, `missing`"),
}
"""What a rule over the shots of a part may look at besides: each shot has been judged by then."""
MISSING = "missing"
"""The ``source`` of a shot of which nothing was heard, or that its camera could not take."""
MILLIMETRES = frozenset(name for name, v in VARIABLES.items() if v.mm)
SHARES = ("confidence", "p_value")
"""Names whose values lie between 0 and 1."""


@dataclass(frozen=True)
class Vocabulary:
    """The names that one policy gives to classes, zones and shifts."""

    classes: frozenset[str]
    zones: frozenset[str] = frozenset()
    shifts: frozenset[str] = frozenset()
    of_shots: bool = False
    """Whether the condition is one over the shots of a part."""

    @property
    def variables(self) -> dict[str, Variable]:
        """Every name that a condition may use."""
        return VARIABLES | OF_A_VERDICT if self.of_shots else VARIABLES

    def options(self, variable: str) -> frozenset[str] | None:
        """The texts that a variable can be equal to; None when they are not known."""
        return {
            "class": self.classes | {"normal", "unknown"},
            "zone": self.zones | {""},
            "shift": self.shifts | {""},
            "severity": frozenset(Severity),
            "action": frozenset(Action),
            "source": frozenset({"expert", "classifier", "fallback", MISSING}),
        }.get(variable)
