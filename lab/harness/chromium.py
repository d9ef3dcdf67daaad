"""Chromium by its own DevTools protocol: pages are opened, measured and asked; no driver is needed.

Only what the console's benchmark asks is here. https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import itertools
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import aiohttp

from infra.stack.process import Process
from streams.errors import AndonError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_S: Final = 60.0
"""A page that has not loaded and a question that was not answered within it are failures."""
MOST_BYTES: Final = 64 << 20
Json = dict[str, object]
Found = TypeVar("Found")
SIZES: Final = {"desk": (1920, 1080), "tablet": (820, 1180), "phone": (412, 915)}
"""Width and height of a window, CSS pixels."""
_WATCH: Final = """
window.andonRefused = [];
addEventListener("securitypolicyviolation", (event) =>
  andonRefused.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


class ChromiumError(AndonError):
    """Chromium did not start, or did not answer."""


def chromium_path() -> str | None:
    """The program, where there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class ChromiumPage:
    """One tab with cookies and a cache of its own."""

    session: str
    context: str
    _ask: Callable[[str, Json, str], "asyncio.Future[Json]"]
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for."""
    errors: list[str] = field(default_factory=list)
    """What the page's console said as an error, and exceptions."""
    told: list[str] = field(default_factory=list)
    """What the page handed to ``andonTell``."""
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, method: str, **parameters: object) -> Json:
        """A command of the protocol for this tab.

        Raises:
            ChromiumError: it was refused, or not answered in time.
        """
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._ask(method, parameters, self.session)
        except TimeoutError:
            raise ChromiumError(f"{method} was not answered within {TIMEOUT_S:g} s") from None

    async def open(self, address: str) -> None:
        """Go there; returns once everything of the page has loaded."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=address)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._loaded.wait()
        except TimeoutError:
            raise ChromiumError(f"{address} did not load within {TIMEOUT_S:g} s") from None

    async def value(self, expression: str, kind: type[Found]) -> Found:
        """What an expression is worth in the page; promises are waited for."""
        answer = await self.ask(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        result = answer.get("result")
        found = result.get("value") if isinstance(result, dict) else None
        if not isinstance(found, kind):
            raise ChromiumError(f"the page answered {str(answer)[:300]}")
        return found

    async def before_pages(self, script: str) -> None:
        """Run a script at the beginning of every page from now on."""
        await self.ask("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def cookie(self, base: str, name: str, value: str) -> None:
        """Give the tab a cookie."""
        await self.ask("Network.setCookie", url=base, name=name, value=value, httpOnly=True)

    async def dress(self, size: str, is_dark: bool) -> None:
        """A window of a size, on a device that is light or dark."""
        width, height = SIZES[size]
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])

    async def close(self) -> None:
        """The tab and all that it keeps are gone."""
        await self._ask("Target.disposeBrowserContext", {"browserContextId": self.context}, "")

    def hear(self, method: str, said: Mapping[str, object]) -> None:
        """An event of the protocol."""
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.requests.append(str(_within(said, "request", "url")))
            case "Runtime.exceptionThrown":
                self.errors.append(str(_within(said, "exceptionDetails", "text")))
            case "Runtime.consoleAPICalled" if said.get("type") == "error":
                self.errors.append(str(said.get("args"))[:300])
            case "Log.entryAdded" if _within(said, "entry", "level") == "error":
                words, where = (_within(said, "entry", name) for name in ("text", "url"))
                self.errors.append(f"{words} {where or ''}"[:400])
            case "Runtime.bindingCalled":
                self.told.append(str(said.get("payload")))


def _within(said: Mapping[str, object], outer: str, inner: str) -> object:
    inside = said.get(outer)
    return inside.get(inner) if isinstance(inside, dict) else None


class Chromium:
    """A running browser; ``started`` makes one."""

    def __init__(self, link: aiohttp.ClientWebSocketResponse) -> None:
        self._link = link
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Json]] = {}
        self._pages: dict[str, ChromiumPage] = {}
        self._early: defaultdict[str, list[tuple[str, Json]]] = defaultdict(list)

    async def page(self, size: str = "desk", is_dark: bool = False) -> ChromiumPage:
        """A new tab in a context of its own: no cookie, nothing cached."""
        context = str((await self._ask("Target.createBrowserContext", {}))["browserContextId"])
        there: Json = {"url": "about:blank", "browserContextId": context}
        target = await self._ask("Target.createTarget", there)
        tab: Json = {"targetId": target["targetId"], "flatten": True}
        session = str((await self._ask("Target.attachToTarget", tab))["sessionId"])
        page = self._pages[session] = ChromiumPage(session, context, self._ask)
        for domain in ("Page", "Network", "Runtime", "Log"):
            await page.ask(f"{domain}.enable")
        await page.ask("Runtime.addBinding", name="andonTell")
        await page.before_pages(_WATCH)
        await page.dress(size, is_dark)
        await page.ask("Page.bringToFront")  # a tab behind another one draws nothing
        return page

    async def listen(self) -> None:
        """Take what the browser says, until it is gone; cancel it."""
        async for message in self._link:
            said: Json = json.loads(str(message.data))
            number = said.get("id")
            if isinstance(number, int):
                self._answer(self._asked.pop(number), said)
            elif (page := self._pages.get(str(said.get("sessionId")))) is not None:
                about = said.get("params")
                page.hear(str(said["method"]), about if isinstance(about, dict) else {})

    def _ask(self, method: str, parameters: Json, session: str = "") -> "asyncio.Future[Json]":
        number = next(self._numbers)
        said = {"id": number, "method": method, "params": parameters}
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        whole = {**said, "sessionId": session} if session else said
        sending = asyncio.ensure_future(self._link.send_str(json.dumps(whole)))
        sending.add_done_callback(lambda done: done.exception())
        return asked

    def _answer(self, asked: "asyncio.Future[Json]", said: Json) -> None:
        result, error = said.get("result"), said.get("error")
        if asked.done():
            return
        if isinstance(result, dict) and not error:
            asked.set_result(result)
        else:
            asked.set_exception(ChromiumError(f"Chromium refused: {error}"))


@asynccontextmanager
async def started_chromium() -> AsyncIterator[Chromium]:
    """A browser without a window; it and its files are gone at the end.

    Raises:
        ChromiumError: there is none, or it does not start.
    """
    program = chromium_path()
    if program is None:
        raise ChromiumError(f"none of {', '.join(NAMES)} is installed")
    with tempfile.TemporaryDirectory(prefix="andon-chromium-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        command = [program, "--headless=new", "--remote-debugging-port=0", "--no-first-run"]
        command += [f"--user-data-dir={folder / 'profile'}", "--disable-background-networking"]
        command += ["--disable-component-update", "--disable-gpu", "about:blank"]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium's own does not work for root
        process = Process("chromium", command, folder / "chromium.log")
        told = folder / "profile" / "DevToolsActivePort"
        try:
            ready = lambda: len(told.read_text().splitlines()) == 2  # noqa: E731
            await asyncio.to_thread(process.wait_ready, ready, TIMEOUT_S)
            port, path = told.read_text().splitlines()
            async with (
                aiohttp.ClientSession() as client,
                client.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=MOST_BYTES) as link,
            ):
                browser = Chromium(link)
                listening = asyncio.create_task(browser.listen())
                try:
                    yield browser
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        finally:
            await asyncio.to_thread(process.stop, 5)
