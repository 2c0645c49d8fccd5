"""The relay's HTTP application: routes, and what holds for every request."""

import logging
import time
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from stream.relay import requests, whep, whip
from stream.relay.access import Access, Role
from stream.relay.events import sse
from stream.relay.limits import Full
from stream.relay.registry import Registry
from stream.relay.requests import ACCESS, REGISTRY, RequestError, need
from stream.relay.sdp import Refused

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NAME = "{name:[A-Za-z0-9._-]{1,64}}"
PAGE = Path(str(files("stream.relay") / "page"))
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'self'; media-src 'self' blob: mediastream:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
    "Cache-Control": "no-store",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "600",
}
_HOSTS = web.AppKey("hosts", frozenset)  # names that a Host header may carry; empty: any
_ORIGINS = web.AppKey("origins", frozenset)  # of other sites that may ask


def make_app(
    registry: Registry, access: Access, hosts: Collection[str] = (), origins: Collection[str] = ()
) -> web.Application:
    """The application. hosts: names that it answers to, none for any; against DNS rebinding.

    origins: other sites whose scripts may use it (CORS); none by default.
    """
    app = web.Application(middlewares=[_guard], client_max_size=requests.LONGEST)
    app[REGISTRY], app[ACCESS] = registry, access
    app[_HOSTS], app[_ORIGINS] = frozenset(hosts), frozenset(origins)
    for kind, role, handler in (("whip", Role.PUBLISH, whip.publish), ("whep", Role.WATCH, whep.view)):
        app.router.add_post(f"/{kind}/{NAME}", _for(handler, role))
        app.router.add_options(f"/{kind}/{NAME}", requests.options)
        session = f"/{kind}/{NAME}/{{session:[A-Za-z0-9_-]{{1,64}}}}"
        app.router.add_patch(session, _for(requests.trickle, role))
        app.router.add_delete(session, _for(requests.delete, role))
    app.router.add_get("/api/streams", _for(_streams, Role.WATCH))
    app.router.add_get("/api/alerts", _for(_alerts, Role.WATCH))
    app.router.add_get("/api/events", _for(_events, Role.WATCH))
    app.router.add_get("/api/ice", _for(_ice, Role.WATCH, Role.PUBLISH))
    app.router.add_delete(f"/api/streams/{NAME}", _for(_end, Role.ADMIN))
    app.router.add_get("/healthz", _healthy)
    for path, file in (("/", "index.html"), ("/call", "call.html")):
        app.router.add_get(path, _file(file))
    app.router.add_get("/assets/{file:[A-Za-z0-9._-]{1,64}}", _asset)
    return app


def _for(handler: Handler, *roles: Role) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        need(request, *roles)
        return await handler(request)

    return guarded


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors become JSON of one line, strangers are kept out, headers are added."""
    try:
        origin = _check_site(request)
        preflight = origin is not None and request.method == "OPTIONS"
        response = web.Response(status=204, headers=_PREFLIGHT) if preflight else await handler(request)
    except RequestError as error:
        origin, response = None, _error(error.status, error.text, error.headers)
    except Refused as error:
        origin, response = None, _error(error.status, error.text)
    except Full as error:
        origin, response = None, _error(error.status, error.text, {"Retry-After": str(error.retry_after)})
    except web.HTTPException as error:
        kept = {name: value for name, value in error.headers.items() if name == "Allow"}
        origin, response = None, _error(error.status, error.reason, kept)
    except Exception:
        log.exception("a request failed: %s %s", request.method, request.rel_url.path)
        origin, response = None, _error(500, "something went wrong here")
    if not response.prepared:
        response.headers.update(_headers(origin))
    return response


def _headers(origin: str | None) -> dict[str, str]:
    if origin is None:
        return _SECURITY
    exposed = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    return _SECURITY | exposed | {"Access-Control-Expose-Headers": "Location, ETag, Link"}


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


def _check_site(request: web.Request) -> str | None:
    """Keep other sites' scripts out. Returns an allowed site's origin. Raises RequestError 403."""
    host = urlsplit(f"//{request.host}").hostname or ""
    if request.app[_HOSTS] and host not in request.app[_HOSTS]:
        raise RequestError(403, "this relay is not called so")
    origin = request.headers.get("Origin")
    if origin is None or urlsplit(origin).netloc == request.host:
        return None
    if origin not in request.app[_ORIGINS]:
        raise RequestError(403, "scripts of other sites are kept out")
    return origin


async def _streams(request: web.Request) -> web.Response:
    return web.json_response({"schema": 1, "streams": request.app[REGISTRY].rows()})


async def _alerts(request: web.Request) -> web.Response:
    return web.json_response(request.app[REGISTRY].hub.recent_alerts())


async def _ice(request: web.Request) -> web.Response:
    return web.json_response({"iceServers": request.app[REGISTRY].ice.servers(time.time())})


async def _end(request: web.Request) -> web.Response:
    registry = request.app[REGISTRY]
    channel = registry.channels.get(request.match_info["name"])
    if channel is None:
        raise RequestError(404, "no such stream")
    registry.end(channel)
    return web.Response(status=204)


async def _healthy(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _events(request: web.Request) -> web.StreamResponse:
    return await sse(request, request.app[REGISTRY].hub, request.query.get("stream"))


def _file(name: str) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        path = PAGE / name
        if not path.is_file():
            raise RequestError(404, "the page is not installed")
        return web.FileResponse(path)

    return handler


async def _asset(request: web.Request) -> web.StreamResponse:
    path = PAGE / request.match_info["file"]
    if not path.is_file() or path.suffix == ".py":
        raise RequestError(404, "no such file")
    return web.FileResponse(path)
