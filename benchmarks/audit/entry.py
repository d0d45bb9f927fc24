"""Attacks of those who should not get in."""

from __future__ import annotations

import asyncio
import json
import time

from benchmarks.audit.attack import Came, Target, attack
from benchmarks.audit.wire import KEY_PROTOCOL, REALTIME, Reply, ask, knock, refused

STRANGER = "evil.example"
JSON = {"Content-Type": "application/json"}
LEAST_S = 10
"""That a client secret may be good for."""


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def all_refused(replies: list[Reply], *statuses: int) -> Came:
    return Came(", ".join(sorted({str(reply) for reply in replies})), all(r.status in statuses for r in replies))


@attack("no key", "GET /v1/models, POST /v1/audio/speech, a WebSocket, without a key", "401 each time")
async def no_key(on: Target) -> Came:
    replies = [await ask(on, "/v1/models"), await ask(on, "/v1/audio/speech", "POST", JSON, b"{}")]
    return all_refused([*replies, await knock(on, headers={})], 401)


@attack("wrong key", "another key, as a header (HTTP, WebSocket) and as a subprotocol", "401 each time")
async def wrong_key(on: Target) -> Came:
    replies = [await ask(on, "/v1/models", headers=bearer(on.secret()))]
    replies += [await ask(on, "/v1/models", headers=bearer(on.secret("Not.A.Key/")))]
    replies += [await knock(on, headers=bearer(on.secret()))]
    replies += [await knock(on, protocols=["realtime", KEY_PROTOCOL + on.secret("sk-")], headers={})]
    return all_refused(replies, 401)


@attack("a right key with one more letter, or one less", "Authorization: Bearer KEYx, KE", "401 each time")
async def nearly_the_key(on: Target) -> Came:
    wrong = [f"{on.key}x", on.key[:-1], on.key.swapcase()]
    on.sent_secrets.update(wrong)
    return all_refused([await ask(on, "/v1/models", headers=bearer(key)) for key in wrong], 401)


@attack("right key in the address", "?api_key=KEY, ?key=KEY, ?token=KEY (HTTP, WebSocket)", "401, and not in the log")
async def key_in_the_query(on: Target) -> Came:
    on.sent_secrets.add(on.key)
    replies = [await ask(on, f"/v1/models?{name}={on.key}") for name in ("api_key", "key", "token", "access_token")]
    return all_refused([*replies, await knock(on, f"{REALTIME}?api_key={on.key}", headers={})], 401)


@attack("right key as a cookie, as Basic", "Cookie: api_key=KEY; Authorization: Basic KEY", "401 each time")
async def key_elsewhere(on: Target) -> Came:
    replies = [await ask(on, "/v1/models", headers={"Cookie": f"api_key={on.key}; session={on.key}"})]
    return all_refused([*replies, await ask(on, "/v1/models", headers={"Authorization": f"Basic {on.key}"})], 401)


@attack("expired client secret", "an ek_... ten seconds old, made to last ten", "401")
async def expired_secret(on: Target) -> Came:
    body = json.dumps({"expires_after": {"anchor": "created_at", "seconds": LEAST_S}}).encode()
    minted = await ask(on, "/v1/realtime/client_secrets", "POST", {**JSON, **on.shown}, body)
    if minted.status != 200:
        return Came(f"no secret was given: {minted}", False)
    made = json.loads(minted.body)
    on.sent_secrets.add(made["value"])
    before = await knock(on, headers=bearer(made["value"]))
    await asyncio.sleep(max(0.0, made["expires_at"] - time.time()) + 1)
    after = await knock(on, protocols=["realtime", KEY_PROTOCOL + made["value"]], headers={})
    return Came(f"{before} before, {after} after", before.status == 101 and after.status == 401)


@attack("client secret for what it is not for", "GET /v1/models and a new secret, with an ek_...", "401 each time")
async def secret_elsewhere(on: Target) -> Came:
    minted = await ask(on, "/v1/realtime/client_secrets", "POST", {**JSON, **on.shown}, b"{}")
    value = json.loads(minted.body)["value"]
    on.sent_secrets.add(value)
    replies = [await ask(on, "/v1/models", headers=bearer(value))]
    replies += [await ask(on, "/v1/realtime/client_secrets", "POST", {**JSON, **bearer(value)}, b"{}")]
    return all_refused(replies, 401)


@attack("somebody else's session", "a resume token that was made up, as a header and as a subprotocol", "refused")
async def made_up_resume(on: Target) -> Came:
    tokens = {"X-Voxtral-Voice-Resume": on.secret(""), "X-Voxtral-Voice-After": "event_1"}
    replies = [await knock(on, headers={**on.shown, **tokens})]
    names = ["realtime", f"voxtral-voice-resume.{on.secret('')}"]
    replies += [await knock(on, protocols=names, headers=on.shown), await knock(on, headers=tokens)]
    return all_refused(replies, 401, 404, 410)


@attack("foreign Origin", "a page of another site: HTTP and WebSocket, with the right key", "403 each time")
async def foreign_origin(on: Target) -> Came:
    origins = [f"https://{STRANGER}", "null", "http://127.0.0.1.evil.example", f"{on.url}.evil.example", "file://"]
    replies = [await ask(on, "/v1/models", headers={**on.shown, "Origin": origin}) for origin in origins]
    replies += [await knock(on, headers=on.shown, origin=origin) for origin in origins]
    return all_refused(replies, 403)


@attack("foreign page asks the browser first", "OPTIONS with Origin and Access-Control-Request-*", "no CORS header")
async def foreign_preflight(on: Target) -> Came:
    asked = {"Origin": f"https://{STRANGER}", "Access-Control-Request-Method": "POST"}
    reply = await ask(on, "/v1/audio/speech", "OPTIONS", asked)
    allowed = "access-control-allow" in reply.head.lower()
    return Came(f"{reply}, {'CORS headers' if allowed else 'no CORS header'}", not allowed and reply.status >= 400)


@attack(
    "DNS rebinding",
    "Host: evil.example, without an Origin and with http://evil.example: HTTP, metrics, WebSocket",
    "403 (401 where a key is asked for)",
    on="open",
)
async def rebinding(on: Target) -> Came:
    name = f"{STRANGER}:{on.port}"
    replies = [await ask(on, path, headers={"Host": name}) for path in ("/v1/models", "/v1/voices", "/metrics")]
    replies += [await ask(on, "/v1/models", headers={"Host": name, "Origin": f"http://{name}"})]
    replies += [await ask(on, "/v1/models", headers={"Host": "127.0.0.1.evil.example"})]
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Host": name}
    replies += [await ask(on, REALTIME, headers=upgrade)]
    replies += [await ask(on, REALTIME, headers={**upgrade, "Origin": f"http://{name}"})]
    return all_refused(replies, 401, 403)


@attack("a page of another site, no key needed", "POST of a plain form to the API; a WebSocket", "403", on="open")
async def plain_form(on: Target) -> Came:
    headers = {"Origin": f"https://{STRANGER}", "Content-Type": "text/plain"}
    replies = [await ask(on, "/v1/audio/speech", "POST", headers, b'{"model":"tts-1","input":"hi","voice":"alloy"}')]
    return all_refused([*replies, await knock(on, origin=f"https://{STRANGER}")], 401, 403)


@attack("a form that claims to be no page", "POST text/plain without an Origin", "415 (401)", on="open")
async def no_json(on: Target) -> Came:
    return refused(await ask(on, "/v1/audio/speech", "POST", {"Content-Type": "text/plain"}, b"{}"), 401, 415)
