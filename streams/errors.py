"""The root of every error tree in Andon. A message says what, where and what to do."""


class AndonError(Exception):
    """Root of all errors that Andon raises on purpose."""


class EventError(AndonError):
    """A Kafka message that cannot be read as the event its topic promises."""


class MissingHeaderError(EventError):
    """A required CloudEvents header is absent."""


class UnsupportedSchemaError(EventError):
    """The event's type or major schema version is not one this build reads."""


class MalformedEventError(EventError):
    """The event's headers or JSON do not validate."""


class UnavailableError(AndonError):
    """A dependency (serving, database, object store, endpoint) did not answer in time."""


class UndecodableImageError(AndonError):
    """The bytes are not an image that can be decoded. The part gets the policy's fallback."""
