"""What the experts of one process share: made once for a key, and given to all who ask for it."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class Shared(Generic[T]):
    """Values by key: one that is in use is never made twice, and the last few are kept.

    >>> made = Shared[set[int]](kept=1)
    >>> made.get("a", lambda: {1}) is made.get("a", lambda: {2})
    True

    Args:
        kept: so many stay without anybody who uses them, the ones asked for last.
    """

    def __init__(self, kept: int) -> None:
        self._most = kept
        self._used: WeakValueDictionary[Hashable, T] = WeakValueDictionary()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()
        self._making = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made where there is none; one is made at a time."""
        with self._making:
            found = self._used.get(key)
            if found is None:
                found = make()
                self._used[key] = found
            self._kept[key] = found
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return found
