"""What is sent after its part's deadline says so."""

import json
from datetime import datetime

from streams.envelope import Message, header_dict
from streams.topics import ACKS, DECISIONS, FRAMES


def historical(topic: str, message: Message, now: datetime) -> Message:
    """The message, marked ``is_historical`` if its part's deadline has passed.

    One that does not say its deadline stays as it is: its readers judge it.
    """
    try:
        return _historical(topic, message, now)
    except (ValueError, KeyError, TypeError, RecursionError):
        return message


def _historical(topic: str, message: Message, now: datetime) -> Message:
    if topic == FRAMES.name:
        deadline = header_dict(message.headers).get("ce_deadline", "")
        if deadline and datetime.fromisoformat(deadline) < now:
            headers = (*message.headers, ("ce_is_historical", b"true"))
            return Message(message.key, message.value, headers)
    elif topic in (DECISIONS.name, ACKS.name):
        body = json.loads(message.value)
        if datetime.fromisoformat(body["deadline"]) < now:
            value = json.dumps({**body, "is_historical": True}).encode()
            return Message(message.key, value, message.headers)
    return message
