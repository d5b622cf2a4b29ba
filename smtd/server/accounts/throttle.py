"""Limit failed logins, by the name that they try and by the address that they come from. Pure.

Callers pass the time. The memory used is bounded. Names are kept only as salted hashes, because users
sometimes type their password as the name.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
import os
from collections import OrderedDict
from dataclasses import dataclass

from smtd.errors import SmtdError

#: Failures that cause no wait, by name and by address: a whole lab may share one address.
FREE_BY_NAME, FREE_BY_ADDRESS = 10, 20
#: Seconds to wait after the first failure beyond these; each further one doubles the wait, up to the longest.
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 60.0
#: Seconds without a failure after which the count of a name or address starts again.
FORGET = 900.0
#: How many names and addresses are remembered at most: those that failed last.
MOST = 20_000
#: The prefix length of the IPv6 network that one customer has.
_SITE = 64


class TooManyFailures(SmtdError):
    """Too many logins have failed; the client may try again after *seconds* (429, Retry-After)."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(f"too many failed logins; try again in {self.seconds} s")


@dataclass(frozen=True, slots=True)
class Failures:
    """How many logins have failed, and when the last did."""

    count: int
    last: float

    def wait(self, free: int, now: float) -> float:
        """Return the seconds that the next login has to wait (0: none); *free* failures cause no wait."""
        if self.count <= free:
            return 0.0
        doublings = min(self.count - free - 1, 30)
        return max(0.0, self.last + min(SHORTEST_WAIT * 2.0**doublings, LONGEST_WAIT) - now)


class Throttle:
    """The recent failed logins. Never waits, and never reads the clock."""

    def __init__(self) -> None:
        self._failures: OrderedDict[bytes, Failures] = OrderedDict()
        self._salt = os.urandom(16)

    def wait(self, name: str | None, address: str, now: float) -> float:
        """Return the seconds that a login with *name*, if any, from *address* has to wait; 0: none."""
        found = [(self._failures.get(key), free) for key, free in self._keys(name, address)]
        return max(failures.wait(free, now) if failures else 0.0 for failures, free in found)

    def failed(self, name: str | None, address: str, now: float) -> float:
        """Count such a login as failed, and return the seconds that the next one has to wait."""
        for key, _free in self._keys(name, address):
            former = self._failures.get(key)
            count = former.count if former is not None and now - former.last < FORGET else 0
            self._failures[key] = Failures(count + 1, now)
            self._failures.move_to_end(key)
        while len(self._failures) > MOST:
            self._failures.popitem(last=False)
        return self.wait(name, address, now)

    def __len__(self) -> int:
        return len(self._failures)

    def _keys(self, name: str | None, address: str) -> list[tuple[bytes, int]]:
        keys = [(self._key(f"address {site(address)}"), FREE_BY_ADDRESS)]
        return keys if name is None else [*keys, (self._key(f"name {name}"), FREE_BY_NAME)]

    def _key(self, text: str) -> bytes:
        words = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(words, key=self._salt, digest_size=16).digest()


def site(address: str) -> str:
    """Return the key under which *address* counts: itself, or for IPv6 the network of one customer.

    An IPv4 address that is mapped into IPv6 counts as the IPv4 address.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _SITE), strict=False))
