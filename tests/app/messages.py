"""What tests of the middleware share: requests message by message, and the lines that requests leave in the log."""

from collections.abc import Sequence
from typing import Any

from starlette.types import Message

JSON = {"Content-Type": "application/json"}


def lines(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the lines of requests."""
    return [entry for entry in logs if entry["event"] == "request"]


async def call(app: Any, messages: Sequence[Message], *headers: tuple[bytes, bytes]) -> list[Message]:
    """Posts to /recall as a server would, message by message, and returns what is sent back."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/recall",
        "raw_path": b"/recall",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    waiting = list(messages)
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}
