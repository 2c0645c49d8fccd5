"""Whether a peer is still there: RFC 7675's checks; what arrives counts too, from those who answer none.

FFmpeg's WHIP muxer (8 and 9) is such: it asks, but does not answer once media flows.
"""

import asyncio
import math
import random
import time

import aioice
import aiortc.rtcicetransport
from aioice import stun
from aioice.ice import CandidatePair

# RFC 7675 lets a peer be silent for 30 s. People in a call should not look at a frozen picture for so long:
# after three checks without an answer, about two seconds apart, it counts as gone.
INTERVAL = 2.0  # s, about, between two checks
FAILURES = 3  # in a row
RECENT = 1.0  # s; a peer that sends media sends something in this time


class Connection(aioice.Connection):
    """ICE as aioice does it, but for the consent to go on."""

    heard = -math.inf  # s, monotonic, when something came that was not STUN

    def data_received(self, data: bytes, component: int) -> None:
        """Media, a data channel's packet or DTLS has come."""
        self.heard = time.monotonic()
        super().data_received(data, component)

    async def query_consent(self) -> None:
        """Check again and again; close when the peer is gone."""
        failures = 0
        while failures < FAILURES:
            await asyncio.sleep(INTERVAL * random.uniform(0.8, 1.2))
            answers = [await self._answers(pair) for pair in list(self._nominated.values())]
            there = all(answers) or time.monotonic() - self.heard < RECENT
            failures = 0 if there else failures + 1
        self._query_consent_task = None  # close() must not wait for the task that runs it
        await self.close()

    async def _answers(self, pair: CandidatePair) -> bool:
        assert self.remote_password is not None
        try:
            await pair.protocol.request(
                self.build_request(pair, nominate=False),
                pair.remote_addr,
                integrity_key=self.remote_password.encode(),
                retransmissions=0,
            )
        except stun.TransactionError:
            return False
        return True


def install() -> None:
    """Let aiortc use it; there is no other place to say so."""
    aiortc.rtcicetransport.Connection = Connection  # type: ignore[misc,attr-defined]
