"""The twin's HTTP application: ``/v1/chat/completions``, ``/v1/models``, ``/twin/...``."""

import asyncio
import json
import random
import time

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from openai.types import Model
from openai.types.chat import ChatCompletion
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from lab.llm_twin.behaviour import Behaviour, Counters, RateLimiter, draw
from lab.llm_twin.completions import completion
from lab.llm_twin.errors import ApiError
from lab.llm_twin.manners import dressed
from lab.llm_twin.oddities import ODDITIES, odd_response
from lab.llm_twin.responders import HeuristicResponder, Responder
from lab.llm_twin.validation import parse_request


class Twin:
    """State of one twin. ``behaviour`` may be replaced while it runs."""

    def __init__(
        self, behaviour: Behaviour | None = None, responder: Responder | None = None
    ) -> None:
        self.behaviour = behaviour or Behaviour()
        self.responder: Responder = responder or HeuristicResponder()
        self.counters = Counters()
        self._rng = random.Random(self.behaviour.seed)
        self._limiter = RateLimiter()

    async def chat(self, request: Request) -> Response:
        """One Chat Completions call, with whatever happens to it."""
        behaviour, counters = self.behaviour, self.counters
        counters.requests += 1
        counters.in_flight += 1
        counters.in_flight_most = max(counters.in_flight_most, counters.in_flight)
        try:
            return await self._chat(request, behaviour)
        except ApiError as error:
            if error.status == 429:
                counters.rate_limited += 1
            elif error.status >= 500:
                counters.failed += 1
            else:
                counters.rejected += 1
                counters.rejections = [*counters.rejections, str(error)][-100:]
            status, content = dressed(error, behaviour.manners.refuses_in)
            return JSONResponse(content, status, headers=error.headers)
        finally:
            counters.in_flight -= 1

    async def _chat(self, request: Request, behaviour: Behaviour) -> Response:
        began = time.monotonic()
        given = request.headers.get("authorization", "")
        if not given.startswith("Bearer "):
            raise ApiError(401, "You didn't provide an API key.", code="invalid_api_key")
        if behaviour.api_key and given.removeprefix("Bearer ") != behaviour.api_key:
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        body = await request.body()
        fate = draw(self._rng, behaviour)
        wait_s = (behaviour.latency_ms + self._rng.random() * behaviour.jitter_ms) / 1000
        if not self._limiter.admit(time.monotonic(), behaviour.requests_per_s):
            fate = "rate_limit"
        if fate == "rate_limit":
            after = behaviour.retry_after_s
            raise ApiError(
                429,
                "Rate limit reached for requests.",
                kind="requests",
                code="rate_limit_exceeded",
                headers={} if after is None else {"retry-after": f"{after:g}"},
            )
        answer = None
        if fate == "answer":
            answer = await asyncio.to_thread(self._answer, body, behaviour)
        await asyncio.sleep(max(0.0, wait_s - (time.monotonic() - began)))
        if fate == "drop":
            self.counters.dropped += 1
            return _Dropped()
        if answer is None:
            raise ApiError(500, "The server had an error.", kind="server_error")
        self.counters.answered += 1
        if answer.usage is not None:
            self.counters.prompt_tokens += answer.usage.prompt_tokens
            self.counters.completion_tokens += answer.usage.completion_tokens
        if behaviour.rubbish in ODDITIES:
            return odd_response(answer, behaviour.rubbish)
        return JSONResponse(answer.model_dump(exclude_unset=True))

    def _answer(self, body: bytes, behaviour: Behaviour) -> ChatCompletion:
        if len(body) > behaviour.manners.body_most:
            raise ApiError(413, "Request body too large.", code="request_too_large")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "We could not parse the JSON body of your request.") from error
        parsed = parse_request(document, frozenset(behaviour.models))
        behaviour.manners.check(document, parsed)
        opinion = self.responder.respond(parsed)
        identity = f"chatcmpl-twin-{self.counters.requests}"
        return completion(parsed, opinion, behaviour, identity, int(time.time()))


class _Dropped(Response):
    """Cuts the connection: promises a body and sends less."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Announce 100 bytes, send one, end."""
        headers = [(b"content-length", b"100"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionAbortedError("the twin cuts this connection on purpose")


def make_app(twin: Twin) -> FastAPI:
    """The application around a twin."""
    app = FastAPI(title="Andon's twin of an OpenAI-compatible endpoint", openapi_url=None)
    app.add_api_route("/v1/chat/completions", twin.chat, methods=["POST"])

    @app.get("/v1/models")
    async def models() -> dict[str, object]:
        found = [
            Model(id=name, created=0, object="model", owned_by="andon")
            for name in twin.behaviour.models
        ]
        return {"object": "list", "data": found}

    @app.get("/twin/counters")
    async def counters() -> Counters:
        return twin.counters.model_copy(update={"cpu_s": time.process_time()})

    @app.get("/twin/behaviour")
    async def behaviour() -> Behaviour:
        return twin.behaviour.model_copy(update={"api_key": ""})

    @app.patch("/twin/behaviour")
    async def change(request: Request) -> Response:
        try:
            changes = json.loads(await request.body())
            twin.behaviour = Behaviour(**(twin.behaviour.model_dump() | changes))
        except (ValueError, TypeError, ValidationError) as error:
            return JSONResponse({"error": {"message": str(error)}}, 422)
        return JSONResponse(twin.behaviour.model_dump(exclude={"api_key"}))

    return app
