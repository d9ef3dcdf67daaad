"""Changes of policies that wait for a second person, read from the audit. Pure."""

from collections.abc import Sequence
from typing import Final

from console.policies.answers import PolicyRequest
from history.console_audit import WrittenDeed

REQUEST: Final = "policy.request"
APPLY: Final = "policy.apply"
TAKE_OUT: Final = "policy.take-out"
"""A policy is taken out of force, whereas ``policy.withdraw`` takes a request back."""
ANSWERS: Final = ("policy.approve", "policy.refuse", "policy.withdraw")
ACTIONS: Final = (REQUEST, *ANSWERS, APPLY, TAKE_OUT)


def open_requests(rows: Sequence[WrittenDeed]) -> dict[str, PolicyRequest]:
    """The request of each product that nobody has answered; the newest, one of each.

    A change that was put in force meanwhile ends what was asked before it.

    Args:
        rows: of the actions in ``ACTIONS``, oldest first.
    """
    found: dict[str, PolicyRequest] = {}
    for row in rows:
        if row.action == REQUEST:
            found[row.object] = PolicyRequest(
                number=row.number,
                product=row.object,
                policy_hash=row.after,
                replaces=row.before or None,
                by=row.actor,
                reason=row.reason,
                at=row.at,
            )
        else:
            found.pop(row.object, None)
    return found
