"""Finds out what an endpoint accepts, with pictures that show nothing of a product."""

from collections.abc import Sequence
from typing import Final

from andon.cli.llm_questions import PlainReference, Shape, drawn_request
from serving.naming.endpoint import Endpoint
from serving.naming.manners import STRICTEST_FIRST, Manners
from serving.naming.settings import EndpointSettings
from serving.naming.velm import VelmClassifier
from streams.events import Classification
from streams.ports import Failure

BAREST: Final = Manners(
    temperature=False,
    max_tokens_field="none",
    refused_forms=STRICTEST_FIRST[:-1],
    logprobs=False,
    top_logprobs=False,
    detail=False,
    system_role=False,
)
"""The least that can be asked: the pictures and the words."""
UNNAMED: Final = frozenset({400, 422, 500, 501})
"""Statuses with which servers refuse a part of a request, sometimes without naming it."""
MOST_TOKENS: Final = 4096
"""An answer that needs more tokens than this is not looked for."""


async def check_endpoints(
    endpoints: Sequence[EndpointSettings], timeout_s: float
) -> list[dict[str, object]]:
    """One row per endpoint: ``endpoint``, ``ok``, ``message``, what it accepts, and warnings."""
    return [await _Check(settings, timeout_s).run() for settings in endpoints]


async def check_once(settings: EndpointSettings, timeout_s: float) -> tuple[str, bool]:
    """Whether an endpoint answers one question about a drawn picture; in words, and whether.

    It is the cheapest that finds a wrong key, a wrong model and one that takes no pictures: lists
    of models are often given to everybody, and leave out what a gateway calls otherwise.
    """
    answer = await _Check(settings, timeout_s).ask()
    if isinstance(answer, Failure):
        return answer.message, False
    return f"{settings.name}: {settings.model} answered in {answer.latency_ms:.0f} ms", True


