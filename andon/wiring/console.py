"""What the console is made of."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from andon.console_health import examine
from andon.policy_changes import PolicyChange, put_in_force
from andon.settings import Settings
from andon.wiring.brokers import kafka_connection
from andon.wiring.ray_serve import replicas
from andon.wiring.signed_policies import policy_source
from andon.wiring.storage import history, image_store, policy_log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from console.feed.live_feed import LiveFeed
    from console.feed.status_feed import StatusFeed
    from console.oidc import SingleSignOn
    from console.parts import ConsoleParts
    from console.plant_watch import PlantWatch
    from console.policies.desk import PolicyDesk
    from console.webhook import Webhook
    from history.accounts import Accounts
    from history.console_audit import ConsoleAudit, Deed
    from history.policy_log import AuditEntry
    from history.queries import History
    from policies.evaluate import ResolvedPolicy


FETCH_WAIT_MS: Final = 200
"""How long a fetch of the console's feeds waits for a record: a broker that looks only now and then
shows a part so much later, and costs a sixth of what every 20 ms would while nothing comes."""


def accounts(settings: Settings) -> "Accounts":
    """Who may log in at the console, and who is logged in."""
    from history.accounts import Accounts

    own = settings.postgres
    timeout_s = min(own.timeout_s, settings.console.login_timeout_s)
    return Accounts(own.url.get_secret_value(), timeout_s=timeout_s)


def console_audit(settings: Settings) -> "ConsoleAudit":
    """What people did at the console."""
    from history.console_audit import ConsoleAudit

    own = settings.postgres
    return ConsoleAudit(own.url.get_secret_value(), timeout_s=own.timeout_s)


def sign_on(settings: Settings) -> "SingleSignOn":
    """The plant's provider of logins, which the settings name."""
    from console.oidc import SingleSignOn

    return SingleSignOn(settings.oidc)


def webhook(settings: Settings) -> "Webhook":
    """Tells the program that the settings name what the line decides."""
    from console.webhook import Webhook, begin_s, http_post, topics_of
    from streams.kafka.reader import PartitionReader

    own, folder = settings.webhook, settings.paths.state
    since = dict.fromkeys(topics_of(own), begin_s(own, folder))
    reader = PartitionReader(kafka_connection(settings), since)
    return Webhook(own, reader, http_post(own.url), folder)


def console_parts(settings: Settings) -> "ConsoleParts":
    """What the console is made of; its feed begins with the shift that is running."""
    from andon.learning.ahead import LessonsOfHistory
    from andon.learning.shown_versions import ShownVersions
    from andon.products.running import Workshop
    from console.feed.live_feed import TOPICS, LiveFeed
    from console.feed.status_feed import StatusFeed
    from console.health import HealthDesk
    from console.metrics import ConsoleMeter
    from console.parts import ConsoleParts
    from history.handovers import Handovers
    from history.review_leases import ReviewLeases
    from streams.kafka.publisher import KafkaPublisher
    from streams.kafka.reader import BEGINNING, PartitionReader
    from streams.topics import STATUS

    own = settings.postgres
    _, began = settings.plant.shift_at(datetime.now(UTC))
    since_s = min(began.timestamp(), time.time() - settings.console.lookback_s)
    audit = console_audit(settings)
    since = dict.fromkeys(TOPICS, since_s)
    kafka = kafka_connection(settings)
    followed = replace(kafka, fetch_max_wait_ms=max(kafka.fetch_max_wait_ms, FETCH_WAIT_MS))
    reader = PartitionReader(followed, since, in_order=True)
    statuses = PartitionReader(followed, {STATUS.name: BEGINNING})
    asked = history(settings)
    feed, status = LiveFeed(reader, settings.plant.shift_at), StatusFeed(statuses)
    watch = plant_watch(settings, asked, feed, status) if settings.console.metrics_port else None
    return ConsoleParts(
        history=asked,
        store=image_store(settings),
        accounts=accounts(settings),
        audit=audit,
        handovers=Handovers(own.url.get_secret_value(), timeout_s=own.timeout_s),
        leases=ReviewLeases(own.url.get_secret_value(), timeout_s=own.timeout_s),
        sign_on=sign_on(settings) if settings.oidc.issuer else None,
        webhook=webhook(settings) if settings.webhook.url else None,
        plant=settings.plant,
        feed=feed,
        status=status,
        meter=ConsoleMeter(watch.reads()) if watch else None,
        watch=watch,
        models=ShownVersions(settings),
        drafts=Workshop(settings.paths.state / "products"),
        publisher=KafkaPublisher(kafka_connection(settings)),
        lessons=LessonsOfHistory(asked),
        second_review=settings.console.second_review,
        health=HealthDesk(partial(examine, settings)),
        policies=_policy_desk(settings, audit),
    )


def plant_watch(
    settings: Settings, asked: "History", feed: "LiveFeed", status: "StatusFeed"
) -> "PlantWatch":
    """Asks PostgreSQL and Ray Serve for what Prometheus should know."""
    from console.plant_watch import PlantWatch
    from history.review_queue import ReviewQueue

    return PlantWatch(
        ReviewQueue(asked, settings.console.second_review),
        replicas(settings),
        lambda: feed.is_fresh and status.is_fresh,
        settings.console.metrics_every_s,
    )


def _policy_desk(settings: Settings, audit: "ConsoleAudit") -> "PolicyDesk":
    """Policies as people change them; a back-test opens the history in its own process."""
    from console.policies.backtests import Backtests
    from console.policies.desk import PolicyDesk
    from console.second_person import SecondPerson

    log = policy_log(settings)

    async def put(
        policy: "ResolvedPolicy",
        *,
        source: str | None,
        replaces: str | None,
        by: str,
        reason: str,
        softens: bool,
        deed: "Deed",
        still_wanted: "Callable[[], Awaitable[object]] | None",
    ) -> "AuditEntry":
        change = PolicyChange(policy, replaces, by, reason, softens, deed, source, still_wanted)
        return await put_in_force(settings, log, change)

    return PolicyDesk(
        log=log,
        audit=audit,
        follow=partial(policy_source, settings, "console"),
        put=put,
        second_person=SecondPerson(settings.console.second_person),
        backtests=Backtests(partial(history, settings), partial(policy_log, settings)),
    )
