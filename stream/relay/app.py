"""The relay's HTTP application: routes, and what holds for every request."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from stream.panel.panel import Panel
from stream.panel.past import add_history
from stream.panel.routes import add_checks
from stream.panel.sessions import add_sessions, recognise
from stream.relay import requests, whep, whip
from stream.relay.access import Access, Role
from stream.relay.doorway import SECURITY, error
from stream.relay.events import sse
from stream.relay.limits import Full
from stream.relay.registry import Registry
from stream.relay.requests import ACCESS, LOGIN, REGISTRY, NotKnownError, RequestError, need
from stream.relay.sdp import Refused
from stream.relay.settings import STREAM

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NAME = f"{{name:{STREAM}}}"
PAGE = Path(str(files("stream.relay") / "page"))
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Max-Age": "600",
}
_HOSTS = web.AppKey("hosts", frozenset)  # names that a Host header may carry; empty: any
_ORIGINS = web.AppKey("origins", frozenset)  # of other sites that may ask


def make_app(
    registry: Registry,
    access: Access,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    panel: Panel | None = None,
) -> web.Application:
    """The application. hosts: names that it answers to, none for any; against DNS rebinding.

    origins: other sites whose scripts may use it (CORS); none by default.
    panel: checks, history, accounts; it is closed with the application.
    """
    app = web.Application(middlewares=[_guard], client_max_size=requests.LONGEST)
    app.on_response_prepare.append(_protect)
    app.on_shutdown.append(_end_events)
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
    pages = [("/", "index.html"), ("/call", "call.html"), *_add_panel(app, panel or Panel())]
    for path, file in pages:
        app.router.add_get(path, _file(file))
    app.router.add_get("/assets/{file:[A-Za-z0-9._-]{1,64}}", _asset)
    return app


def _add_panel(app: web.Application, panel: Panel) -> list[tuple[str, str]]:
    """Serve what there is of it; returns the further pages."""
    pages = []
    if panel.jobs is not None:
        add_checks(app, panel.jobs, panel.history is not None, panel.accounts is not None)
        pages.append(("/check", "check.html"))
    if panel.history is not None:
        add_history(app, panel.history)
        pages.append(("/history", "history.html"))
    if panel.accounts is not None:
        app[LOGIN] = "/login"
        pages.append(("/login", "login.html"))
    add_sessions(app, panel.accounts, [path for path, _ in pages])

    async def close(app: web.Application) -> None:
        await asyncio.to_thread(panel.close)

    app.on_cleanup.append(close)
    return pages


def _for(handler: Handler, *roles: Role) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        need(request, *roles)
        return await handler(request)

    return guarded


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors become JSON of one line, strangers are kept out."""
    try:
        if _check_site(request) is not None and request.method == "OPTIONS":
            return web.Response(status=204, headers=_PREFLIGHT)
        await recognise(request)
        return await handler(request)
    except NotKnownError as problem:
        return error(problem.status, problem.text, problem.headers, request.app.get(LOGIN))
    except RequestError as problem:
        return error(problem.status, problem.text, problem.headers)
    except Refused as problem:
        return error(problem.status, problem.text)
    except Full as problem:
        return error(problem.status, problem.text, {"Retry-After": str(problem.retry_after)})
    except web.HTTPException as problem:
        kept = {name: value for name, value in problem.headers.items() if name == "Allow"}
        return error(problem.status, problem.reason, kept)
    except (ConnectionError, web.RequestPayloadError):  # the client has gone, or sent no sound chunks
        return error(400, "the request broke off")
    except Exception:
        log.exception("a request failed: %s %s", request.method, request.rel_url.raw_path)
        return error(500, "something went wrong here")


async def _protect(request: web.Request, response: web.StreamResponse) -> None:
    """The headers of every answer, those included that a handler begins to send by itself."""
    response.headers.update(SECURITY)
    origin = request.headers.get("Origin")
    if origin is not None and origin in request.app[_ORIGINS]:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Location, ETag, Link"
        response.headers["Vary"] = "Origin"


def _check_site(request: web.Request) -> str | None:
    """Keep other sites' scripts out. Returns an allowed site's origin. Raises RequestError 400, 403."""
    named, origin = request.headers.getall("Host", []), request.headers.get("Origin")
    try:
        host = urlsplit(f"//{named[0]}").hostname if len(named) == 1 else None
        site = None if origin is None else urlsplit(origin).netloc
    except ValueError:
        host = None
    if not host:  # aiohttp would look one up in the DNS, and wait for it
        raise RequestError(400, "one sound Host header is needed, and at most a sound Origin")
    if request.app[_HOSTS] and host not in request.app[_HOSTS]:
        raise RequestError(403, "this relay is not called so")
    if origin is None or site == named[0]:
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
    stream = request.query.get("stream")
    if stream is not None and not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", stream):
        raise RequestError(400, "no stream is called so")
    return await sse(request, request.app[REGISTRY].hub, stream)


async def _end_events(app: web.Application) -> None:
    app[REGISTRY].hub.close()


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