class _Check:
    """The questions to one endpoint, one after the other."""

    def __init__(self, settings: EndpointSettings, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._warnings: list[str] = []
        self._accepts = settings.accepts or Manners()
        self._gives_logprobs: bool | None = None
        self._status = 0
        """Of the last refusal."""

    async def run(self) -> dict[str, object]:
        """Ask until it is known what the endpoint takes and gives."""
        row: dict[str, object] = {"endpoint": self._settings.name, "model": self._settings.model}
        answer = await self.ask()
        if isinstance(answer, Failure) and self._status in UNNAMED:
            answer = await self._explore(answer)
        if isinstance(answer, Failure):
            return row | {"ok": False, "message": answer.message, "error": answer.error_type}
        if answer.unknown_reason.startswith("truncated"):
            await self._look_for_room()
        usable = answer.unknown_reason in ("", "said_unknown")
        message = f"answered {answer.class_name!r} in {answer.latency_ms:.0f} ms"
        if usable:
            await self._show_another(answer)
            if self._settings.logprobs and not self._gives_logprobs:
                message += "; log-probabilities were asked for and not given"
        else:
            message = f"the answer cannot be used: {answer.unknown_reason}"
        return row | {
            "ok": usable,
            "message": message,
            "class": answer.class_name,
            "confidence": answer.confidence,
            "latency_ms": round(answer.latency_ms, 1),
            "tokens_in": answer.tokens_in,
            "tokens_out": answer.tokens_out,
            "cost": answer.cost,
            "accepts": self._found(),
            "manners": self._accepts.model_dump(mode="json"),
            "warnings": self._warnings,
        }

    async def ask(
        self, shape: Shape = "line", settings: EndpointSettings | None = None
    ) -> Classification | Failure:
        """One question as the endpoint is known to take it; what it teaches is kept."""
        endpoint = Endpoint(settings or self._settings)
        endpoint.manners = self._accepts
        classifier = VelmClassifier(endpoint, references=PlainReference())
        await classifier.start()
        try:
            answer = await classifier.classify(
                drawn_request(self._timeout_s, shape=shape), self._timeout_s
            )
        finally:
            await classifier.close()
        self._status = endpoint.last_refusal.status if endpoint.last_refusal else 0
        if isinstance(answer, Classification):
            self._accepts = endpoint.manners
            if endpoint.settings.logprobs:
                asked = self._accepts.logprobs
                self._gives_logprobs = asked and not endpoint.statistics.without_logprobs
        return answer

    async def _explore(self, refused: Failure) -> Classification | Failure:
        """The refusal named nothing: ask for the least, then add one thing after the other."""
        self._accepts = BAREST
        answer = await self.ask()
        if isinstance(answer, Failure):
            return refused
        for change in self._additions():
            before = self._accepts
            self._accepts = before.model_copy(update=change)
            tried = await self.ask()
            if isinstance(tried, Failure):
                self._accepts = before
            else:
                answer = tried
        if self._accepts.max_tokens_field == self._settings.max_tokens_field:
            self._accepts = self._accepts.model_copy(update={"max_tokens_field": None})
        return answer

    def _additions(self) -> list[dict[str, object]]:
        """What the settings ask for beyond the least; the better of two ways comes last."""
        wanted = self._settings
        names = ("max_tokens", "max_completion_tokens")
        bounds = sorted(names, key=lambda name: name == wanted.max_tokens_field)
        changes: list[dict[str, object]] = [{"max_tokens_field": name} for name in bounds]
        changes.append({"system_role": True})
        if wanted.temperature is not None:
            changes.append({"temperature": True})
        if wanted.structured != "none":
            changes += [{"refused_forms": ("json_schema",)}, {"refused_forms": ()}]
        if wanted.detail is not None:
            changes.append({"detail": True})
        if wanted.logprobs:
            changes += [{"logprobs": True}, {"top_logprobs": True}]
        return changes

    async def _look_for_room(self) -> None:
        """How many tokens a model needs that reasons before it answers."""
        tokens = self._settings.max_tokens
        while (tokens := 4 * tokens) <= MOST_TOKENS:
            roomier = self._settings.model_copy(update={"max_tokens": tokens})
            answer = await self.ask(settings=roomier)
            if isinstance(answer, Failure):
                return
            if not answer.unknown_reason.startswith("truncated"):
                self._warnings.append(
                    f"its reasoning fills {self._settings.max_tokens} tokens: set max_tokens to "
                    f"{tokens}, or switch reasoning off in extra_body"
                )
                return

    async def _show_another(self, first: Classification) -> None:
        """A second picture, to see whether the answer follows it, and what else is given."""
        wanted = self._settings
        second = await self.ask("spot", wanted.model_copy(update={"logprobs": True}))
        if isinstance(second, Classification) and second.class_name == first.class_name:
            self._warnings.append(
                f"it says {first.class_name!r} of a line and of a spot: does it see pictures?"
            )
        if wanted.logprobs and not self._gives_logprobs:
            self._warnings.append(
                "without log-probabilities a single answer has confidence 0.67, so that a policy's "
                "`unsure: below: 0.7` holds every part; set classifier.velm.calls to 3 or more, or "
                "logprobs to false"
            )
        elif not wanted.logprobs and self._gives_logprobs:
            self._warnings.append(
                "it gives log-probabilities: logprobs = true makes them confidence"
            )
        self._warnings += self._accepts.described()

    def _found(self) -> dict[str, object]:
        """What the endpoint takes and gives, by the names of the settings."""
        known, wanted = self._accepts, self._settings
        given = {None: "not asked", True: "given", False: "not given"}
        return {
            "address": wanted.address.url,
            "temperature": known.temperature,
            "max_tokens_field": known.max_tokens_field or wanted.max_tokens_field,
            "structured": known.form(wanted.structured),
            "logprobs": given[self._gives_logprobs] if known.logprobs else "refused",
            "detail": known.detail,
            "system_role": known.system_role,
            "side_most_px": known.side_most_px,
            "encoding": "jpeg" if known.jpeg else "png",
        }
