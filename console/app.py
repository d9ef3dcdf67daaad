"""The console as one web application: the data API, and each page of ``console.pages``."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, HTTPException, Response
from fastapi.responses import RedirectResponse

from console.api import NoAnswer, add_api
from console.assets import KINDS, asset
from console.feed.acknowledged import follow_acknowledged
from console.first_start import Announce, let_first_in
from console.guard import Guard
from console.identity import Gatekeeper, check_access
from console.metrics import Metered
from console.pages import PAGES
from console.parts import ConsoleParts
from console.refusals import add_refusals
from console.rendering import Renderer
from streams.cancellation import beside

_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


def build_app(
    parts: ConsoleParts, hosts: Sequence[str] = (), announce: Announce | None = None
) -> FastAPI:
    """The application over its parts; it closes them when it ends.

    Args:
        parts: what the routes ask.
        hosts: that it answers as, besides loopback.
        announce: told the first person's name and one-time password, where there was nobody; None
            lets nobody in.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        try:
            async with beside(*_work(app, parts, announce)):
                yield
        finally:
            await parts.models.close()
            for part in (parts.health, parts.history, parts.accounts, parts.audit, parts.store):
                await part.close()
            await parts.handovers.close()
            await parts.leases.close()
            await parts.publisher.stop()
            await parts.policies.close()

    app = FastAPI(
        title="Andon history",
        lifespan=life,
        openapi_url=None,  # served by a route of the table
        docs_url=None,  # FastAPI's pages fetch scripts from a CDN
        redoc_url=None,
        dependencies=[Depends(check_access)],
        responses={400: {"model": NoAnswer, "description": "The body cannot be read."}},
    )
    app.state.gatekeeper = Gatekeeper(parts.accounts)
    app.state.policy_desk = parts.policies
    links = [page.link for page in PAGES if page.link is not None]
    sso = parts.sign_on.name if parts.sign_on else ""
    renderer = Renderer(parts.plant.time_zone, links, sso)
    add_refusals(app, renderer)
    app.add_middleware(Guard, hosts=tuple(hosts))
    if parts.meter is not None:
        app.add_middleware(Metered, meter=parts.meter)
    add_api(app, parts.history, parts.store, parts.plant)
    for page in PAGES:
        page.add(app, parts, renderer)
    _add_own(app)
    return app


def _work(
    app: FastAPI, parts: ConsoleParts, announce: Announce | None
) -> Iterator[Coroutine[object, object, None]]:
    """What goes on beside the requests."""
    yield parts.feed.run()
    yield parts.status.run()
    yield follow_acknowledged(parts.audit, parts.feed)
    if parts.webhook is not None:
        yield parts.webhook.run()
    if parts.watch is not None:
        yield parts.watch.run()
    yield parts.policies.run()
    yield _described(app)
    if announce is not None:
        yield let_first_in(parts.accounts, announce)


async def _described(app: FastAPI) -> None:
    """Describe the API before a program's first question, which would wait for it."""
    await asyncio.to_thread(app.openapi)


def _add_own(app: FastAPI) -> None:
    """What belongs to no page."""

    @app.get("/", include_in_schema=False)
    def home() -> RedirectResponse:
        """The first page."""
        return RedirectResponse("/live", 303)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        """A file that pages load."""
        try:
            return Response(asset(name), media_type=KINDS[name], headers=_KEPT)
        except KeyError:
            raise HTTPException(404, "there is no such file") from None
