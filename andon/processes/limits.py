"""The policies' limits for the limits role: ``streams.ports.PartLimits`` over the policies."""

from collections.abc import Sequence

from policies.evaluate import ResolvedPolicy
from policies.limits import Counted, LimitWindow, alert_of, observe
from streams.events import CountedPart, Decision
from streams.ports import LimitVerdict, PolicySource


class PolicyLimits:
    """The limits of the policies in force."""

    def __init__(self, policies: PolicySource) -> None:
        self._policies = policies

    def window_parts(self, product_id: str) -> int | None:
        """The product's longest window in parts; 0 without limits, None without a policy."""
        policy = self._policies.for_product(product_id)
        if not isinstance(policy, ResolvedPolicy):
            return None
        return max((limit.in_parts for limit in policy.document.limits.values()), default=0)

    def observe(
        self, decision: Decision, before: Sequence[CountedPart], exceeded: frozenset[str]
    ) -> LimitVerdict:
        """One more part; an alert names the policy whose limit it is, not the decision's."""
        policy = self._policies.for_product(decision.product_id)
        if not isinstance(policy, ResolvedPolicy) or not policy.document.limits:
            return LimitVerdict()
        parts = tuple(Counted(str(p.frame_id), p.action.value, p.class_name) for p in before)
        window, found = observe(LimitWindow(parts, exceeded), decision, policy.document.limits)
        update = {"policy_hash": policy.policy_hash}
        alerts = tuple(alert_of(decision, one).model_copy(update=update) for one in found)
        return LimitVerdict(window.exceeded, alerts)
