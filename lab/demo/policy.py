"""The policy of a data set that comes without one."""

from collections.abc import Iterable

from pydantic import ValidationError

from lab.harness.learn import FALSE_ALARM_RATE, SEND_RATE
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import PolicyDocument, body_of
from streams.codes import Action, Severity
from streams.names import fault_of

STOP_RATE = 0.05
"""Share of the good parts that may be stopped where nobody said otherwise."""


def hold_all_classes(product_id: str, class_names: Iterable[str]) -> dict[str, object]:
    """Body of a policy in which every class is a defect and held; the fallbacks hold too.

    Raises:
        PolicyError: a name cannot be a product id or a class name.
    """
    names = list(class_names)
    if faults := sorted(f"{n[:64]!r} {fault_of(n)}" for n in (product_id, *names) if fault_of(n)):
        raise PolicyError(f"{'; '.join(faults)}: rename the folder")
    held = {"severity": Severity.DEFECT.value, "action": Action.HOLD.value}
    classes = {name: {**held, "display_name": name.replace("_", " ")} for name in names}
    try:
        document = PolicyDocument.model_validate(
            {"product": product_id, "classes": classes, "stop_rate": STOP_RATE}
        )
    except ValidationError as error:
        refused = sorted({repr(str(e["input"])[:64]) for e in error.errors(include_url=False)})
        raise PolicyError(
            f"{', '.join(refused)} cannot be a product or class name: rename the folder"
        ) from None
    if reserved := sorted({"normal", "unknown"} & set(document.classes)):
        raise PolicyError(
            f"{', '.join(reserved)} cannot be a class, it is an answer itself: rename the folder"
        )
    return body_of(document)


def with_stop_rate(policy: ResolvedPolicy, rate: float | None) -> ResolvedPolicy:
    """The policy with another share of good parts that may be stopped; the same for None."""
    return policy if rate is None else ResolvedPolicy.from_body({**policy.body, "stop_rate": rate})


def sent_share(policy: ResolvedPolicy, classifier: str, taught: bool) -> float:
    """Share of good parts that the expert is asked to send to the classifier.

    More than may be stopped only where the classifier is calibrated together with the expert.
    """
    stop_rate = policy.document.stop_rate
    if stop_rate is None:
        return FALSE_ALARM_RATE
    return max(stop_rate, SEND_RATE) if taught and classifier != "velm" else stop_rate
