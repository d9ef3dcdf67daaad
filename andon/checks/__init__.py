"""What ``andon doctor`` asks: of each dependency, and whether a part could be decided now."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from andon.checks.certificates import REMEDY as RENEW
from andon.checks.certificates import check_certificates
from andon.checks.deciding import (
    check_llm,
    check_product,
    check_ray,
    check_serve,
    check_workers,
)
from andon.checks.edge import check_camera, check_gateway, check_plc
from andon.checks.exposure import REMEDY, check_exposure
from andon.checks.findings import CheckFailed, CheckWarned, Finding
from andon.checks.stores import (
    check_kafka,
    check_policies,
    check_postgres,
    check_s3,
    check_state,
)
from andon.settings import Settings
from andon.wiring import signed_policies
from streams.errors import AndonError
from streams.masking import masked

TIMEOUT_S = 10.0


class Check(NamedTuple):
    """One thing that is asked."""

    ask: Callable[[Settings], Awaitable[str]]
    """Returns a detail when all is fine; raises CheckFailed or anything when not."""
    remedy: str
    """The usual one when an error answers."""
    decides: bool = True
    """Whether no part is decided by what it shows while this fails."""
    timeout_s: float = TIMEOUT_S


_PLC = "check ANDON_GATEWAY__PLC_URL and the PLC's server (`andon plc` simulates one)"
CHECKS: Mapping[str, Check] = {
    "kafka": Check(check_kafka, "check ANDON_KAFKA__BOOTSTRAP_SERVERS, or run `andon stack up`"),
    "postgres": Check(check_postgres, "check ANDON_POSTGRES__URL, or run `andon stack up`", False),
    "s3": Check(check_s3, "check ANDON_S3__ENDPOINT and its keys, or `andon stack up`", False),
    "ray": Check(check_ray, "check ANDON_SERVE__ADDRESS, or run `andon stack up`", False, 40.0),
    "serve": Check(
        check_serve, "check ANDON_SERVE__INGRESS, or deploy: `andon deploy infra/serve.yaml`"
    ),
    "llm": Check(check_llm, "`andon llm check` says what the endpoints answer", False, 30.0),
    "policies": Check(check_policies, "run `andon policy validate` for every error"),
    "workers": Check(check_workers, "start `andon worker inspect` and `andon worker classify`"),
    "state": Check(check_state, "set ANDON_PATHS__STATE to a folder that this user may write"),
    "plc": Check(check_plc, _PLC),
    "gateway": Check(check_gateway, _PLC),
    "camera": Check(check_camera, "check ANDON_GATEWAY__CAMERA"),
    "certificates": Check(check_certificates, RENEW, False),
    "exposure": Check(check_exposure, REMEDY, False),
}
"""What is asked under each name."""


async def examine(settings: Settings, names: Sequence[str]) -> list[Finding]:
    """Run the named checks side by side, each within its time."""
    return list(await asyncio.gather(*(_one(name, settings) for name in names)))


async def examine_products(
    settings: Settings, product: str | None, others: Sequence[Finding]
) -> list[Finding]:
    """Whether a part of a product could be decided now; of each that has a policy without one.

    Args:
        settings: of this host.
        product: as in its policy, or None.
        others: what was found otherwise: what fails there keeps parts from being decided too.
    """
    try:
        asked = signed_policies.policies_in_force(settings)
        in_force = (await asyncio.wait_for(asked, TIMEOUT_S)).versions
    except (AndonError, TimeoutError, OSError):
        in_force = {}
    names = sorted(in_force) if product is None else [product]
    broken = [f.name for f in others if not f.ok and CHECKS[f.name].decides]

    async def judge(name: str) -> Finding:
        async def ask(own: Settings) -> str:
            return await check_product(own, name, in_force)

        found = await _asked(f"product {name}", Check(ask, "see the rows above"), settings)
        details = [] if found.ok else [found.detail]
        details += [f"{', '.join(broken)}: see above"] if broken else []
        if details:
            detail = f"no part could be decided now: {'; '.join(details)}"
            return Finding(found.name, False, detail, found.remedy or "mend the rows above first")
        return Finding(found.name, True, f"a part could be decided now: {found.detail}")

    return list(await asyncio.gather(*(judge(name) for name in names)))


async def _one(name: str, settings: Settings) -> Finding:
    return await _asked(name, CHECKS[name], settings)


async def _asked(name: str, check: Check, settings: Settings) -> Finding:
    try:
        said = await asyncio.wait_for(check.ask(settings), check.timeout_s)
        return Finding(name, True, masked(said))
    except CheckWarned as warned:
        return Finding(name, True, masked(str(warned)), warned.remedy, warns=True)
    except CheckFailed as failed:
        return Finding(name, False, masked(str(failed)), failed.remedy)
    except TimeoutError:
        return Finding(name, False, f"no answer within {check.timeout_s:g} s", check.remedy)
    except ConnectionRefusedError as error:
        return Finding(name, False, f"nothing listens there: {error}", check.remedy)
    except Exception as error:  # noqa: BLE001 - a doctor reports whatever it finds
        words = str(error) if isinstance(error, AndonError) else f"{type(error).__name__}: {error}"
        return Finding(name, False, masked(words), check.remedy)
