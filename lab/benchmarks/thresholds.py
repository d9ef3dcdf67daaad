"""How sure a stage of a cascade must be for its answer to stand, from calibration answers."""

from collections.abc import Sequence


def choose_threshold(
    confidences: Sequence[float], correct: Sequence[bool], error_rate: float
) -> float:
    """The threshold that accepts most answers with at most ``error_rate`` errors among them.

    An answer stands when its confidence is at least the threshold; infinity accepts none.
    The estimate is (errors + 1) / (accepted + 1), which keeps the promise on future parts where a
    plain share of a small sample would not: with ``error_rate`` 0.05 nothing is accepted on fewer
    than 19 faultless answers. Answers of equal confidence are accepted together or not at all.

    Args:
        confidences: of calibration answers, 0 to 1; never of the parts it is then measured on.
        correct: whether each was right.
        error_rate: highest share of wrong answers among the accepted, 0 to 1.

    Raises:
        ValueError: lengths differ, or the rate is outside 0 to 1.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"{len(confidences)} confidences but {len(correct)} outcomes")
    if not 0 <= error_rate <= 1:
        raise ValueError(f"error rate {error_rate} is not within 0 and 1")
    ranked = sorted(zip(confidences, correct, strict=True), key=lambda item: -item[0])
    chosen, errors = float("inf"), 0
    for accepted, (confidence, is_right) in enumerate(ranked, start=1):
        errors += not is_right
        if accepted < len(ranked) and ranked[accepted][0] == confidence:
            continue
        if (errors + 1) / (accepted + 1) <= error_rate:
            chosen = confidence
    return chosen
