"""Reviewing under measure: verdicts by keys, one after the other, as fast as pictures come."""

import json
from typing import Final

from andon.wiring import opened, storage
from console.identity import COOKIE
from lab.benchmarks.console_parts import part_of_now, record_stopped
from lab.harness.chromium import Chromium
from lab.harness.console_here import ConsoleHere
from streams.codes import Action, DecisionSource, Severity
from streams.events import decision_id

KEYS: Final = ("n", "d", "g", "u")
_LEFT: Final = 20
"""Parts that still wait at the end."""
_FIRST: Final = 500_000
"""Their numbers begin here, so that no other part of the benchmark is one of them."""
PRESS: Final = """
(async () => {
  const page = document.getElementById("review"), keys = %s, shown = [];
  let taken = 0;
  const began = performance.now(), late = () => performance.now() - began > 50000;
  const until = async (holds) => {
    while (!holds() && !late()) await new Promise((go) => setTimeout(go, 2));
  };
  page.addEventListener("review:shown", (event) => shown.push(event.detail));
  page.addEventListener("review:taken", () => taken++);
  for (const key of keys) {
    await until(() => document.querySelector("#stage .review-card"));
    const before = shown.length;
    document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await until(() => shown.length > before);
  }
  await until(() => taken === keys.length);
  const ms = shown.filter((one) => one.part).map((one) => one.ms).sort((a, b) => a - b);
  return JSON.stringify({
    verdicts: taken, not_taken: keys.length - taken,
    seconds: (performance.now() - began) / 1000,
    next_p50_ms: ms[Math.floor(ms.length / 2)] || 0,
    next_p95_ms: ms[Math.floor(ms.length * 0.95)] || 0,
  });
})()
"""
"""Presses keys; how long all of them took and how long each next picture did."""


async def review_by_keys(
    browser: Chromium, here: ConsoleHere, verdicts: int
) -> dict[str, float | int]:
    """So many verdicts in real Chromium: the next key as soon as the next picture is drawn.

    ``seconds`` ends when the broker has every verdict. ``next_*_ms`` are from the key to the frame
    after the one in which the next picture is decoded.
    """
    held = []
    for number in range(_FIRST, _FIRST + verdicts + _LEFT):
        decision, _ = part_of_now(number)
        said: dict[str, object] = {
            "source": DecisionSource.CLASSIFIER,
            "severity": Severity.DEFECT,
            "action": Action.HOLD,
            "class_name": "odd",
            "rule": "class:odd",
            "result_id": decision_id(decision.frame_id, DecisionSource.CLASSIFIER),
        }
        held.append(decision.model_copy(update=said))
    async with (
        opened(storage.history_writer, here.settings) as history,
        opened(storage.image_store, here.settings) as store,
    ):
        await record_stopped(held, history, store)
    page = await browser.page()
    await page.cookie(here.console.base, COOKIE, here.secret)
    await page.open(f"{here.console.base}/review?kind=hold&since=1d")
    pressed = [KEYS[nth % len(KEYS)] for nth in range(verdicts)]
    found: dict[str, float | int] = json.loads(await page.value(PRESS % json.dumps(pressed), str))
    await page.close()
    return {name: round(value, 1) for name, value in found.items()}
