"""The process that compares policies is started anew when it was killed."""

from concurrent.futures.process import BrokenProcessPool
from typing import Any

import pytest

from console.policies import beside


def test_a_page_opens_after_the_process_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class PoolThatDies:
        _processes: dict[int, Any] | None = None

        def __init__(self, *_: object, **__: object) -> None:
            self.asked, self.is_broken, self.is_closed = 0, False, False
            started.append(self)

        def submit(self, *_: object) -> None:
            if self.is_broken:
                raise BrokenProcessPool("killed")
            self.asked += 1

        def shutdown(self, **_: object) -> None:
            self.is_closed = True

    monkeypatch.setattr(beside, "ProcessPoolExecutor", PoolThatDies)
    compared = beside.Differences()
    compared.warm()
    started[0].is_broken = True
    compared.warm()
    assert [(one.asked, one.is_closed) for one in started] == [(1, True), (1, False)]
