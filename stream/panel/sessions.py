"""Log-in and log-out, /api/v1/session, and who a request's cookie says is asking."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import web

from stream.accounts.values import TooManyTries, User, WrongPassword
from stream.errors import OutputError
from stream.relay.requests import RequestError, address_of, body_of

if TYPE_CHECKING:
    from stream.accounts.store import Accounts

ACCOUNTS: "web.AppKey[Accounts]" = web.AppKey("accounts")
PAGES: "web.AppKey[tuple[str, ...]]" = web.AppKey("pages")
COOKIE = "facewitness"
PATH = "/api/v1/session"
LASTS = 7 * 86400  # s that a browser keeps the cookie; a session is over by then


def add_sessions(app: web.Application, accounts: "Accounts | None", pages: Sequence[str]) -> None:
    """Tell every page who is logged in and which pages there are; with accounts let people log in."""
    app[PAGES] = tuple(pages)
    app.router.add_get(PATH, who_is_it)
    if accounts is not None:
        app[ACCOUNTS] = accounts
        app.router.add_post(PATH, log_in)
        app.router.add_delete(PATH, log_out)


async def recognise(request: web.Request) -> None:
    """Put the user whose session the cookie names into the request, if there is one.

    Raises RequestError 503.
    """
    token = request.cookies.get(COOKIE)
    if token is None or ACCOUNTS not in request.app:
        return
    try:
        user = await asyncio.to_thread(request.app[ACCOUNTS].session, token, time.time())
    except OutputError:
        raise _away() from None
    if user is not None:
        request["user"] = user


async def who_is_it(request: web.Request) -> web.Response:
    """The user of this session, and the pages of this server."""
    told = _told(request.get("user")) | {"login": ACCOUNTS in request.app}
    pages = request.app[PAGES]
    return web.json_response({**told, "pages": list(pages)})


async def log_in(request: web.Request) -> web.Response:
    """Open a session: its token is in a cookie that no script can read."""
    name, password = _words(await body_of(request, "application/json"))
    accounts, address = request.app[ACCOUNTS], address_of(request) or ""
    try:
        token = await asyncio.to_thread(accounts.login, name, password, time.time(), address)
        user = await asyncio.to_thread(accounts.session, token, time.time())
    except WrongPassword:
        raise RequestError(401, "no such user, or another password") from None
    except TooManyTries as error:
        wait = {"Retry-After": str(int(error.retry_after) + 1)}
        raise RequestError(429, "too many tries; wait a little", wait) from None
    except OutputError:
        raise _away() from None
    response = web.json_response(_told(user))
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    response.set_cookie(
        COOKIE, token, max_age=LASTS, httponly=True, samesite="Strict", secure=secure, path="/"
    )
    return response


async def log_out(request: web.Request) -> web.Response:
    """End the session."""
    token = request.cookies.get(COOKIE)
    try:
        if token is not None:
            await asyncio.to_thread(request.app[ACCOUNTS].logout, token)
    except OutputError:
        raise _away() from None
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path="/")
    return response


def _words(body: bytes) -> tuple[str, str]:
    try:
        given = json.loads(body)
        name, password = given["name"], given["password"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RequestError(400, "wanted: {name, password}") from None
    if not isinstance(name, str) or not isinstance(password, str) or not name or not password:
        raise RequestError(400, "name and password are texts")
    return name, password


def _told(user: User | None) -> dict[str, str | bool]:
    return {"login": True, "name": user.name if user else "", "role": user.role.value if user else ""}


def _away() -> RequestError:
    return RequestError(503, "the database does not answer", {"Retry-After": "5"})
