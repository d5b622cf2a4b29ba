"""Who may open the pages: links of one use, sessions, and processes of the same user."""

from __future__ import annotations

import os
import socket

import pytest

from smtd.daemon.pages.access import LIFETIME, LINK_LIFETIME, MOST_LINKS, MOST_SESSIONS, LinkAccess
from smtd.daemon.pages.peer import Peer, can_tell, is_welcome, peer_of


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(clock: Clock) -> LinkAccess:
    return LinkAccess(clock)


def test_link_can_be_used_for_a_minute(access: LinkAccess, clock: Clock) -> None:
    early, late = access.new_link(), access.new_link()

    clock.now += LINK_LIFETIME
    assert access.open(early) is not None
    clock.now += 1
    assert access.open(late) is None


def test_session_lasts_for_half_a_day(access: LinkAccess, clock: Clock) -> None:
    cookie = access.open(access.new_link())

    clock.now += LIFETIME
    assert access.session(cookie) is not None
    clock.now += 1
    assert access.session(cookie) is None


def test_each_session_has_a_token_of_its_own(access: LinkAccess) -> None:
    tokens = {
        session.token
        for _ in range(2)
        if (session := access.session(access.open(access.new_link()))) is not None
    }

    assert len(tokens) == 2


def test_oldest_links_and_sessions_make_room(access: LinkAccess) -> None:
    links = [access.new_link() for _ in range(MOST_LINKS + 1)]
    assert access.open(links[0]) is None
    assert access.open(links[1]) is not None

    cookies = [access.open(access.new_link()) for _ in range(MOST_SESSIONS)]
    more = access.open(access.new_link())

    assert access.session(cookies[0]) is None
    assert access.session(cookies[1]) is not access.session(more) is not None


@pytest.mark.skipif(not can_tell(os.getuid()), reason="the kernel of this machine does not tell it")
def test_kernel_tells_whose_a_connection_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = listener.getsockname()
        with socket.create_connection(here) as connection:
            there = connection.getsockname()
            assert peer_of(there, here) == Peer(os.getuid(), is_open=True)
        found = peer_of(there, here)

    assert found is not None
    assert not found.is_open


@pytest.mark.parametrize(
    ("peer", "welcome"),
    [
        (Peer(1000, is_open=True), True),
        (Peer(0, is_open=True), True),
        (Peer(1001, is_open=True), False),
        (Peer(0, is_open=False), False),  # a socket that its process has closed has no user any more
        (None, True),
    ],
)
def test_processes_of_the_user_and_of_root_are_welcome(peer: Peer | None, welcome: bool) -> None:
    assert is_welcome(peer, 1000) is welcome
