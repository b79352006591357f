"""Lists that the service gives out by pages: each page is fetched when its first item is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, Self, TypeVar

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class FetchPage(Protocol[Item_co]):
    """Fetches a page."""

    async def __call__(
        self, token: bytes, page_size: int | None
    ) -> tuple[Sequence[Item_co], bytes | None]:
        """The page that begins at a token, and the token of the next, if there is one."""


class PagedAsyncIterator(Generic[Item]):
    """The items of all pages, for `async for`."""

    def __init__(
        self,
        fetch: FetchPage[Item],
        *,
        next_page_token: bytes | None,
        page_size: int | None,
        limit: int | None = None,
    ) -> None:
        self._fetch = fetch
        self._page_size = page_size
        self._limit = limit
        self._next_page_token = next_page_token
        self._page: Sequence[Item] | None = None
        self._page_index = 0
        self._yielded = 0

    @property
    def current_page_index(self) -> int:
        """The place in the page of the item that comes next."""
        return self._page_index

    @property
    def current_page(self) -> Sequence[Item] | None:
        """The page fetched last; None before the first."""
        return self._page

    @property
    def next_page_token(self) -> bytes | None:
        """Where the next page begins; None before the first and after the last."""
        return self._next_page_token

    async def fetch_next_page(self, *, page_size: int | None = None) -> None:
        """Fetch the next page, which may be empty; of as many items as are wanted at most."""
        size = page_size or self._page_size
        if size is not None and self._limit is not None:
            size = min(size, max(self._limit - self._yielded, 1))
        page, token = await self._fetch(self._next_page_token or b"", size)
        self._page, self._page_index = page, 0
        self._next_page_token = token or None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        if self._limit is not None and self._yielded >= self._limit:
            raise StopAsyncIteration
        while self._page is None or self._page_index >= len(self._page):
            if self._page is not None and self._next_page_token is None:
                raise StopAsyncIteration
            await self.fetch_next_page()
        self._page_index += 1
        self._yielded += 1
        return self._page[self._page_index - 1]
