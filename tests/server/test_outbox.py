from __future__ import annotations

import asyncio

import pytest

from voxtral_voice.realtime.sent_log import Sent
from voxtral_voice.server import memory
from voxtral_voice.server.outbox import MANY_BYTES, OUTBOX, OUTBOX_BYTES, Outbox


async def test_what_waits_comes_out_in_its_order() -> None:
    outbox = Outbox()
    assert outbox.put(Sent(b"1"))
    assert outbox.put(Sent(b"2"))
    assert [await outbox.take(), await outbox.take()] == [b"1", b"2"]


async def test_a_client_that_has_too_much_to_read_is_to_be_cut_off() -> None:
    outbox = Outbox()
    assert all(outbox.put(Sent(b"1")) for _ in range(OUTBOX))
    assert not outbox.put(Sent(b"1"))


@pytest.mark.parametrize(("waited", "given_back"), [(MANY_BYTES, False), (MANY_BYTES + 1, True)])
async def test_the_memory_of_much_that_waited_is_given_back(
    waited: int, given_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(memory, "give_back", lambda: loop.call_soon_threadsafe(given.set))
    outbox = Outbox()
    outbox.put(Sent(bytes(waited)))
    await outbox.take()
    outbox.close()
    if given_back:
        await asyncio.wait_for(given.wait(), 10)
    assert given.is_set() == given_back


async def test_what_was_kept_is_gone_with_it() -> None:
    outbox = Outbox()
    outbox.log.keep(True)
    outbox.put(Sent(b"1"))
    await outbox.take()
    outbox.close()
    assert outbox.log.take() is None
    assert not outbox.log._frames


async def test_a_client_that_comes_back_and_never_reads_has_no_more_kept_each_time() -> None:
    """Each time it names the event before all of that."""
    outbox, rounds = Outbox(), 0
    outbox.log.keep(True)
    outbox.greet("event_0", b"{}")
    frame = bytes(OUTBOX_BYTES // 4)
    while outbox.can_go_on("event_0"):
        outbox.log.rewind("event_0")
        rounds += 1
        assert all(outbox.put(Sent(frame)) for _ in range(4))
        assert rounds < 20
    assert rounds == 2
    assert outbox.log.held_bytes == 2 * OUTBOX_BYTES
