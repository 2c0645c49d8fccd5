"""What the HTTP resources of the relay have in common: bodies read with a bound, answers, sessions' ends."""

import asyncio
import time

from aiohttp import web

from stream.relay import sdp
from stream.relay.access import Access, Role
from stream.relay.registry import Registry, Session

_PATIENCE = 10.0  # s for a body
LONGEST = 64 << 10  # bytes of an offer or a fragment
SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"

REGISTRY = web.AppKey("registry", Registry)
ACCESS = web.AppKey("access", Access)
LOGIN = web.AppKey("login", str)  # the path of the page to log in at, where there is one


class RequestError(Exception):
    """A request that is answered with a status of 4xx or 5xx and one line."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or {}


class NotKnownError(RequestError):
    """Nobody knows who asks."""

    def __init__(self, text: str) -> None:
        super().__init__(401, text, {"WWW-Authenticate": 'Bearer realm="facewitness"'})


def address_of(request: web.Request) -> str | None:
    """Who asks, as far as the socket tells."""
    return request.remote


def who(request: web.Request) -> str:
    """The user who is logged in; "" for nobody in particular: no log-in is asked for, or a token was sent."""
    user = request.get("user")
    return user.name if user is not None else ""


def need(request: web.Request, *roles: Role) -> None:
    """Let only those in who may act in one of the roles. Raises RequestError 401."""
    access, header = request.app[ACCESS], request.headers.get("Authorization")
    if header is None and request.path == "/api/events" and "token" in request.query:
        header = f"Bearer {request.query['token']}"  # an EventSource cannot send headers
    if any(access.allows(role, header) for role in roles):
        return
    user = request.get("user")
    if user is not None:
        if any(user.may(role) for role in roles):
            return
        raise RequestError(403, f"the user {user.name} may not do that")
    wait = request.app[REGISTRY].limits.take(address_of(request))
    if wait:
        raise RequestError(429, "too many requests", {"Retry-After": str(int(wait) + 1)})
    raise NotKnownError("a log-in is needed" if LOGIN in request.app else "a token is needed")


async def body_of(request: web.Request, kind: str) -> bytes:
    """The body, of one content type and bounded length. Raises RequestError 413, 415."""
    if request.content_type != kind:
        raise RequestError(415, f"the body must be {kind}")
    if (request.content_length or 0) > LONGEST:
        raise RequestError(413, f"the body is longer than {LONGEST} bytes")
    body = b""
    try:
        async with asyncio.timeout(_PATIENCE):
            while len(body) <= LONGEST and not request.content.at_eof():
                body += await request.content.read(LONGEST + 1)
    except TimeoutError:
        raise RequestError(408, "the body did not come in time") from None
    if len(body) > LONGEST:
        raise RequestError(413, f"the body is longer than {LONGEST} bytes")
    return body


async def offer_in(request: web.Request) -> bytes:
    """The offer of a POST that opens a session; each costs its address something. Raises RequestError."""
    wait = request.app[REGISTRY].limits.take(address_of(request))
    if wait:
        raise RequestError(429, "too many requests", {"Retry-After": str(int(wait) + 1)})
    return await body_of(request, SDP)


def answered(request: web.Request, session: Session, answer: str) -> web.Response:
    """201 with the answer and where the session is (RFC 9725 section 4.2)."""
    response = web.Response(status=201, text=answer, content_type=SDP)
    response.headers["Location"] = f"{request.path}/{session.id}"
    response.headers["ETag"] = session.etag
    for link in request.app[REGISTRY].ice.links(time.time()):
        response.headers.add("Link", link)
    return response


async def options(request: web.Request) -> web.Response:
    """OPTIONS /whip/NAME: what can be posted there."""
    return web.Response(status=204, headers={"Accept-Post": SDP, "Allow": "OPTIONS, POST"})


async def trickle(request: web.Request) -> web.Response:
    """PATCH of a session: further candidates of the client (RFC 9725 section 4.3, RFC 8840)."""
    session = session_of(request)
    match = request.headers.get("If-Match", session.etag)
    if match == "*":
        raise RequestError(422, "ICE restarts are not supported")
    if match != session.etag:
        raise RequestError(412, "the session is another by now")
    fragment = await body_of(request, FRAGMENT)
    found = sdp.candidates(fragment)
    if sdp.credentials(fragment) not in (None, session.credentials):
        raise RequestError(422, "ICE restarts are not supported")
    await session.peer.trickle(found)
    return web.Response(status=204)


async def delete(request: web.Request) -> web.Response:
    """DELETE of a session: it ends."""
    session = session_of(request)
    request.app[REGISTRY].close(session)
    await session.peer.close()
    return web.Response(status=200)


def session_of(request: web.Request) -> Session:
    """The session that a URL names. Raises RequestError 404."""
    session = request.app[REGISTRY].sessions.get(request.match_info["session"])
    if session is None or session.stream != request.match_info["name"]:
        raise RequestError(404, "no such session")
    role = Role.PUBLISH if request.path.startswith("/whip/") else Role.WATCH
    if session.role is not role:
        raise RequestError(404, "no such session")
    return session
