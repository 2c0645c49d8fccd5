"""The REST resources of checks, /api/v1/checks, and the document that describes the API."""

import asyncio
import re
import shutil
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import web

from stream.check.page import html
from stream.panel.jobs import BusyError, Job, Jobs
from stream.panel.openapi import document
from stream.panel.upload import receive
from stream.relay.access import Role
from stream.relay.requests import REGISTRY, RequestError, address_of, need, who

JOBS = web.AppKey("jobs", Jobs)
UPLOADS = web.AppKey("uploads", asyncio.Semaphore)
AT_ONCE = 4  # uploads
COST = 4.0  # of an upload, in requests of the address's budget
RETRY = "10"  # s that a client is told to wait
_ID = re.compile(r"[A-Za-z0-9_-]{10,64}")
_PICTURE = re.compile(r"(picture|(key|crop|map)-\d{1,3})")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_checks(app: web.Application, jobs: Jobs, history: bool = False, login: bool = False) -> None:
    """Serve checks: upload, progress, result, report, pictures; and the document of the whole API.

    history, login: whether these resources are there too.
    """
    app[JOBS], app[UPLOADS] = jobs, asyncio.Semaphore(AT_ONCE)
    one = "/api/v1/checks/{id:[^/]+}"
    routes: tuple[tuple[str, str, Handler], ...] = (
        ("POST", "/api/v1/checks", post),
        ("GET", "/api/v1/checks", listed),
        ("GET", one, got),
        ("DELETE", one, deleted),
        ("GET", f"{one}/report", report),
        ("GET", f"{one}/pictures/{{name:[^/]+}}", picture),
    )
    for method, path, handler in routes:
        app.router.add_route(method, path, _for_watchers(handler))
    told = document(jobs.options.limits.bytes, history, login)

    async def described(request: web.Request) -> web.Response:
        return web.json_response(told)

    app.router.add_get("/api/v1/openapi.json", described)


def _for_watchers(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        need(request, Role.WATCH)
        return await handler(request)

    return guarded


async def post(request: web.Request) -> web.Response:
    """Take a file in and queue its check: 202 with the check, and where it is."""
    jobs, uploads = request.app[JOBS], request.app[UPLOADS]
    wait = request.app[REGISTRY].limits.take(address_of(request), COST)
    if wait:
        raise RequestError(429, "too many requests", {"Retry-After": str(int(wait) + 1)})
    if jobs.full or uploads.locked():
        raise RequestError(503, "as many checks wait as may wait", {"Retry-After": RETRY})
    async with uploads:
        folder, path = await receive(request, jobs.options.limits.bytes)
    try:
        job = jobs.add(folder, path, who(request))
    except BusyError:
        shutil.rmtree(folder, ignore_errors=True)
        raise RequestError(503, "as many checks wait as may wait", {"Retry-After": RETRY}) from None
    return web.json_response(job.to_json(), status=202, headers={"Location": f"/api/v1/checks/{job.id}"})


async def listed(request: web.Request) -> web.Response:
    """The checks that are kept here, the newest first: one's own, or all for who is nobody in particular."""
    jobs = request.app[JOBS].all(who(request) or None)
    return web.json_response({"checks": [job.to_json() for job in jobs]})


async def got(request: web.Request) -> web.Response:
    """One check, with its report once it is done."""
    return web.json_response(_job(request).to_json())


async def deleted(request: web.Request) -> web.Response:
    """Forget a check; one that runs is ended."""
    request.app[JOBS].remove(_job(request).id)
    return web.Response(status=204)


async def report(request: web.Request) -> web.Response:
    """The report as one page, to be kept."""
    job = _job(request)
    if job.checked is None:
        raise RequestError(409, "the check is not done yet")
    text = await asyncio.to_thread(html, [job.checked])
    name = quote(f"{job.name}.report.html")
    kept = f"attachment; filename=\"report.html\"; filename*=UTF-8''{name}"
    return web.Response(text=text, content_type="text/html", headers={"Content-Disposition": kept})


async def picture(request: web.Request) -> web.Response:
    """One of a check's pictures: picture, key-N, crop-N, map-N."""
    job, name = _job(request), request.match_info["name"]
    data = job.checked.pictures.get(name) if job.checked and _PICTURE.fullmatch(name) else None
    if data is None:
        raise RequestError(404, "no such picture")
    return web.Response(body=data, content_type="image/jpeg")


def _job(request: web.Request) -> Job:
    """The check that the URL names, if it is the asker's. Raises RequestError 404."""
    name, user = request.match_info["id"], who(request)
    job = request.app[JOBS].get(name) if _ID.fullmatch(name) else None
    if job is None or (user and job.by != user):
        raise RequestError(404, "no such check; results are kept for an hour")
    return job
