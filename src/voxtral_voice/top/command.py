"""`voxtral-voice top`: look and show, until Ctrl-C.

Knows: when to look. Does not know: what is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.live import Live

from voxtral_voice.errors import TalkError
from voxtral_voice.top.reading import Look, Server
from voxtral_voice.top.screen import Screen

EVERY_S: Final = 1.0


def top(
    url: str,
    api_key: str | None,
    *,
    once: bool,
    console: Console | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """once: print what there is, for scripts. Raises TalkError when the first look fails; later ones are shown."""
    console = console or Console()
    with Server(url, api_key) as server:
        look = server.look()
        if once:
            console.print(Screen(look))
        else:
            _keep_looking(server, look, console, sleep)


def _keep_looking(server: Server, look: Look, console: Console, sleep: Callable[[float], None]) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        trouble = ""
        while True:
            live.update(Screen(look, console.height, trouble), refresh=True)
            try:
                sleep(EVERY_S)
                look, trouble = server.look(), ""
            except TalkError as error:
                trouble = str(error)
            except KeyboardInterrupt:
                return
