"""The console's parts are built from the settings: what is named is there, what is not is not."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from andon.settings import Settings
from andon.wiring.console import console_parts


@pytest.mark.asyncio
async def test_a_provider_and_a_webhook_are_built_where_they_are_named(tmp_path: Path) -> None:
    if find_spec("authlib") is None:
        pytest.skip("authlib is not installed: `make setup` does")
    plain = console_parts(Settings())
    assert (plain.sign_on, plain.webhook) == (None, None)
    named = {
        "paths": {"state": tmp_path},
        "oidc": {"issuer": "https://login.plant", "roles": {"line": "operator"}, "name": "Plant"},
        "webhook": {"url": "https://mes.plant/andon", "secret": "0123456789abcdef"},
    }
    full = console_parts(Settings.model_validate(named))
    assert full.sign_on is not None
    assert full.sign_on.name == "Plant"
    assert full.webhook is not None


@pytest.mark.asyncio
async def test_what_is_watched_is_built_where_somebody_may_ask_for_it() -> None:
    plain = console_parts(Settings())
    assert (plain.meter, plain.watch) == (None, None)
    watched = console_parts(Settings.model_validate({"console": {"metrics_port": 9400}}))
    assert watched.watch is not None
    assert watched.meter is not None
    assert watched.meter.registry.get_sample_value("andon_console_sees", {"check": "kafka"}) == 0
