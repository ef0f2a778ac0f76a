"""What was found out once in an audit, for the layers that come later: they share most of their sources."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Memo:
    """Answers by question, for the length of one audit."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Any] = {}

    def once(self, question: Hashable, find: Callable[[], T]) -> T:
        """Give the answer to a question; `find` works it out where it is asked for the first time."""
        if question not in self._known:
            self._known[question] = find()
        return cast("T", self._known[question])
