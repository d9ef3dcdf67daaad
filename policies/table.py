"""The policies in force in one process, and their copy on disk."""

import json
import os
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from policies.defaults import HoldEverything, hold_everything
from policies.errors import PolicyError
from policies.evaluate import ResolvedPolicy
from policies.model import Body
from streams.errors import AndonError
from streams.events import PolicyInForce

_log = structlog.get_logger(__name__)
_UNKNOWN_PRODUCTS = 1024


class PolicyTable:
    """Product -> policy. A switch is one assignment: a part sees the old policy or the new one."""

    def __init__(self) -> None:
        self._policies: dict[str, ResolvedPolicy] = {}
        self._unknown: dict[str, HoldEverything] = {}

    def for_product(self, product_id: str) -> ResolvedPolicy | HoldEverything:
        """The policy in force, or one that holds every part."""
        policy = self._policies.get(product_id)
        if policy is not None:
            return policy
        if len(self._unknown) >= _UNKNOWN_PRODUCTS:
            self._unknown.clear()
        return self._unknown.setdefault(product_id, hold_everything(product_id))

    def versions(self) -> dict[str, str]:
        """Product -> hash of what is in force."""
        return {product: policy.policy_hash for product, policy in self._policies.items()}

    def put(self, policy: ResolvedPolicy) -> None:
        """Put in force. The same content again changes nothing."""
        current = self._policies.get(policy.product_id)
        if current is None or current.policy_hash != policy.policy_hash:
            _log.info("policy in force", product=policy.product_id, policy=policy.policy_hash[:12])
            self._policies[policy.product_id] = policy

    def remove(self, product_id: str) -> None:
        """Withdraw: the product's parts are held from now on."""
        if self._policies.pop(product_id, None) is not None:
            _log.warning("policy withdrawn, parts are held", product=product_id)

    def bodies(self) -> dict[str, Body]:
        """Hash -> body of everything in force."""
        return {policy.policy_hash: policy.body for policy in self._policies.values()}


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


class DiskCache:
    """The last policies in force, for a start without the broker. Written whole, atomically."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "policies.json"

    def write(self, bodies: dict[str, Body]) -> None:
        """Replace the copy. A full disk is logged, never raised: the line goes on."""
        draft = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w", encoding="utf-8") as file:
                json.dump(bodies, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            _log.warning("policy cache not written", path=str(self._path), error=str(error))

    def read(self) -> list[ResolvedPolicy]:
        """Every policy of the copy that still reads; none when there is no copy."""
        try:
            bodies: Any = json.loads(self._path.read_text("utf-8"))
            return [ResolvedPolicy.from_body(body, key) for key, body in bodies.items()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, AttributeError, AndonError) as error:
            _log.warning("policy cache not readable", path=str(self._path), error=str(error))
            return []
