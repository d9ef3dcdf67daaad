"""What becomes of a message that the broker refused: a dead letter, or one that waits."""

import asyncio
from datetime import UTC, datetime

import structlog

from streams.codes import Stage
from streams.envelope import Message
from streams.errors import UnavailableError
from streams.failures import TransientError, cause_of
from streams.kafka.delivery import refused_letter, without_value
from streams.ports import Publisher
from streams.topics import DEAD

log = structlog.get_logger(__name__)


async def send_letter(
    publisher: Publisher, topic: str, message: Message, error: Exception, timeout_s: float
) -> Exception | None:
    """A dead letter of the message, without its bytes where it is refused with them.

    Returns:
        None, or why the broker took neither.
    """
    name = cause_of(error).name
    size = len(message.value)
    log.error("gateway.refused", topic=topic, size=size, why=f"{name}: {error}")
    now = datetime.now(UTC)
    letter = refused_letter(topic, message, Stage.GATEWAY, name, str(error), now)
    why: Exception | None = None
    for one in (letter, without_value(letter)):
        try:
            async with asyncio.timeout(timeout_s):
                await publisher.send(DEAD.name, one)
        except Exception as failed:  # noqa: BLE001 - the message is kept all the same
            log.warning("gateway.letter_refused", topic=topic, why=str(failed))
            why = failed
        else:
            return None
    return why


def as_outage(error: Exception) -> UnavailableError:
    """The same, as of a broker that another attempt may find ready."""
    if isinstance(error, UnavailableError):
        return error
    return TransientError(cause_of(error), str(error))
