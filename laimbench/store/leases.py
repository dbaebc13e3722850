"""Who trains a run: leases that a heartbeat keeps alive, and tokens that keep those who lost theirs from writing.

A lease is stale when its process is known to be dead, or when no heartbeat was seen for STALE_S on the clock of the process that
wants it: clocks are never compared across machines, and one that jumps does no harm. Each claim has a higher token than the one
before (Gray & Cheriton 1989 on leases; Kleppmann 2016 on fencing).
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from laimbench.errors import LaimbenchError
from laimbench.store.owner import is_gone, own_name
from laimbench.store.schema import Lease
from laimbench.store.store import Claim, Store

HEARTBEAT_S = 10.0
STALE_S = 60.0
MOST_DEATHS = 5  # of processes at work on a run that got no further: it is their end


class Leases:
    """The leases that one sweep holds; use it as a context manager, which keeps a thread for the heartbeat and lets go of all at its end."""

    def __init__(self, store: Store, *, heartbeat_s: float = HEARTBEAT_S, stale_s: float = STALE_S):
        self._store, self._heartbeat_s, self._stale_s = store, heartbeat_s, stale_s
        self.owner = own_name()
        self._seen: dict[
            str, tuple[tuple[str, int, int, int], float]
        ] = {}  # heartbeats of others, and since when they stand
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Leases":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(LaimbenchError):  # a store that cannot be written: the leases go stale
            self.release()

    def claim(self, keys: list[str]) -> list[Claim] | None:
        """Take the leases of runs, all or none: None when another process holds one of them."""
        if any(self._held(lease) for lease in self._read(keys)):
            return None

        def work(session: Session) -> list[Claim] | None:
            leases = {lease.key: lease for lease in session.scalars(select(Lease).where(Lease.key.in_(keys)))}
            if any(self._held(lease) for lease in leases.values()):
                return None
            claims = []
            for key in keys:
                lease = leases.get(key)
                if lease is None:
                    lease = Lease(key=key, token=0, owner="", beats=0, deaths=0, reached=0)
                    session.add(lease)
                lease.deaths += bool(lease.owner)  # nobody let go of it
                lease.token, lease.owner, lease.beats = lease.token + 1, self.owner, 0
                claims.append(Claim(key, lease.token, self.owner, lease.deaths))
            return claims

        return self._store.write(work)

    def release(self, claims: list[Claim] | None = None) -> None:
        """Let go of these leases, by default of all, as far as they are still held: those of finished runs are not."""
        query = update(Lease).where(Lease.owner == self.owner).values(owner="")
        if claims is not None:
            query = query.where(Lease.key.in_([claim.key for claim in claims]))
            if not any(lease.owner == self.owner for lease in self._read([claim.key for claim in claims])):
                return
        self._store.write(lambda session: session.execute(query))

    def _read(self, keys: list[str]) -> list[Lease]:
        query = select(Lease).where(Lease.key.in_(keys))
        return self._store.read(lambda session: list(session.scalars(query)))

    def _held(self, lease: Lease) -> bool:
        if lease.owner in ("", self.owner):
            return False
        # While a server is away no heart can beat: all begin anew with it.
        now, beat = time.monotonic(), (lease.owner, lease.token, lease.beats, self._store.outages)
        before, since = self._seen.get(lease.key, (None, now))
        if before != beat:
            self._seen[lease.key] = beat, now
            since = now
        return not is_gone(lease.owner) and now - since < self._stale_s

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_s):
            query = update(Lease).where(Lease.owner == self.owner).values(beats=Lease.beats + 1)
            with suppress(LaimbenchError):  # not this time: the next one does
                self._store.write(lambda session, query=query: session.execute(query), patience_s=0)


@dataclass(frozen=True)
class LeaseRow:
    """What others may know of a run at work. alive: its process is not known to be dead."""

    key: str
    reached: int
    beats: int
    deaths: int
    alive: bool


def leases_of(store: Store) -> dict[str, LeaseRow]:
    """Return the leases that are held, by key."""
    held = store.read(lambda session: list(session.scalars(select(Lease).where(Lease.owner != ""))))
    return {
        lease.key: LeaseRow(lease.key, lease.reached, lease.beats, lease.deaths, not is_gone(lease.owner))
        for lease in held
    }
