"""Leases: `Store.lease` and `Store.leases`. A lease keeps the layers that are being written until an image refers to them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from imagestore.arguments import check_labels, check_lease, check_limit, check_ttl
from imagestore.bind import Bind, EngineBind, SnapshotBind
from imagestore.errors import LeaseExpiredError, UnusableBindError
from imagestore.gojson import GoTime
from imagestore.lease import Lease
from imagestore.sql import leases

TTL: Final = 3600.0
"""Seconds that a lease lasts by default, if nobody renews it."""


class HeldLease:
    """A lease that this process holds: ``with store.lease() as lease: ...``. Usable from several threads.

    It is taken, renewed and ended in transactions of its own, each of which commits. At the end of the block it is ended; what it held
    and no image refers to by then is garbage, which `Store.collect` takes.

    Attributes:
        id: 32 hexadecimal digits.
        labels: what was noted on it.
    """

    def __init__(self, bind: Bind, ttl: float, labels: Mapping[str, str]) -> None:
        if not isinstance(bind, EngineBind | SnapshotBind):  # the latter says itself that it writes nothing
            raise UnusableBindError(
                "nobody else would see a lease before the caller's transaction commits: take it from the store itself, before"
            )
        self.id: Final = secrets.token_hex(16)
        self.labels: Final = check_labels(labels)
        self._bind = bind
        self._ttl = check_ttl(ttl)
        self._expires = bind.write(leases.create, self.id, self._ttl, self.labels)
        self._renewed = time.monotonic()

    @property
    def expires(self) -> GoTime:
        """When it ends by itself, by the database's clock."""
        return self._expires

    def renew(self, ttl: float = TTL) -> GoTime:
        """Let it last so many seconds from now; returns when it ends. Commits. One statement by key.

        Raises:
            LeaseExpiredError: it has expired already, or was ended.
        """
        self._expires = self._bind.write(leases.renew, self.id, check_ttl(ttl))
        self._renewed = time.monotonic()
        return self._expires

    def keep_alive(self) -> None:
        """Renew it for as long as it was taken for, once a quarter of that has gone: for who calls often, as at each chunk of a stream.

        Raises:
            LeaseExpiredError: it has expired already, or was ended.
        """
        if time.monotonic() - self._renewed > self._ttl / 4:
            self.renew(self._ttl)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the lease.

        Raises:
            LeaseExpiredError: it had expired, and the block does not end with an error of its own: what it held may be gone.
        """
        if not self._bind.write(leases.remove, self.id).was_alive and error is None:
            raise LeaseExpiredError(self.id)


class Leases:
    """All leases of a store: `Store.leases`."""

    def __init__(self, bind: Bind) -> None:
        self._bind = bind

    def page(self, after: str = "", limit: int = 100) -> list[Lease]:
        """The next leases that have not expired, in the order of their IDs. Costs what it returns."""
        return self._bind.read(leases.page, check_lease(after), check_limit(limit))

    def delete(self, lease: str) -> None:
        """End a lease, as of a process that is gone for good. Commits. One statement by key.

        Raises:
            LeaseExpiredError: it has expired already, or was ended.
        """
        if not self._bind.write(leases.remove, check_lease(lease)).was_alive:
            raise LeaseExpiredError(lease)
