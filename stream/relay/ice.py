"""ICE servers as configured: STUN, and TURN with credentials that end soon. Pure."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

from aiortc import RTCIceServer
from aiortc.rtcicetransport import parse_stun_turn_uri

from stream.errors import ConfigError

_USER = "facewitness"


@dataclass(frozen=True, slots=True)
class IceServers:
    """What peers are told to find their way with. Nothing unless configured."""

    urls: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)  # shared with the TURN server
    lifetime: int = 3600  # s that a credential holds

    def __post_init__(self) -> None:
        """Raises ConfigError for a URL that cannot be, and for TURN without a secret."""
        for url in self.urls:
            try:
                parse_stun_turn_uri(url)
            except ValueError:
                raise ConfigError(f"--ice-server {url}: stun:HOST[:PORT] or turn[s]:HOST[:PORT]") from None
            if url.startswith("turn") and not self.secret:
                raise ConfigError(f"--ice-server {url}: TURN needs --turn-secret-file")

    def servers(self, now: float) -> list[dict[str, Any]]:
        """As RTCPeerConnection takes them in a browser. now: s since 1970.

        TURN's user name is the credential's end and a name, its password the HMAC-SHA1 of that
        (draft-uberti-behave-turn-rest-00, which coturn calls use-auth-secret).
        """
        found = []
        for url in self.urls:
            server: dict[str, Any] = {"urls": url}
            if url.startswith("turn") and self.secret:
                user = f"{int(now) + self.lifetime}:{_USER}"
                digest = hmac.new(self.secret.encode(), user.encode(), hashlib.sha1).digest()
                server |= {"username": user, "credential": base64.b64encode(digest).decode()}
            found.append(server)
        return found

    def own(self, now: float) -> list[RTCIceServer]:
        """As aiortc takes them. Empty, and not None, where none is configured: None means Google's."""
        return [RTCIceServer(**server) for server in self.servers(now)]

    def links(self, now: float) -> list[str]:
        """As values of Link headers (RFC 9725 section 4.6)."""
        links = []
        for server in self.servers(now):
            link = f'<{server["urls"]}>; rel="ice-server"'
            if "username" in server:
                link += f'; username="{server["username"]}"; credential="{server["credential"]}"'
                link += '; credential-type="password"'
            links.append(link)
        return links
