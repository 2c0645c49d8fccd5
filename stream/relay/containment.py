"""What aiortc neither bounds nor survives by itself: packets of nonsense, endless messages, errors of tasks.

A session that sends such things must harm nobody but itself, and must not fill the log.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import aioice.ice
from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCSctpTransport

log = logging.getLogger(__name__)

_Handle = Callable[..., Coroutine[Any, Any, None]]

NONSENSE = 200  # packets that nobody can understand, after which a session is over
UNFINISHED = 65_536  # bytes of messages that a client has begun and not ended; it has none to send at all
CHANNELS = 16  # data channels that a client may use; it needs one


def contain(peer: RTCPeerConnection, give_up: Callable[[], None]) -> None:
    """Guard a connection that has taken its offer and has not begun. give_up: ends it."""
    transports = {transceiver.receiver.transport for transceiver in peer.getTransceivers()}
    if peer.sctp is not None:
        transports.add(peer.sctp.transport)
        _contain_data(peer.sctp, give_up)
    for transport in transports:
        _contain_media(transport, give_up)


class Datagrams(aioice.ice.StunProtocol):
    """One socket of ICE. What is neither STUN nor comes from where the client was found is dropped.

    aioice hands all else on, wherever it comes from; an empty datagram of a stranger ends aiortc's session.
    """

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Something has come (RFC 7983, section 7, tells what)."""
        try:
            if data and (_is_stun(data) or self._comes_from_client(addr)):
                super().datagram_received(data, addr)
        except Exception as error:
            log.debug("a datagram was dropped: %s", _where(error))

    def _comes_from_client(self, addr: tuple[Any, ...]) -> bool:
        pairs = self.receiver._check_list
        return any(pair.protocol is self and pair.remote_addr == (addr[0], addr[1]) for pair in pairs)


def install() -> None:
    """Let aioice use Datagrams; there is no other place to say so."""
    aioice.ice.StunProtocol = Datagrams  # type: ignore[misc]


def _is_stun(data: bytes | str) -> bool:
    return isinstance(data, bytes) and data[0] < 4


def _contain_media(transport: RTCDtlsTransport, give_up: Callable[[], None]) -> None:
    """aiortc's loop over the packets ends with a traceback for, say, a header extension of a wrong length."""
    allowed = _Patience(give_up)
    transport._handle_rtp_data = allowed.survive(transport._handle_rtp_data)  # type: ignore[method-assign]
    transport._handle_rtcp_data = allowed.survive(transport._handle_rtcp_data)  # type: ignore[method-assign]


def _contain_data(sctp: RTCSctpTransport, give_up: Callable[[], None]) -> None:
    """aiortc keeps fragments without end, and looks through them all for each one that comes."""
    allowed = _Patience(give_up)
    window = sctp._advertised_rwnd
    handle = allowed.survive(sctp._handle_data)

    async def bounded(data: bytes) -> None:
        if window - sctp._advertised_rwnd > UNFINISHED or len(sctp._inbound_streams) > CHANNELS:
            give_up()
            return
        await handle(data)

    sctp._handle_data = bounded  # type: ignore[method-assign]


class _Patience:
    """Lets a number of packets go wrong, each without a consequence, then gives up."""

    def __init__(self, give_up: Callable[[], None]) -> None:
        self._give_up, self._left = give_up, NONSENSE

    def survive(self, handle: _Handle) -> _Handle:
        """`handle`, which no packet can make raise."""

        async def careful(*args: Any, **more: Any) -> None:
            try:
                await handle(*args, **more)
            except ConnectionError:  # the transport's own way to end
                raise
            except Exception as error:
                log.debug("a packet was dropped: %s", _where(error))
                self._left -= 1
                if self._left == 0:
                    log.warning("a client sends packets that cannot be understood; its session ends")
                    self._give_up()

        return careful


def tell_briefly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler: one line, with the place, for what nobody was there to catch."""
    error = context.get("exception")
    if error is None:
        log.error("in the background: %s", context.get("message", "something failed"))
    else:
        log.error("in the background: %s", _where(error), exc_info=error if log.isEnabledFor(10) else None)


def _where(error: BaseException) -> str:
    """An error in one line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}{place}"
