"""Nothing leaves an agent as an exception."""

from collections.abc import Awaitable, Callable

from streams.kafka.delivery import Delivery

Handler = Callable[[Delivery], Awaitable[None]]
OnFailure = Callable[[Delivery, Exception], Awaitable[None]]


def guarded(handler: Handler, failed: OnFailure) -> Handler:
    """``handler``; whatever it raises goes to ``failed``, which keeps the bytes as a dead letter.

    Faust restarts an agent that raises, and loses its event.
    """

    async def run(delivery: Delivery) -> None:
        try:
            await handler(delivery)
        except Exception as error:  # noqa: BLE001 - the boundary of the role
            await failed(delivery, error)

    return run
