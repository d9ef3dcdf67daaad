"""What is away is told once, for each reason, and now and then again."""

from streams.log import Outage, Told


def test_an_outage_is_told_by_its_reasons_and_not_by_its_attempts() -> None:
    now = [0.0]
    outage = Outage(lambda: now[0], remind_s=30.0)
    told: list[tuple[float, str, Told]] = []
    for second in range(100):
        now[0] = float(second)
        why = "refused" if second < 50 else "no namespace"
        if (one := outage.failed(why)) is not None:
            told.append((now[0], why, one))
    assert [(at, why, one.is_new) for at, why, one in told] == [
        (0.0, "refused", True),
        (30.0, "refused", False),
        (50.0, "no namespace", True),
        (80.0, "no namespace", False),
    ]
    assert outage.ended() == Told(99.0, 100)
    assert outage.ended() is None


def test_what_comes_and_goes_is_told_as_seldom_as_what_stays_away() -> None:
    now, lines = [0.0], 0
    outage = Outage(lambda: now[0], remind_s=30.0)
    for tenth in range(600):
        now[0] = tenth / 10
        lines += outage.failed("gone") is not None
        lines += outage.ended() is not None
    assert lines == 4
