"""All channels and sessions of a relay, bounded; what is overdue or gone is cleared away."""

import asyncio
import contextlib
import gc
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.identity.match import Person
from stream.memory import give_back
from stream.networks import Networks
from stream.relay.access import Role
from stream.relay.analysing import Analyst
from stream.relay.channel import Channel
from stream.relay.events import Hub
from stream.relay.frames import Feed
from stream.relay.ice import IceServers
from stream.relay.limits import Limits
from stream.relay.peer import Peer
from stream.sinks import Dispatcher
from stream.values import Health
from stream.views import View

log = logging.getLogger(__name__)

_JOIN = 3.0  # s for the end of all threads
_ROUND = 0.5  # s between two looks for what is overdue
ABANDONED = 60.0  # s without a picture after which a publisher's name is free again
TAKEN_OVER = 4.0  # s without a picture after which another may publish under the name


@dataclass(slots=True)
class Session:
    """A WHIP or WHEP session: the HTTP resource of one peer."""

    id: str
    role: Role
    stream: str
    peer: Peer
    etag: str
    channel: Channel | None = None
    credentials: tuple[str, str] | None = None  # ICE user and password of the client's offer


@dataclass(frozen=True, slots=True)
class Analysis:
    """How the streams of a relay are analysed."""

    networks: Networks
    dispatcher: Dispatcher
    cooldown: float  # s
    rate: float | None = None  # frames a second at most
    explain: bool = False  # heat is shown
    expected: Mapping[str, Person] = field(default_factory=dict)  # who should be in a stream, by its name


class Registry:
    """What is going on. All on the event loop."""

    def __init__(
        self,
        hub: Hub,
        limits: Limits,
        ice: IceServers,
        analysis: Analysis | None,
        view: Callable[[str], View] | None = None,
    ) -> None:
        """analysis: None where streams bring results along. view: makes the push of a stream by its name."""
        self.hub, self.limits, self.ice = hub, limits, ice
        self._analysis, self._view = analysis, view
        self.channels: dict[str, Channel] = {}
        self.sessions: dict[str, Session] = {}
        self._ended: list[Channel] = []  # whose threads may still run
        self._round: asyncio.Task[None] | None = None

    @property
    def takes_video(self) -> bool:
        """Whether one may publish here."""
        return self._analysis is not None

    def start(self) -> None:
        """Begin to look for what is overdue."""
        self._round = asyncio.ensure_future(self._look())

    def open(self, name: str, source: str) -> Channel:
        """A new channel that is analysed here, once `begin` is called. The name must be free."""
        assert self._analysis is not None
        networks, explain = self._analysis.networks, self._analysis.explain
        health = Health(source, networks.provider, False, 0.0, None, 0, 0, explain=explain)
        channel = Channel(name, health, networks.label, self.hub)
        self.add(channel)
        return channel

    def begin(self, channel: Channel) -> None:
        """Media comes: analyse it, and push it on where that was asked for."""
        if self._analysis is None or channel.frames.ended:
            return
        given = self._analysis
        feed = Feed(channel.frames, given.rate)
        person = given.expected.get(channel.name)
        analyst = Analyst(channel, feed, given.networks, given.dispatcher, given.cooldown, person)
        channel.on_end.append(analyst.close)
        channel.add_thread(analyst.thread)
        if self._view is not None:
            channel.push(self._view(channel.name))

    def free(self, name: str) -> bool:
        """Whether a publisher may have the name; one who has fallen silent loses it to the next."""
        channel = self.channels.get(name)
        if channel is None:
            return True
        if channel.published and channel.frames.count and channel.frames.silence > TAKEN_OVER:
            self.end(channel)
            return True
        return False

    def add(self, channel: Channel) -> None:
        """A channel that was made elsewhere."""
        self.channels[channel.name] = channel

    def end(self, channel: Channel) -> None:
        """A stream is over: its sessions are closed, its name is free."""
        if self.channels.get(channel.name) is channel:
            del self.channels[channel.name]
        if channel.frames.ended:
            return
        channel.end()
        self._ended.append(channel)
        for session in [s for s in self.sessions.values() if s.channel is channel]:
            self.close(session)

    def admit(self, role: Role, stream: str, address: str | None) -> Session:
        """A new session with its peer. Raises limits.Full."""
        id = secrets.token_urlsafe(18)
        self.limits.open(id, role, address)
        peer = Peer(self.ice.own(time.time()), self.hub, stream)
        session = Session(id, role, stream, peer, f'"{secrets.token_hex(8)}"')
        self.sessions[id] = session
        peer.on_connected.append(lambda: self.limits.connected(id))
        peer.on_gone.append(lambda: self._forget(session))
        return session

    def close(self, session: Session) -> None:
        """End a session; does not wait for it."""
        self._forget(session)
        session.peer.close_soon()

    async def shut(self) -> None:
        """End everything."""
        if self._round is not None:
            self._round.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._round
        peers = [session.peer for session in self.sessions.values()]
        for channel in list(self.channels.values()):
            self.end(channel)
        for session in list(self.sessions.values()):
            self.close(session)
        await asyncio.gather(*(peer.close() for peer in peers), return_exceptions=True)
        # Alerts that are open get closed, and no thread is torn out of a network's code.
        await asyncio.to_thread(_join, [t for channel in self._ended for t in channel.threads])
        self.hub.close()

    def rows(self) -> list[dict[str, Any]]:
        """All streams, by name."""
        return [self.channels[name].row() for name in sorted(self.channels)]

    def _forget(self, session: Session) -> None:
        self.sessions.pop(session.id, None)
        self.limits.closed(session.id)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_ROUND)
            for id in self.limits.overdue():
                if id in self.sessions:
                    log.info("a session was begun and never connected")
                    self.close(self.sessions[id])
            ended, self._ended = self._ended, [channel for channel in self._ended if channel.threads]
            if len(self._ended) < len(ended):
                await asyncio.to_thread(_collect)
            for channel in list(self.channels.values()):
                channel.watch()
                if channel.published and channel.frames.silence > ABANDONED:
                    log.info("%s: no picture for %.0f s, ended", channel.name, ABANDONED)
                    self.end(channel)


def _collect() -> None:
    """Let go of peers and channels that hold each other, which Python alone would do much later."""
    gc.collect()
    give_back()


def _join(threads: list[threading.Thread]) -> None:
    end = time.monotonic() + _JOIN
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
