"""What of the protocol is the server's business, not the wire's: keys, client secrets, several sessions at a time.

Knows: the app, in this process and without a socket. Does not know: what happens in a session.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

import httpx
from pydantic import SecretStr

from tests.server.memory import connected
from voxtral_voice.config import Config, ServerConfig
from voxtral_voice.engines import registry
from voxtral_voice.server.app import build_app
from voxtral_voice.server.auth import Auth
from voxtral_voice.server.runtime import Runtime

KEY: Final = "a-key-for-this-test"


def _runtime() -> Runtime:
    config = Config(profile="fake", server=ServerConfig(api_keys=SecretStr(KEY)))
    return Runtime(config, registry.fake(), ready=True, auth=Auth(config.server))


async def _post(path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(build_app(_runtime()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.post(path, json=body, headers=headers)


async def keys() -> bool:
    """Without one: 401, as OpenAI says it."""
    told = await _post("/v1/realtime/client_secrets", {})
    return told.status_code == 401 and told.json()["error"]["code"] == "invalid_api_key"


async def client_secrets() -> bool:
    """With its session."""
    session = {"type": "realtime", "instructions": "Sing."}
    told = await _post("/v1/realtime/client_secrets", {"session": session}, authorization=f"Bearer {KEY}")
    secret = told.json()
    whole = secret["session"]["object"] == "realtime.session" and secret["session"]["instructions"] == "Sing."
    return told.status_code == 200 and secret["value"].startswith("ek_") and whole


async def sessions() -> bool:
    runtime = _runtime()
    async with connected(runtime) as one:
        await one.until(lambda: one.order.session is not None)
        async with connected(runtime) as other:
            await other.until(lambda: other.order.session is not None)
            return bool(one.session_object["id"] != other.session_object["id"])


SERVER_PROBES: Final[dict[str, Callable[[], Coroutine[Any, Any, bool]]]] = {
    "keys": keys,
    "client_secrets": client_secrets,
    "sessions": sessions,
}
