"""What stands before every request: who may ask, how large, how long; and the one shape of an error.

Plain ASGI, so that a request is refused before its body is read.

- ``Host`` must be one that the server goes by, or a web page elsewhere could reach it through a name that it
  points at this machine (DNS rebinding). Where a token is asked for, that is not needed: no such page has it.
- A request that changes or computes something must not come from a page of another origin.
- Where a token is set, it is asked for, but for the pages themselves, which hold no data.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pipeline.records import PipelineError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Least characters of a token: one that is typed by hand could be guessed.
LEAST_TOKEN = 16
#: Answers that hold nothing of an article, a decision or a model; the pages ask for the rest with the token.
OPEN_PATHS = frozenset({"/", "/review", "/docs", "/healthz", "/favicon.ico"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost.

    Attributes
    ----------
    max_bytes : int
        Bytes of a request's body.
    timeout : float
        Seconds from the first byte of a request to the start of its answer.
    max_waiting : int
        Texts that wait for the model; when there are more, the answer is 503 at once.
    """

    max_bytes: int = 1_000_000
    timeout: float = 30.0
    max_waiting: int = 256


class RequestError(Exception):
    """A request that is refused: status, a code for programs, and what a person reads."""

    def __init__(self, status: int, code: str, message: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.content = error_content(code, message, where=where, remedy=remedy)


def error_content(code: str, message: str, *, where: str = "", remedy: str = "") -> dict[str, Any]:
    """The one shape of every error."""
    return {"error": {"code": code, "message": message, "where": where or None, "remedy": remedy or None}}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; of names, only ``localhost`` is taken for one."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def checked_token(host: str, token: str | None) -> str | None:
    """The token to ask for at an address; None where none is needed.

    Raises
    ------
    PipelineError
        Other machines can reach the address and no token is given, or the token could be guessed or not be sent.
    """
    if not token:
        if is_loopback(host):
            return None
        raise PipelineError(
            "other machines can reach this address, so a token is needed",
            where=host,
            remedy="set COMMUNIQUE_TOKEN, such as to the output of `openssl rand -hex 16`, or keep --host 127.0.0.1",
        )
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise PipelineError(
            f"the token has {len(token)} characters; it needs {LEAST_TOKEN} or more, ASCII and without spaces",
            remedy="take the output of `openssl rand -hex 16`",
        )
    return token


class Guard:
    """ASGI middleware around an application.

    Parameters
    ----------
    app : ASGI application
    limits : Limits
    token : str, optional
        Asked for as ``Authorization: Bearer TOKEN``.
    hosts : iterable of str
        Names, without port, by which the server may be called; empty allows any, and needs a token.
    """

    def __init__(self, app: App, *, limits: Limits, token: str | None, hosts: Iterable[str]) -> None:
        self.app = app
        self.limits = limits
        self.token = token
        self.hosts = frozenset(host.strip("[]").casefold() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it in the one shape of an error."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def guarded_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = _with_headers(message.get("headers", []))
            await send(message)

        try:
            self._check(scope)
            async with asyncio.timeout(self.limits.timeout):
                await self.app(scope, self._limited(scope, receive), guarded_send)
        except RequestError as error:
            if started:
                raise
            await _answer(guarded_send, error)
        except TimeoutError:
            if started:
                raise
            message = f"no answer within {self.limits.timeout:g} seconds"
            remedy = "send less text at once, or ask again later"
            await _answer(guarded_send, RequestError(504, "timeout", message, remedy=remedy))

    def _check(self, scope: Scope) -> None:
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host", "")
        if self.hosts and _name(host) not in self.hosts:
            raise RequestError(421, "unknown_host", "this server does not go by that name", where=f"Host: {host}"[:200])
        if scope["method"] not in _SAFE:
            _check_origin(headers, host)
        if self.token is not None and scope["path"] not in OPEN_PATHS:
            scheme, _, given = headers.get(b"authorization", "").partition(" ")
            # compared as bytes, in a time that does not tell how much of it was right
            if scheme.casefold() != "bearer" or not hmac.compare_digest(given.encode(), self.token.encode()):
                raise RequestError(401, "unauthorised", "a token is needed", remedy="send Authorization: Bearer TOKEN")
        length = headers.get(b"content-length", "0")
        if length.isdecimal() and int(length) > self.limits.max_bytes:
            raise self._too_large()

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body, counted as it comes: its length need not be announced, nor be true."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            total += len(message.get("body", b""))
            if total > self.limits.max_bytes:
                raise self._too_large()
            return message

        return counted

    def _too_large(self) -> RequestError:
        message = f"the request has more than {self.limits.max_bytes:,} bytes"
        return RequestError(413, "too_large", message, remedy="send fewer articles at once, or start with --max-bytes")


def _check_origin(headers: dict[bytes, str], host: str) -> None:
    """Browsers say from which page a request comes; other clients say nothing, and are no danger of this kind."""
    origin = headers.get(b"origin")
    elsewhere = headers.get(b"sec-fetch-site", "same-origin") not in ("same-origin", "none")
    if elsewhere or (origin is not None and urlsplit(origin).netloc.casefold() != host.casefold()):
        where = f"Origin: {origin or 'another site'}"[:200]
        raise RequestError(403, "cross_origin", "a page of another origin may not ask this server", where=where)


def _name(host: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    if host.startswith("["):
        return host[1:].partition("]")[0].casefold()
    return host.partition(":")[0].casefold()


def _with_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of an answer with those that every answer has; what the answer says itself goes first."""
    given = list(headers)
    names = {name.lower() for name, _ in given}
    return given + [
        (name.lower().encode(), value.encode()) for name, value in HEADERS.items() if name.lower().encode() not in names
    ]


async def _answer(send: Send, error: RequestError) -> None:
    body = json.dumps(error.content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.status in (413, 504):  # the rest of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
