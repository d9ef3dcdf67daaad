"""Which policies are in force after each message: what is believed, refused, withdrawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import Body
from policies.signing import SERIAL, SIGNATURE, SIGNED_BY, TrustedKeys, UnsignedPolicyError
from streams.envelope import from_message, header_dict
from streams.errors import AndonError
from streams.events import PolicyInForce
from streams.kafka.delivery import Delivery

_log = structlog.get_logger(__name__)


class SignedCopy(BaseModel):
    """A signed message as the disk keeps it."""

    model_config = ConfigDict(frozen=True)

    value: str
    headers: dict[str, str] = Field(max_length=16)

    @property
    def raw_headers(self) -> dict[str, bytes]:
        """As they were on Kafka."""
        return {name: text.encode() for name, text in self.headers.items()}


@dataclass
class PoliciesInForce:
    """The policies after each message of the topic. Pure but for its log.

    Without trusted keys every policy that can be read is believed. With them a message counts only
    if it is signed, and if its serial is the highest of its product so far; the policy before it
    stays in force otherwise, and ``refused`` says why until a good message comes.
    """

    trusted: TrustedKeys | None = None
    policies: dict[str, ResolvedPolicy] = field(default_factory=dict)
    serials: dict[str, int] = field(default_factory=dict)
    """The highest serial of each product, withdrawn ones included."""
    signed: dict[str, SignedCopy] = field(default_factory=dict)
    """What is kept on disk where signatures count."""
    refused: dict[str, str] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=dict)

    def take(self, record: Delivery, is_new: bool) -> bool:
        """Apply one message; whether it may have changed anything.

        Args:
            is_new: whether it came after the end of the topic had been reached: an older serial
                before it is the topic's past, after it somebody repeats a message.
        """
        product = record.key.decode("utf-8", "replace")
        try:
            if self.trusted is not None:
                serial = self.trusted.serial_of(record.key, record.value, record.headers)
                return self._take_signed(product, serial, record, is_new)
            return self._apply(product, record.value, record.headers)
        except Exception as error:  # noqa: BLE001 - no message ends the follower
            why = str(error) if isinstance(error, AndonError) else repr(error)
            if self.trusted is not None:
                self.refused[product[:512]] = why[:500]
            _log.error(
                "policy refused, the one before stays in force",
                key=product[:512],
                offset=record.offset,
                error=why[:2000],
            )
            return False

    def caught_up(self) -> None:
        """The topic's end was reached: its last policies must not be older than those known."""
        for product, last in self._last.items():
            if last < self.serials[product]:
                why = "the topic ends with an older policy than the one in force"
                self.refused.setdefault(product, why)

    def put(self, policy: ResolvedPolicy) -> None:
        """Put in force by one assignment: a part sees either the old policy or the new one."""
        product, current = policy.product_id, self.policies.get(policy.product_id)
        if current is None or current.policy_hash != policy.policy_hash:
            _log.info("policy in force", product=product, policy=policy.policy_hash[:12])
            self.policies[product] = policy

    def bodies(self) -> dict[str, Body]:
        """The bodies in force by their hash, as the disk keeps them where nothing is signed."""
        return {policy.policy_hash: policy.body for policy in self.policies.values()}

    def restore(self, copies: Mapping[str, SignedCopy]) -> None:
        """Take over what a disk kept; what no trusted key signed is no policy there either."""
        if self.trusted is None:
            return
        for product, copy in copies.items():
            value, headers = copy.value.encode(), copy.raw_headers
            try:
                serial = self.trusted.serial_of(product.encode(), value, headers)
                if serial > self.serials.get(product, -1):
                    self._apply(product, value, headers)
                    self.serials[product], self.signed[product] = serial, copy
            except AndonError as error:
                _log.warning("kept policy refused", product=product, error=str(error))

    def _take_signed(self, product: str, serial: int, record: Delivery, is_new: bool) -> bool:
        known = self.serials.get(product, -1)
        self._last[product] = serial
        if serial < known:
            if is_new:
                raise UnsignedPolicyError(
                    "an older signed policy is repeated (sign a rollback anew)"
                )
            return False
        copy = SignedCopy(value=record.value.decode(), headers=_kept(record))
        if serial == known:
            if copy.value != self.signed[product].value:
                raise UnsignedPolicyError("two different policies are signed with one serial")
            self.refused.pop(product, None)
            return False
        self._apply(product, record.value, record.headers)
        self.serials[product], self.signed[product] = serial, copy
        self.refused.pop(product, None)
        return True

    def _apply(self, product: str, value: bytes, headers: object) -> bool:
        if not value:
            if self.policies.pop(product, None) is not None:
                _log.warning("policy withdrawn, parts are held", product=product)
            return True
        policy = policy_of(from_message(PolicyInForce, value, headers))  # type: ignore[arg-type]
        if self.trusted is not None and policy.product_id != product:
            raise PolicyError(f"a policy of {policy.product_id!r} under the key {product!r}")
        self.put(policy)
        return True


def policy_of(event: PolicyInForce) -> ResolvedPolicy:
    """The policy inside a published event.

    Raises:
        PolicyError: the body is no policy, or is not what its hash promises.
    """
    try:
        policy = ResolvedPolicy.from_body(event.body, event.policy_hash)
    except ValidationError as error:
        raise PolicyError(
            f"policy {event.policy_hash[:12]} of {event.product_id!r} is not one that this build "
            f"reads ({error.error_count()} problems); upgrade the workers before applying it"
        ) from error
    if policy.product_id != event.product_id:
        raise PolicyError(f"policy of {policy.product_id!r} was published for {event.product_id!r}")
    return policy


def _kept(record: Delivery) -> dict[str, str]:
    wanted = (SIGNATURE, SIGNED_BY, SERIAL, "ce_type")
    return {name: text for name, text in header_dict(record.headers).items() if name in wanted}
