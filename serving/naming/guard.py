"""What keeps an endpoint from being asked: breaker, budget, retry plan. Pure, on a given clock."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from serving.naming.settings import BreakerSettings, BudgetSettings, EndpointSettings
from streams.backoff import backoff_s


class CircuitBreaker:
    """Opens after consecutive failures; one probe at a time decides whether it closes."""

    def __init__(self, settings: BreakerSettings) -> None:
        self._settings = settings
        self._failures = 0
        self._opened_at: float | None = None
        self._pause_s = settings.open_s
        self._probing = False

    def wait_s(self, now: float) -> float:
        """Seconds until a probe may go out; 0 when calls may be made."""
        if self._opened_at is None:
            return 0.0
        return max(0.0, self._opened_at + self._pause_s - now)

    def admit(self, now: float) -> bool:
        """Whether a call may start now. Half open, one call is the probe."""
        if self._opened_at is None:
            return True
        if self._probing or self.wait_s(now) > 0:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """A call was answered: closed, and the pause is as short as at first."""
        self._failures = 0
        self._opened_at = None
        self._probing = False
        self._pause_s = self._settings.open_s

    def failed(self, now: float) -> None:
        """A call failed or was late."""
        self._failures += 1
        if self._probing:
            self._probing = False
            self._opened_at = now
            self._pause_s = min(2 * self._pause_s, self._settings.open_most_s)
        elif self._opened_at is None and self._failures >= self._settings.failures:
            self._opened_at = now

    def abandoned(self) -> None:
        """An admitted call ended without saying anything about the endpoint."""
        self._probing = False


@dataclass(frozen=True)
class Spending:
    """What one or more calls took."""

    tokens: int = 0
    money: float = 0.0
    calls: int = 0

    def plus(self, other: "Spending", sign: int = 1) -> "Spending":
        """Both together; ``sign`` -1 takes the other away."""
        return Spending(
            self.tokens + sign * other.tokens,
            self.money + sign * other.money,
            self.calls + sign * other.calls,
        )


@dataclass
class CallBill:
    """What calls took: those that were answered, and those that were not, which the provider may
    bill all the same; without the endpoint's word on them they count with their estimate."""

    answered: Spending = field(default_factory=Spending)
    unanswered: Spending = field(default_factory=Spending)

    def add(self, spent: Spending, answered: bool) -> None:
        """One call more."""
        one = replace(spent, calls=1)
        if answered:
            self.answered = self.answered.plus(one)
        else:
            self.unanswered = self.unanswered.plus(one)


class HourlyBudget:
    """Tokens and money of the last hour, in a sliding window. Reserve before, settle after."""

    WINDOW_S = 3600.0

    def __init__(self, settings: BudgetSettings) -> None:
        self.settings = settings
        """May be replaced: another number of replicas shares the setting in another way."""
        self.bill = CallBill()
        """Of all calls since the process started."""
        self._spent: deque[tuple[float, Spending]] = deque()
        self._total = Spending()
        self._reserved = Spending()

    def spent(self, now: float) -> Spending:
        """Spending of the hour before monotonic time ``now``, reservations left out."""
        while self._spent and self._spent[0][0] <= now - self.WINDOW_S:
            self._total = self._total.plus(self._spent.popleft()[1], -1)
        return replace(self._total, money=max(self._total.money, 0.0))

    def reserve(self, estimate: Spending, now: float) -> bool:
        """Set ``estimate`` aside; False when it would exceed the hour's budget."""
        wanted = self.spent(now).plus(self._reserved).plus(estimate)
        tokens, money = self.settings.tokens_per_h, self.settings.money_per_h
        if tokens is not None and wanted.tokens > tokens:
            return False
        if money is not None and wanted.money > money:
            return False
        self._reserved = self._reserved.plus(estimate)
        return True

    def settle(
        self, estimate: Spending, actual: Spending, now: float, answered: bool = True
    ) -> None:
        """Replace a reservation by what the call really took."""
        self._reserved = self._reserved.plus(estimate, -1)
        self.bill.add(actual, answered)
        if actual.tokens or actual.money:
            self._spent.append((now, actual))
            self._total = self._total.plus(actual)


def retry_delay_s(
    attempt: int,
    remaining_s: float,
    retry_after_s: float | None,
    settings: EndpointSettings,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """Pause before the next call, or None when it could not start before the deadline.

    Args:
        attempt: calls made so far, 1 or more.
        remaining_s: seconds to the deadline.
        retry_after_s: what the endpoint asked for; honoured in full, jitter on top.
        settings: first pause and cap of the back-off.
        chance: source of the jitter, see ``streams.backoff``.
    """
    pause = backoff_s(attempt - 1, settings.backoff_s, settings.backoff_most_s, 1.0, chance)
    if retry_after_s is not None:
        pause = retry_after_s + min(pause, 0.1 * retry_after_s + settings.backoff_s)
    return pause if pause < remaining_s else None
