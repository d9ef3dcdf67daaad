"""Tells a message that a backend will never take from a backend that takes none: pure.

The difference is not in the message's own failures: a store that is down and an object that one
broken disk of it cannot take say the same. It is in what happens to the others meanwhile. A failure
counts against its message only if the backend did something for another one since the message was
last tried.

A missing right is told apart in the same way. It is the message's own where others get through (a
topic that a role was never given), and nobody's fault where none does: a policy of the bucket, a
database that was restored without its rights. A store without room takes a mask and no picture, so
there the others say nothing: a lack of room is always waited for.
"""

from dataclasses import dataclass

from streams.errors import UnavailableError
from streams.failures import Cause, PermanentError, cause_of

_UNFORESEEN = 2
"""A failure that no adapter knows counts so much, also where nothing gets through: it is more
likely the message's fault than an outage."""


@dataclass(eq=False)
class Tries:
    """The attempts of one message.

    Args:
        most: after so many failures, beside others that succeeded, it is given up.
        served: how often the backend had done what it was asked when the message was first sent.

    >>> tries = Tries(most=2, served=7)
    >>> [tries.failed(UnavailableError(), served=7) for _ in range(5)]
    [False, False, False, False, False]
    >>> tries.failed(UnavailableError(), served=8), tries.failed(UnavailableError(), served=9)
    (False, True)
    """

    most: int
    served: int = 0
    attempts: int = 0
    counted: int = 0

    def failed(self, error: Exception, served: int) -> bool:
        """Whether the message is to be set aside after this attempt.

        Args:
            error: with which it failed.
            served: how often the backend has done by now what anybody asked.
        """
        self.attempts += 1
        cause = cause_of(error)
        if isinstance(error, PermanentError) and cause is not Cause.NOT_ALLOWED:
            return True
        if not isinstance(error, UnavailableError | PermanentError):
            self.counted += _UNFORESEEN
        elif cause is not Cause.FULL:
            self.counted += served > self.served
        self.served = served
        return self.counted >= self.most
