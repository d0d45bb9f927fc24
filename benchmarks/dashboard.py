"""Draws the dashboard of ops/grafana from what a Prometheus answers to its queries, without Grafana.

    .venv/bin/python -m benchmarks.dashboard --minutes 10 [--png docs/dashboard.png] [--top docs/top.png]
    .venv/bin/python -m benchmarks.dashboard --prometheus http://127.0.0.1:9090 --minutes 30 [--html FILE] [--png FILE]

Without --prometheus there is a load to be seen: the server of the soak with its callers, who talk, interrupt, type,
send nonsense and vanish, while engines break now and then, scraped by a Prometheus (Debian: `prometheus`) with the
rules of ops/prometheus. --png and --top need Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
from playwright.async_api import async_playwright
from rich.console import Console
from websockets.exceptions import WebSocketException

from benchmarks.dashboard_page import Series, Span, page
from benchmarks.soak_callers import Violation, call
from voxtral_voice.top.reading import Server
from voxtral_voice.top.screen import Screen

ROOT: Final = Path(__file__).parents[1]
DASHBOARD: Final = ROOT / "ops" / "grafana" / "voxtral-voice.json"
POINTS: Final = 120
"""Of a line."""
RATE_OVER: Final = "1m"
SCRAPE_S: Final = 2
STARTS_S: Final = 20.0
TOP_COLUMNS: Final = 132
TOP_PX: Final = 1632
LOOK_S: Final = 45.0
"""What `top` shows is counted over so long."""


# --- what Prometheus says ---------------------------------------------------------------------------------------


async def ask(prometheus: httpx.AsyncClient, dashboard: Mapping[str, Any], span: Span) -> dict[int, list[Series]]:
    found: dict[int, list[Series]] = {}
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            answers = [await _series(prometheus, target, span) for target in panel["targets"]]
            found[panel["id"]] = [series for answer in answers for series in answer]
    return found


async def _series(prometheus: httpx.AsyncClient, target: Mapping[str, Any], span: Span) -> list[Series]:
    step = max(1, round((span.end - span.begin) / POINTS))
    expression = target["expr"].replace("$__rate_interval", RATE_OVER).replace("$instance", ".*")
    params = {"query": expression, "start": f"{span.begin}", "end": f"{span.end}", "step": f"{step}"}
    answer = await prometheus.get("/api/v1/query_range", params=params)
    content = answer.json()
    if content["status"] != "success":
        sys.exit(f"Prometheus cannot answer {expression}: {content.get('error')}")
    return [
        Series(_name(target["legendFormat"], each["metric"]), [*_points(each)]) for each in content["data"]["result"]
    ]


def _name(legend: str, labels: Mapping[str, str]) -> str:
    for label, value in labels.items():
        legend = legend.replace(f"{{{{{label}}}}}", value)
    return legend


def _points(answer: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """Without those of which nothing is known."""
    for at, text in answer["values"]:
        value = float(text)
        if value == value and abs(value) != float("inf"):
            yield float(at), value


# --- something to see -------------------------------------------------------------------------------------------


@asynccontextmanager
async def prometheus_of(url: str, folder: Path) -> AsyncIterator[str]:
    """A Prometheus that scrapes the server at `url`, under the name that the alerts know; its address."""
    program = shutil.which("prometheus")
    if program is None:
        sys.exit("There is no prometheus on the PATH: it is in the Debian package of that name.")
    target, port = url.removeprefix("http://"), free_port()
    config = (ROOT / "ops" / "prometheus" / "prometheus.yml").read_text()
    config = config.replace("127.0.0.1:8000", target).replace("scrape_interval: 5s", f"scrape_interval: {SCRAPE_S}s")
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(ROOT / "ops" / "prometheus" / "alerts.yml", folder)
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _answers(f"http://127.0.0.1:{port}/-/ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def _answers(url: str) -> None:
    until = time.monotonic() + STARTS_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(url)).is_success:
                    return
            if time.monotonic() > until:
                sys.exit(f"Nothing answers at {url}.")
            await asyncio.sleep(0.2)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def loaded_server() -> AsyncIterator[str]:
    """The soak's, in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.soak_server"]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**20)
    assert process.stdout is not None
    assert process.stdin is not None
    url = (await process.stdout.readline()).decode().strip()
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_drain(process.stdout))
            yield url
            process.stdin.close()
            await reading
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    async for _ in stream:
        pass


async def keep_calling(url: str, ends: float, place: int) -> None:
    """One session after the other. What is wrong with one is the soak's business."""
    rng, number = random.Random(place), place
    while time.monotonic() < ends:
        with contextlib.suppress(Violation, OSError, WebSocketException, ExceptionGroup):
            await call(url, rng, Counter(), place, number)
        number += 1
        await asyncio.sleep(rng.uniform(0.0, 2.0))


async def load(url: str, seconds: float, sessions: int) -> None:
    """Callers come one after the other at first."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for place in range(sessions):
            group.create_task(keep_calling(url, began + seconds, place))
            await asyncio.sleep(seconds / 3 / sessions)


# --- pictures ---------------------------------------------------------------------------------------------------


async def photograph(html: str, file: Path, width: int) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = await browser.new_page(viewport={"width": width, "height": 100})
        await tab.set_content(html)
        await tab.screenshot(path=file, full_page=True)
        await browser.close()


def top_page(url: str) -> str:
    """What `voxtral-voice top` shows, as a page. Takes LOOK_S."""
    console = Console(record=True, width=TOP_COLUMNS, file=open("/dev/null", "w"))  # noqa: SIM115
    with Server(url, None) as server:
        server.look()
        time.sleep(LOOK_S)
        console.print(Screen(server.look(), 44))
        console.print()
    drawn = console.export_svg(title="voxtral-voice top", font_aspect_ratio=0.61)
    return f'<!doctype html><body style="margin:0;background:#111">{drawn}</body>'


async def drawn(prometheus: str, minutes: float) -> str:
    dashboard = orjson.loads(DASHBOARD.read_bytes())
    span = Span(time.time() - 60 * minutes, time.time())
    async with httpx.AsyncClient(base_url=prometheus, trust_env=False) as client:
        values = await ask(client, dashboard, span)
    return page(dashboard, values, span, "ops/grafana/voxtral-voice.json, its queries answered by Prometheus")


async def seen(options: argparse.Namespace) -> str:
    """The page of a load of our own."""
    with tempfile.TemporaryDirectory() as folder:
        async with loaded_server() as url, prometheus_of(url, Path(folder)) as prometheus:
            async with asyncio.TaskGroup() as group:
                calls = group.create_task(load(url, 60 * options.minutes + 2 * LOOK_S, options.sessions))
                await asyncio.sleep(max(0.0, 60 * options.minutes - LOOK_S))
                top = await asyncio.to_thread(top_page, url)
                if options.top:
                    await photograph(top, options.top, TOP_PX)
                html = await drawn(prometheus, options.minutes)
                calls.cancel()
            return html


async def run(options: argparse.Namespace) -> None:
    html = await (drawn(options.prometheus, options.minutes) if options.prometheus else seen(options))
    if options.html:
        options.html.write_text(html)
    if options.png:
        await photograph(html, options.png, 1416)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", help="a running one, instead of a load of our own")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=12)
    parser.add_argument("--html", type=Path)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--top", type=Path, help="a picture of `voxtral-voice top` on the way")
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what was started ends with us
    asyncio.run(run(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
