"""Dead letters read back from their topic, and the messages in them sent once more."""

from collections.abc import AsyncIterator

from streams.codes import LOST_TO_RETENTION
from streams.envelope import Message, from_message
from streams.errors import AndonError, EventError
from streams.events import DeadLetter
from streams.kafka.connection import KafkaConnection
from streams.kafka.reader import BEGINNING, PartitionReader
from streams.topics import DEAD


class NotWholeError(AndonError):
    """The letter does not hold all of the original message."""


async def read_letters(connection: KafkaConnection) -> AsyncIterator[tuple[DeadLetter, bytes]]:
    """Every letter that the broker still has, with the original bytes; each identity once.

    Raises:
        UnavailableError: the broker does not answer.
    """
    seen = set()
    reader = PartitionReader(connection, {DEAD.name: BEGINNING})
    async for records in reader.read_to_end():
        for record in records:
            try:
                letter = from_message(DeadLetter, record.value, record.headers)
            except EventError:
                continue  # somebody else's message
            if letter.letter_id not in seen:
                seen.add(letter.letter_id)
                yield letter, record.value


def original(letter: DeadLetter, value: bytes) -> Message:
    """The message that the letter is about, as it was.

    Raises:
        NotWholeError: it was too large for a letter, or the broker deleted it unread.
    """
    if letter.error_type == LOST_TO_RETENTION:
        raise NotWholeError(f"letter {letter.letter_id} holds no message: {letter.error}")
    if letter.is_cut:
        raise NotWholeError(
            f"letter {letter.letter_id} holds {len(value)} bytes of a larger message; "
            "it cannot be sent again"
        )
    headers = tuple((name, text.encode()) for name, text in letter.original_headers.items())
    return Message(letter.original_key.encode(), value, headers)
