"""Changes of policies that wait for a second person, read from the audit. Pure."""

from collections.abc import Sequence
from typing import Final

from console.policies.answers import PolicyRequest
from console.second_person import unanswered
from history.console_audit import WrittenDeed

REQUEST: Final = "policy.request"
APPLY: Final = "policy.apply"
TAKE_OUT: Final = "policy.take-out"
"""A policy is taken out of force, whereas ``policy.withdraw`` takes a request back."""
ANSWERS: Final = ("policy.approve", "policy.refuse", "policy.withdraw")
ACTIONS: Final = (REQUEST, *ANSWERS, APPLY, TAKE_OUT)


def open_requests(rows: Sequence[WrittenDeed]) -> dict[str, PolicyRequest]:
    """The request of each product that nobody has answered.

    Args:
        rows: of the actions in ``ACTIONS``, oldest first.
    """
    return {
        product: PolicyRequest(
            number=row.number,
            product=product,
            policy_hash=row.after,
            replaces=row.before or None,
            by=row.actor,
            reason=row.reason,
            at=row.at,
        )
        for product, row in unanswered(rows, REQUEST).items()
    }
