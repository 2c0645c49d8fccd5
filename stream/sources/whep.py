"""A live stream pulled from a media server by WHEP (draft-ietf-wish-whep), received by aiortc.

whep+https://:TOKEN@host/path; a token stands where a password would. `?stun=host:port` names a STUN server to
ask for our own address; without it none is asked.
"""

from collections.abc import Generator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from stream.errors import Unreachable
from stream.sources import SourceOptions, display_name
from stream.values import Frame

if TYPE_CHECKING:
    from stream.whep_session import Endpoint

SCHEMES = ("whep+http", "whep+https")
LIVE = True


def endpoint(url: str) -> "Endpoint":
    """What a whep+http(s) URL says. Raises Unreachable where there is no host in it."""
    from stream.whep_session import Endpoint

    try:
        parts = urlsplit(url[len("whep+") :])
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host:
        raise Unreachable(f"{display_name(url)}: there is no host in this URL")
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    query = parse_qsl(parts.query, keep_blank_values=True)
    stun = next((value for key, value in query if key == "stun"), "")
    rest = urlencode([(key, value) for key, value in query if key != "stun"])
    token = unquote(parts.password or parts.username or "")
    return Endpoint(urlunsplit((parts.scheme.lower(), place, parts.path or "/", rest, "")), token, stun)


def frames(url: str, options: SourceOptions) -> Generator[Frame, None, None]:
    """Each newest picture of a WHEP stream; those that came while nobody asked are left out.

    Raises Unauthorized (401, 403), NotFound (404), NoVideoStream, Unreachable (no server, no media
    connection, no picture within `options.open_timeout` s), Frozen after `options.stall` s without one, and
    Ended when the server ends the stream.
    """
    from stream.whep_session import Session  # here, because every reader imports this module

    name = display_name(url)
    pull = Session(endpoint(url), name, options)
    try:
        while True:
            yield pull.take()
    finally:
        pull.close()
