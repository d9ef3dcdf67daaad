"""The catalogue of texts is whole, and pages use what is in it."""

import re
from pathlib import Path

import pytest

import console
from andon.checks import CHECKS
from andon.reference.text import docstrings_below
from console.access import ConsoleRole
from console.pages import PAGES
from console.pages.line_fragments import ladder
from console.pages.rates import KINDS as RATES
from console.policies.answers import ChangeState
from console.product_drafts import DraftStep
from console.review.lessons import Teaches
from console.second_person import SecondPerson
from console.texts import LANGUAGES, catalogue, translator
from history.rates import RatesBy, RatesEvery
from history.review_queue import WaitingFor
from history.statistics import ParetoBy
from streams.codes import AckOutcome, Action, DecisionSource, FaultCode, ReasonCode, Severity
from streams.status import GatewayCounts, LinePhase

ROOT = Path(console.__file__).parent
USED = re.compile(r"""["']([a-z]+\.[a-z0-9_]+)["']""")
MADE = {
    "action": [a.value for a in Action],
    "severity": [s.value for s in Severity],
    "source": [s.value for s in DecisionSource],
    "outcome": [*(o.value for o in AckOutcome), "none"],
    "reason": [f"r{code.value}" for code in ReasonCode],
    "role": [role.value for role in ConsoleRole],
    "waits": [kind.value for kind in WaitingFor],
    "teaches": [kind.value for kind in Teaches],
    "by": [kind.value for kind in (*ParetoBy, *RatesBy)],
    "every": [length.value for length in RatesEvery],
    "rates": [
        *(name for kind in RATES for name in (kind, f"{kind}_of", f"none_{kind}")),
        "no_class",
        "no_shift",
    ],
    "nav": [page.link.name for page in PAGES if page.link],
    "fault": [f"f{code.value}" for code in FaultCode if code],
    "remedy": [f"f{code.value}" for code in FaultCode if code],
    "phase": [phase.value for phase in LinePhase],
    "step": [step.name for phase in LinePhase for step in ladder(phase)],
    "count": list(GatewayCounts.model_fields),
    "drafting": [step.value for step in DraftStep],
    "check": [*CHECKS, "product", "worker"],
    "theme": ["auto", "light", "dark"],
    "policies": [
        *(f"done_{state.value}" for state in ChangeState),
        *(f"two_{when.value}" for when in SecondPerson),
    ],
    "refused": ["s401", "s403", "s404", "s409", "s422", "s503"],
}
"""Sections whose keys are made of codes."""


def test_every_text_is_there_in_every_language() -> None:
    for key, texts in catalogue().items():
        assert set(texts) == set(LANGUAGES), key
        assert all(texts.values()), key
        names = {lang: set(re.findall(r"\{(\w+)\}", text)) for lang, text in texts.items()}
        assert len({frozenset(found) for found in names.values()}) == 1, key


def test_every_code_has_its_words() -> None:
    made = {f"{section}.{name}" for section, names in MADE.items() for name in names}
    assert made <= catalogue().keys()


def test_pages_use_what_is_there_and_nothing_is_left_over() -> None:
    sources = [*ROOT.rglob("*.html"), *ROOT.rglob("*.py")]
    used = {key for path in sources for key in USED.findall(path.read_text("utf-8"))}
    made = {f"{section}.{name}" for section, names in MADE.items() for name in names}
    sections = {key.partition(".")[0] for key in catalogue()}
    texts = "".join(path.read_text("utf-8") for path in sources)
    words = set(re.findall(r"""["']([a-z_0-9]+)["']""", texts))
    joined = set(re.findall(r"""\bt\("([a-z]+)\." ~""", texts))
    used |= {f"{section}.{word}" for section in joined for word in words}
    templates = "".join(path.read_text("utf-8") for path in ROOT.rglob("*.html"))
    asked = set(re.findall(r"""\bt\(["']([a-z]+\.[a-z0-9_]+)["'][,)]""", templates))
    assert asked <= catalogue().keys()
    assert catalogue().keys() - used - made == set()
    assert MADE.keys() <= sections


@pytest.mark.parametrize("code", [code for code in FaultCode if code])
def test_a_fault_is_explained_as_the_table_of_codes_does(code: FaultCode) -> None:
    about, what_to_do = docstrings_below(FaultCode)[code.name].split("\n\n")
    t = translator("en")
    assert t(f"fault.f{code.value}") == " ".join(about.split())
    assert t(f"remedy.f{code.value}") == " ".join(what_to_do.split())


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_stand_in_the_texts(language: str) -> None:
    assert "17" in translator(language)("login.wait", seconds=17)
    with pytest.raises(KeyError):
        translator(language)("login.nothing")
