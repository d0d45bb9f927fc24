"""python -m benchmarks.audit [URL] [--api-key KEY] [--json FILE]: exit status 1 when an attack succeeds."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final
from unittest import mock

from benchmarks.audit import entry, files, shapes, slow
from benchmarks.audit.attack import ATTACKS, Attack, Kind, Row, Target
from benchmarks.audit.own import Own, own_servers
from benchmarks.audit.wire import ask, called

PARTS: Final = (entry, shapes, files, slow)
"""Each adds its attacks to the list."""
GROWTH_MB: Final = 250.0
"""Of a server under all of it: some messages of 32 MiB at once, a file of 26 MB, and what the allocator keeps."""
AT_ONCE: Final = 4
"""Attacks that do not wait: the auditor is no load test."""
FAULTS: Final = (OSError, RuntimeError, ValueError, TimeoutError, EOFError, KeyError)
"""Of an attack that did not go as it should have: a row of its own."""


async def audited(targets: Mapping[Kind, Target]) -> list[Row]:
    """A row for each attack for which there is a server."""
    places = asyncio.Semaphore(AT_ONCE)
    chosen = [one for one in ATTACKS if one.on in targets and (targets[one.on].key or not is_about_keys(one))]
    return list(await asyncio.gather(*(_row(one, targets[one.on], places) for one in chosen)))


def is_about_keys(one: Attack) -> bool:
    return one.on == "keyed" and one.run.__module__ == entry.__name__


async def _row(one: Attack, target: Target, places: asyncio.Semaphore) -> Row:
    try:
        if one.run.__module__ == slow.__name__ or one.run is entry.expired_secret:
            came = await one.run(target)
        else:
            async with places:
                came = await one.run(target)
    except FAULTS as error:
        return Row(one.name, one.sent, one.expected, f"{type(error).__name__}: {error}"[:200], good=False)
    return Row(one.name, one.sent, one.expected, came.text, came.good)


async def still_there(target: Target) -> Row:
    reply = await ask(target, "/livez")
    async with asyncio.timeout(30), called(target) as socket:
        event = json.loads(await socket.recv())["type"]
    came = f"{reply}, {event}"
    return Row(
        "afterwards", "GET /livez, a new session", "200, session.created", came, came == "HTTP 200, session.created"
    )


def audit_own(folder: Path, *, quick: bool) -> list[Row]:
    trusted = {"SSL_CERT_FILE": str(folder / "cert.pem")}
    with own_servers(folder, quick=quick) as servers, mock.patch.dict(os.environ, trusted if "tls" in servers else {}):
        targets: dict[Kind, Target] = {kind: own.target for kind, own in servers.items()}
        before = servers["keyed"].rss_mb
        rows = asyncio.run(_audit(targets))
        grown = servers["keyed"].rss_mb - before
    came = f"{grown:.0f} MB"
    rows.append(Row("memory afterwards", "all of it", f"at most {GROWTH_MB:g} MB more", came, grown < GROWTH_MB))
    return [*rows, secrets_in_the_log(list(servers.values()))]


def secrets_in_the_log(servers: list[Own]) -> Row:
    sent = {secret for own in servers for secret in own.target.sent_secrets} | {servers[0].target.key}
    lines = [line for own in servers for line in own.log.read_text(errors="replace").splitlines()]
    found = [line for line in lines if any(secret in line for secret in sent)]
    came = f"{len(found)} of {len(lines)} lines" + (f", such as: {found[0][:300]}" if found else "")
    text = f"{len(sent)} keys, secrets and tokens; the log at its lowest level, of libraries too"
    return Row("secrets in the log", text, "0 lines", came, bool(lines) and not found)


async def _audit(targets: Mapping[Kind, Target]) -> list[Row]:
    return [*await audited(targets), *[await still_there(target) for target in targets.values()]]


async def audit_theirs(url: str, key: str) -> list[Row]:
    target = Target(url.rstrip("/"), key)
    targets: dict[Kind, Target] = {"open": target, "keyed": target}
    if target.tls is not None:
        targets["tls"] = target
    return await _audit(targets)


def table(rows: list[Row]) -> str:
    lines = [f"{'ok  ' if row.good else 'FAIL'}  {row.name}\n        sent      {row.sent}" for row in rows]
    ends = [f"        expected  {row.expected}\n        came      {row.came}" for row in rows]
    bad = sum(not row.good for row in rows)
    verdict = f"{len(rows) - bad} of {len(rows)} as expected."
    return "\n".join([f"{line}\n{end}" for line, end in zip(lines, ends, strict=True)] + [verdict])


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description="Attack a server of one's own.")
    parser.add_argument("url", nargs="?", help="http(s)://host:port of your server (default: servers of its own)")
    parser.add_argument("--api-key", default="", help="lets one in there; without, nothing about keys is tried")
    parser.add_argument("--quick", action="store_true", help="servers of its own have short deadlines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows")
    options = parser.parse_args(words)
    if options.url:
        rows = asyncio.run(audit_theirs(options.url, options.api_key))
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = audit_own(Path(folder), quick=options.quick)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return int(not all(row.good for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
