"""How odd a part is that the expert sent on: what ``stop_rate`` is compared with. Pure."""

from streams.codes import FallbackKind
from streams.ports import Situation


def share_as_odd(situation: Situation) -> float | None:
    """The share of normal parts that look as odd; None where a stop rate has no say.

    It is that of expert and classifier together, or of the expert alone where the two were not
    calibrated together or the classifier came too late. A part that nobody inspected, or that
    failed otherwise, is not judged by it; nor is one that is odder than every normal part that the
    expert knows: few parts cannot vouch for a small share, and it must not pass for that.
    """
    inspection, answer = situation.inspection, situation.classification
    if inspection is None or not inspection.anomalous:
        return None
    if answer is None and situation.fallback is not FallbackKind.LATE:
        return None
    if answer is not None and answer.normal_p_value is not None:
        return answer.normal_p_value
    return None if inspection.p_value <= inspection.least_p_value else inspection.p_value
