"""Tries of a password are slowed down by name and by address."""

from console.throttle import REFILL_S, TRIES, Throttle


def test_after_some_tries_one_more_every_while() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    for _ in range(TRIES):
        assert throttle.wait_s("ada", "10.0.0.7") <= 0
        throttle.failed("ada", "10.0.0.7")
    assert throttle.wait_s("ada", "10.0.0.8") == REFILL_S, "another address does not help"
    assert throttle.wait_s("bob", "10.0.0.7") == REFILL_S, "nor another name"
    assert throttle.wait_s("bob", "10.0.0.8") <= 0
    now[0] += REFILL_S
    assert throttle.wait_s("ada") <= 0
    throttle.failed("ada")
    assert throttle.wait_s("ada") == REFILL_S
    throttle.succeeded("ada")
    assert throttle.wait_s("ada") <= 0
    assert throttle.wait_s("bob", "10.0.0.7") <= 0
