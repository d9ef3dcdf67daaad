"""What the console is made of: built by ``andon.wiring``, handed to every page."""

from dataclasses import dataclass
from typing import Protocol

from console.feed.live_feed import LiveFeed
from console.feed.status_feed import StatusFeed
from console.health import HealthDesk
from console.metrics import ConsoleMeter
from console.model_versions import ModelVersions
from console.oidc import SingleSignOn
from console.plant_watch import PlantWatch
from console.policies.desk import PolicyDesk
from console.product_drafts import ProductDrafts
from console.review.lessons import LessonsAhead
from console.webhook import Webhook
from history.accounts import Accounts
from history.console_audit import ConsoleAudit
from history.handovers import Handovers
from history.plant_times import PlantTimes
from history.queries import History
from history.review_leases import ReviewLeases
from streams.ports import ImageStore, Publisher


class Pictures(ImageStore, Protocol):
    """An image store that the application closes when it ends."""

    async def close(self) -> None: ...


class ReviewPublisher(Publisher, Protocol):
    """A publisher that the application stops when it ends."""

    async def stop(self) -> None: ...


@dataclass(frozen=True)
class ConsoleParts:
    """What pages ask."""

    history: History
    store: Pictures
    accounts: Accounts
    audit: ConsoleAudit
    plant: PlantTimes
    feed: LiveFeed
    status: StatusFeed
    """What gateways and workers say of themselves."""
    health: HealthDesk
    """Whether a part could be decided now, as the doctor finds."""
    drafts: ProductDrafts
    policies: PolicyDesk
    models: ModelVersions
    publisher: ReviewPublisher
    """Takes what people say of parts."""
    lessons: LessonsAhead
    handovers: Handovers
    leases: ReviewLeases
    """Who reviews which part, at every console of this database."""
    second_review: float = 0.0
    """Share of the reviewed parts that a second person reviews, where no policy says."""
    sign_on: SingleSignOn | None = None
    """The plant's provider of logins, where the settings name one."""
    meter: ConsoleMeter | None = None
    """Counts what is answered, where Prometheus may ask for it."""
    watch: PlantWatch | None = None
    """Asks now and then what Prometheus should know of the reviews and the replicas."""
    webhook: Webhook | None = None
    """Tells another program what the line decides, where the settings name one."""
