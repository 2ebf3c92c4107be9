"""A batch that is sent again for those of its items that failed and may be, as single calls are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from coherd._rpc.methods import Effect, KeysRead, ValuesSet
from coherd._rpc.status import error_of_item
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, ServerDefect
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason


def has_failed_items(answer: Any) -> bool:
    """Whether an item of a batch failed.

    Args:
        answer: of a batch.
    """
    if isinstance(answer, list):
        return any(issubclass(kind, CacheError) for kind in set(map(type, answer)))
    return any(result.HasField("error") for result in answer.results)


class BatchTries:
    """One batch: what is sent next, and the answer that its attempts make.

    Args:
        request: of `BATCH_GET`, `BATCH_SET`, `BATCH_LEASE` or `BATCH_FILL`.
        effect: what sending it twice does.
    """

    def __init__(self, request: Any, effect: Effect) -> None:
        self.request = request
        """Of the next attempt: the items that are left."""
        self.answer: Any = None
        """To all items, as far as known; None before the first answer."""
        self._whole = request
        self._again = (Retry.SAFE,) if effect is Effect.ONCE else (Retry.SAFE, Retry.IDEMPOTENT)
        self._places: Sequence[int] = ()
        """Of the items that are left, in the answer."""

    @property
    def is_whole(self) -> bool:
        """Whether all items are left."""
        return self.answer is None or len(self._places) == len(_results(self.answer))

    def take(self, answer: Any) -> CacheError | None:
        """Takes the answer to `request`.

        Returns:
            Of the failures of items that may be sent again, that with the longest advised wait; None: there are none.
        """
        if self.answer is None:
            self.answer = answer
            self._places = range(len(_results(answer)))
            if len(self._places) != _size(self.request):
                return None  # the caller says what is wrong
        else:
            results: Sequence[Any] = _results(answer)
            if len(results) != len(self._places):
                results = [ServerDefect("the answer does not have one result per item")] * len(self._places)
            for place, result in zip(self._places, results, strict=True):
                self._put(place, result)
        failed = [(place, error) for place in self._places if (error := self._error(place)) is not None]
        again = [(place, error) for place, error in failed if error.retry in self._again]
        if not again:
            return None
        self._places = [place for place, _ in again]
        self.request = _part(self._whole, self._places)
        return max((error for _, error in again), key=lambda error: error.retry_after_ms)

    def given_up(self, failed: CacheError, tell: Callable[[CacheError], CacheError]) -> Any:
        """The answer, where the items that are left are not sent again.

        Args:
            failed: how the last attempt ended, of the items or as a whole.
            tell: what the caller is told of a failure.
        """
        for place in self._places:
            own = self._error(place)
            # An attempt that surely changed nothing leaves what the service said of the item.
            self._put(place, tell(failed if own is None or failed.retry is not Retry.SAFE else own))
        return self.answer

    def _error(self, place: int) -> CacheError | None:
        result = _results(self.answer)[place]
        if isinstance(self.answer, list):
            return result if isinstance(result, CacheError) else None
        return error_of_item(result.error) if result.HasField("error") else None

    def _put(self, place: int, result: Any) -> None:
        if isinstance(self.answer, list):
            self.answer[place] = result
        elif isinstance(result, CacheError):
            self.answer.results[place].Clear()
            self.answer.results[place].error.CopyFrom(_item_error(result))
        else:
            self.answer.results[place].CopyFrom(result)


def _results(answer: Any) -> Sequence[Any]:
    return answer if isinstance(answer, list) else answer.results


def _size(request: Any) -> int:
    return len(request.keys if isinstance(request, (KeysRead, ValuesSet)) else request.items)


def _part(request: Any, places: Sequence[int]) -> Any:
    """The same request for some of its items."""
    if isinstance(request, KeysRead):
        return request._replace(keys=[request.keys[place] for place in places])
    if isinstance(request, ValuesSet):
        keys, values = request.keys, request.values
        return request._replace(keys=[keys[place] for place in places], values=[values[place] for place in places])
    return type(request)(items=[request.items[place] for place in places])


_BY_RETRY: Final = {
    Retry.SAFE: ErrorReason.ERROR_REASON_STORE_UNAVAILABLE,
    Retry.IDEMPOTENT: ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN,
    Retry.NEVER: ErrorReason.ERROR_REASON_INTERNAL,
}
"""For a failure that nobody gave a reason for, such as a lost connection: the reason with its retry class."""


def _item_error(error: CacheError) -> pb.ItemError:
    reason = error.reason or _BY_RETRY[error.retry]
    return pb.ItemError(
        reason=ErrorReason.Name(reason), message=str(error), field=error.field, retry_after_ms=error.retry_after_ms
    )
