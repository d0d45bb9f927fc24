"""The page in a real browser: against a scripted server, and against ours."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import expect

from tests.e2e.browser import DESKTOP, PAGE, PHONE, Visit, page_files, spoken, visit
from tests.realtime_stub import RATE_HZ, Call, Script, stub_server, tone
from voxtral_voice.audio.pcm import Samples, float_to_pcm16

pytestmark = pytest.mark.browser

WORDS: Final = ("One, two, three, ", "four, five, six, ", "seven, eight, nine, ", "ten, eleven, twelve.")
STAGES_MS: Final = {"silence": 40, "transcript": 20, "first_token": 10, "first_phrase": 5, "first_audio": 15, "hold": 9}


@pytest.fixture(scope="session")
def question(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("microphone")
    return spoken(folder / "question.wav", [1.0, "What is the capital of France?", 60.0])


@pytest.fixture(scope="session")
def question_and_interruption(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("microphone")
    parts: list[str | float] = [1.0, "What is the capital of France?", 2.5, "Stop, I know that already.", 60.0]
    return spoken(folder / "interruption.wav", parts)


# --- a scripted server ------------------------------------------------------------------------------------------


async def user_turn(call: Call, delay_ms: float = 100, item: str = "u1") -> None:
    """The whole of a spoken turn; ends delay_ms after the last voiced chunk came."""
    await call.onsets.get()
    await call.send("input_audio_buffer.speech_started", item_id=item, audio_start_ms=0)
    end = await call.ends.get()
    voiced_ms = sum(len(samples) for at, samples in call.chunks if at <= end) * 1000 / RATE_HZ
    await call.until(end + delay_ms / 1000)
    await call.send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=round(voiced_ms))
    await call.send(
        "conversation.item.input_audio_transcription.completed", item_id=item, content_index=0, transcript="What is it?"
    )


async def answer(call: Call, samples: Samples, reply: str = "r1") -> None:
    """Begins a reply and sends all of its audio at once, each of WORDS before its quarter; not yet done."""
    await call.begin(reply)
    place = {"response_id": reply, "item_id": f"item_{reply}"}
    quarter = len(samples) // len(WORDS)
    for number, text in enumerate(WORDS):
        await call.send("response.output_audio_transcript.delta", **place, delta=text)
        piece = base64.b64encode(float_to_pcm16(samples[number * quarter : (number + 1) * quarter])).decode()
        await call.send("response.output_audio.delta", **place, delta=piece)


async def finish(call: Call, reply: str = "r1", status: str = "completed", **details: Any) -> None:
    place = {"response_id": reply, "item_id": f"item_{reply}"}
    await call.send("response.output_audio.done", **place)
    trace = {"stages_ms": STAGES_MS, "offsets_ms": {}, "total_ms": sum(STAGES_MS.values()), "endpoint_ms": 99.0}
    await call.done(reply, status, voxtral_voice={"trace": trace}, **details)


async def sent(call: Call, kind: str) -> Mapping[str, Any]:
    """The first message of this type from the page, when it is there."""
    async with asyncio.timeout(10):
        while not any(message["type"] == kind for message in call.received):  # noqa: ASYNC110 - the stub has no event
            await asyncio.sleep(0.005)
    return next(message for message in call.received if message["type"] == kind)


async def keep_quiet(_call: Call) -> None:
    """A server that only listens."""


@asynccontextmanager
async def scripted(script: Script, **options: Any) -> AsyncIterator[tuple[Visit, list[Call]]]:
    """The page, from a server that follows the script."""
    async with stub_server(script, process_request=page_files) as stub:
        url = stub.url.replace("ws:", "http:").removesuffix("/v1/realtime")
        async with visit(url, **options) as guest:
            yield guest, stub.calls


async def press(guest: Visit, name: str) -> None:
    await guest.page.get_by_role("button", name=name, exact=True).click()


async def test_connecting_configures_the_session_and_asks_for_transcripts() -> None:
    async with scripted(keep_quiet) as (guest, calls):
        assert await guest.ask("voxtral.phase") == "disconnected"
        await guest.page.get_by_label("Voice").select_option("hf_alpha")
        await press(guest, "Connect")
        await guest.phase("idle")
        update = await sent(calls[0], "session.update")
        assert update["session"] == {
            "type": "realtime",
            "audio": {
                "input": {"transcription": {"model": "whisper-1", "language": "hi"}},
                "output": {"voice": "hf_alpha"},
            },
            "voxtral_voice": {"events": True, "resume": True},
        }
        await press(guest, "Disconnect")
        await guest.phase("disconnected")
        assert guest.complaints == []


async def test_the_microphone_arrives_in_real_time_as_short_chunks(question: Path) -> None:
    async with scripted(keep_quiet, microphone=question) as (guest, calls):
        await press(guest, "Start")
        await guest.until("voxtral.counters.sentMs >= 2000")
        await press(guest, "Stop")
        await guest.phase("idle")
        await sent(calls[0], "input_audio_buffer.clear")
    chunks = calls[0].chunks
    assert max(len(samples) for _, samples in chunks) * 1000 / RATE_HZ <= 40
    seconds = chunks[-1][0] - chunks[0][0]
    assert sum(len(samples) for _, samples in chunks[1:]) / RATE_HZ == pytest.approx(seconds, abs=0.3)
    assert calls[0].onsets.qsize() > 0


async def test_an_interruption_silences_the_answer_and_reports_the_ms_really_played(
    question_and_interruption: Path,
) -> None:
    async def script(call: Call) -> None:
        await user_turn(call)
        await answer(call, tone(8000, 0.2))
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=0)
        await finish(call, status="cancelled", status_details={"type": "cancelled", "reason": "turn_detected"})

    async with scripted(script, microphone=question_and_interruption) as (guest, calls):
        await press(guest, "Start")
        await guest.phase("speaking")
        await guest.phase("interrupted")
        truncated = await asyncio.wait_for(calls[0].truncates.get(), 5)
        sounding_ms = (await guest.recording()).sounding_ms()
        await guest.page.wait_for_timeout(500)
        recording = await guest.recording()
        [reply] = await guest.turns("assistant")
        struck = await guest.page.locator("#turns del").text_content()

    assert truncated["item_id"] == "item_r1"
    assert 500 < truncated["audio_end_ms"] < 7000
    assert recording.sounding_ms() == pytest.approx(truncated["audio_end_ms"], abs=15)
    assert recording.sounding_ms() - sounding_ms < 120  # silence since then, but for what the tap had not delivered
    assert reply["status"] == "cut"
    words = "".join(WORDS).split()
    heard = truncated["audio_end_ms"] / 8000 * len(words)
    assert len(reply["heard"].split()) == pytest.approx(heard, abs=1.5)
    assert struck is not None
    assert f"{reply['heard']} {struck}".split() == words
    assert guest.complaints == []


async def test_the_latency_follows_an_injected_delay(question: Path) -> None:
    async def measured(delay_ms: float) -> tuple[float, str | None]:
        async def script(call: Call) -> None:
            await user_turn(call, delay_ms)
            await answer(call, tone(1000, 0.2))
            await finish(call)

        async with scripted(script, microphone=question) as (guest, _calls):
            await press(guest, "Start")
            await guest.until("voxtral.trace !== null")
            await guest.page.locator("#badge.good, #badge.fair, #badge.bad").wait_for()
            grade = await guest.page.locator("#badge").get_attribute("class")
            return float(await guest.ask("voxtral.v2vMs")), grade

    (short, good), (long, bad) = await measured(110), await measured(700)
    assert long - short == pytest.approx(590, abs=60)
    assert 110 <= short <= 300
    assert (good, bad) == ("good", "bad")


async def test_the_badge_opens_into_stages_that_sum_to_the_latency(question: Path) -> None:
    async def script(call: Call) -> None:
        await user_turn(call, 120)
        await answer(call, tone(500, 0.2))
        await finish(call)

    async with scripted(script, microphone=question) as (guest, _calls):
        await press(guest, "Start")
        await guest.until("voxtral.trace !== null")
        badge = guest.page.locator("#badge")
        await expect(badge).to_have_attribute("aria-expanded", "false")
        await badge.focus()
        await guest.page.keyboard.press("Enter")
        await expect(badge).to_have_attribute("aria-expanded", "true")
        shown = await guest.page.locator("#waterfall .ms").all_text_contents()
        whole = await badge.text_content()
        assert len(shown) == len(STAGES_MS) + 1
        assert whole is not None
        stages = [int(text.removesuffix(" ms")) for text in shown]
        assert stages[:-1] == list(STAGES_MS.values())
        assert sum(stages) == pytest.approx(int(whole.removesuffix(" ms")), abs=1)
        await guest.page.set_viewport_size(PHONE)
        stages_end = await guest.ask("document.getElementById('stages').getBoundingClientRect().bottom")
        assert stages_end <= await guest.ask("document.querySelector('.talk').getBoundingClientRect().top")


async def test_an_answer_is_played_without_gaps_whatever_the_pieces() -> None:
    async def script(call: Call) -> None:
        await sent(call, "response.create")
        await call.begin("r1")
        samples = tone(2000, 0.2)
        for start in range(0, len(samples), 777):
            await call.audio("r1", samples[start : start + 777])
        await finish(call)

    async with scripted(script) as (guest, calls):
        await press(guest, "Connect")
        await guest.page.get_by_label("Type a message").fill("Hello there.")
        await guest.page.keyboard.press("Enter")
        await guest.phase("speaking")
        await guest.phase("idle")
        await guest.page.wait_for_timeout(200)  # the tap delivers in 100 ms pieces
        recording = await guest.recording()
        created = await sent(calls[0], "conversation.item.create")
        assert created["item"]["content"] == [{"type": "input_text", "text": "Hello there."}]
        assert (await guest.ask("voxtral.counters"))["gaps"] == []
        assert recording.sounding_ms() == pytest.approx(2000, abs=10)
        assert (await guest.turns("user"))[0]["text"] == "Hello there."
        assert guest.complaints == []


async def test_a_second_piece_that_comes_late_is_not_heard_as_a_gap() -> None:
    async def script(call: Call) -> None:
        await sent(call, "response.create")
        await call.begin("r1")
        samples = tone(1000, 0.2)
        await call.audio("r1", samples[:777])
        await call.until(call.now() + 0.1)
        await call.audio("r1", samples[777:])
        await finish(call)

    async with scripted(script) as (guest, _calls):
        await guest.page.get_by_label("Type a message").fill("Hello there.")
        await guest.page.keyboard.press("Enter")
        await guest.phase("speaking")
        await guest.phase("idle")
        assert (await guest.ask("voxtral.counters"))["gaps"] == []


async def test_escape_cancels_the_answer() -> None:
    async def script(call: Call) -> None:
        await sent(call, "response.create")
        await answer(call, tone(6000, 0.2))
        await sent(call, "response.cancel")
        await finish(call, status="cancelled")

    async with scripted(script) as (guest, calls):
        await guest.page.get_by_label("Type a message").fill("Hello there.")
        await guest.page.keyboard.press("Enter")
        await guest.phase("speaking")
        await guest.page.keyboard.press("Escape")
        truncated = await asyncio.wait_for(calls[0].truncates.get(), 5)
        cancelled = await sent(calls[0], "response.cancel")
        await guest.phase("idle")
    assert cancelled["response_id"] == "r1"
    assert 0 < truncated["audio_end_ms"] < 3000


async def test_everything_works_from_the_keyboard() -> None:
    async with scripted(keep_quiet) as (guest, _calls):
        reached = []
        for _ in range(8):
            await guest.page.keyboard.press("Tab")
            reached.append(await guest.ask("document.activeElement.id || document.activeElement.tagName.toLowerCase()"))
        assert reached == ["summary", "mic", "connect", "voice", "hear", "patience", "scroll", "say"]
        await guest.page.locator("#connect").focus()
        await guest.page.keyboard.press("Enter")
        await guest.phase("idle")
        await guest.page.locator("#status summary").focus()
        await guest.page.keyboard.press("Enter")
        await expect(guest.page.locator("#facts")).to_contain_text("Server")
        await guest.page.keyboard.press("Escape")
        await expect(guest.page.locator("#facts")).to_be_hidden()


async def test_nothing_is_wider_than_the_window() -> None:
    async with scripted(keep_quiet) as (guest, _calls):
        for viewport in (DESKTOP, PHONE, {"width": 320, "height": 568}):
            await guest.page.set_viewport_size({"width": viewport["width"], "height": viewport["height"]})
            assert await guest.ask("document.documentElement.scrollWidth - innerWidth") <= 0


# --- whose turn it is -------------------------------------------------------------------------------------------


async def floor(call: Call, state: str) -> None:
    await call.send("voxtral_voice.floor", state=state)


async def speculation(call: Call, outcome: str, text: str) -> None:
    await call.send("voxtral_voice.speculation", outcome=outcome, text=text)


async def announced(guest: Visit, text: str) -> None:
    await expect(guest.page.locator("#announce")).to_have_text(text)


class Cue:
    """Where a script waits for the test to go on."""

    def __init__(self) -> None:
        self._given = asyncio.Semaphore(0)

    async def wait(self) -> None:
        await self._given.acquire()

    def give(self) -> None:
        self._given.release()


async def test_a_pause_shows_the_answer_being_prepared_and_dropped_or_kept(question: Path) -> None:
    cue = Cue()
    drafts = "#turns .drafts p"

    async def script(call: Call) -> None:
        await call.onsets.get()
        await call.send("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
        await floor(call, "hearing")
        await cue.wait()
        await floor(call, "settling")
        await speculation(call, "begun", "What is")
        await cue.wait()
        await speculation(call, "dropped", "What is")
        await floor(call, "hearing")
        await cue.wait()
        await floor(call, "settling")
        await speculation(call, "begun", "What is it?")
        await cue.wait()
        await speculation(call, "kept", "What is it?")
        await cue.wait()
        await floor(call, "replying")
        await call.send("input_audio_buffer.speech_stopped", item_id="u1", audio_end_ms=900)
        await call.send(
            "conversation.item.input_audio_transcription.completed",
            item_id="u1",
            content_index=0,
            transcript="What is it?",
        )

    async with scripted(script, microphone=question) as (guest, _calls):
        await press(guest, "Start")
        await guest.phase("hearing")
        cue.give()
        await guest.phase("settling")
        await expect(guest.page.locator("#phase")).to_have_text("Thinking")
        await expect(guest.page.locator(drafts)).to_have_text("preparing an answer to What is")
        await expect(guest.page.locator(drafts)).to_have_class("begun")
        await guest.screenshots("settling")
        cue.give()
        await guest.phase("hearing")
        await expect(guest.page.locator(drafts)).to_have_class("dropped")
        await guest.screenshots("dropped")
        cue.give()
        await expect(guest.page.locator(drafts)).to_have_count(1)  # the one that was dropped is gone
        cue.give()
        await expect(guest.page.locator("#turns .user .kept").first).to_have_text("What is it?")
        cue.give()
        await guest.phase("thinking")
        await expect(guest.page.locator(drafts)).to_have_count(0)
        await announced(guest, "Thinking.")
        [turn] = await guest.turns("user")
        assert (turn["text"], turn["status"]) == ("What is it?", "done")
        assert guest.complaints == []


async def test_a_sound_during_the_answer_makes_it_softer_until_it_is_decided(question: Path) -> None:
    cue = Cue()

    async def script(call: Call) -> None:
        await user_turn(call)
        await floor(call, "replying")
        await answer(call, tone(12_000, 0.2))
        await cue.wait()
        await floor(call, "contested")
        await cue.wait()
        await floor(call, "replying")
        await cue.wait()
        await floor(call, "contested")
        await cue.wait()
        await floor(call, "hearing")
        await call.send("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=2000)
        await finish(call, status="cancelled", status_details={"type": "cancelled", "reason": "turn_detected"})

    async with scripted(script, microphone=question) as (guest, calls):
        await press(guest, "Start")
        await guest.phase("speaking")

        async def loudness() -> float:
            """Of the last 100 ms that went to the speakers."""
            await guest.page.wait_for_timeout(400)
            samples = (await guest.recording()).samples
            return float(abs(samples[-2400:]).max())

        full = await loudness()
        cue.give()
        await guest.phase("contested")
        await expect(guest.page.locator("#phase")).to_have_text("Was that for me?")
        await guest.screenshots("contested")
        soft = await loudness()
        cue.give()
        await guest.phase("speaking")
        again = await loudness()
        cue.give()
        await guest.phase("contested")
        cue.give()
        await guest.phase("interrupted")
        truncated = await asyncio.wait_for(calls[0].truncates.get(), 5)
        assert full == pytest.approx(0.2, abs=0.01)
        assert soft == pytest.approx(0.2 / 4, abs=0.01)
        assert again == pytest.approx(0.2, abs=0.01)
        assert truncated["item_id"] == "item_r1"
        assert guest.complaints == []


async def test_patience_is_sent_while_it_is_chosen_and_remembered() -> None:
    async def script(call: Call) -> None:
        detection = {"type": "server_vad", "silence_duration_ms": 400, "patience": 0.3}
        session = {"id": "s", "audio": {"input": {"turn_detection": detection}}}
        await call.send("session.updated", session=session)

    async with scripted(script) as (guest, calls):
        slider = guest.page.get_by_label("Patience")
        await expect(slider).to_have_value("0.5")
        await press(guest, "Connect")
        await guest.phase("idle")
        await expect(slider).to_have_value("0.3")  # the server's
        await slider.focus()
        for _ in range(4):
            await guest.page.keyboard.press("ArrowRight")
        await expect(slider).to_have_attribute("aria-valuetext", "in the middle")
        await guest.until("localStorage.getItem('voxtral.patience') === '0.5'")
        update = await sent_patience(calls[0])
        assert update == {"type": "server_vad", "silence_duration_ms": 400, "patience": 0.5}
        await guest.page.reload()
        await guest.until("window.voxtral !== undefined")
        await expect(slider).to_have_value("0.5")
        await press(guest, "Connect")
        await guest.phase("idle")
        first = await sent(calls[1], "session.update")
        assert first["session"]["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "patience": 0.5}
        assert guest.complaints == []


async def sent_patience(call: Call) -> Any:
    """The turn detection that the page asked for last, when it is there."""

    def asked() -> list[Any]:
        inputs = [m["session"]["audio"].get("input", {}) for m in call.received if m["type"] == "session.update"]
        return [each["turn_detection"] for each in inputs if "turn_detection" in each]

    async with asyncio.timeout(10):
        while not asked():  # noqa: ASYNC110 - the stub has no event
            await asyncio.sleep(0.005)
    return asked()[-1]


# --- our server -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def story_and_interruption(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("microphone")
    story = "Please tell me a long story about a farmer and his old dog."
    parts: list[str | float] = [1.5, story, 3.5, "Wait, stop. What is the capital of France?", 60.0]
    return spoken(folder / "story.wav", parts)


@pytest.mark.models
@pytest.mark.timeout(240)
@pytest.mark.parametrize("live_server", ["embedded"], indirect=True)
async def test_a_spoken_conversation_with_real_models(live_server: str, story_and_interruption: Path) -> None:
    async with visit(live_server, story_and_interruption) as guest:
        await guest.screenshots("idle")
        await press(guest, "Connect")
        await guest.phase("idle")
        await press(guest, "Start")
        await guest.phase("hearing")
        await guest.phase("speaking")
        await guest.until("voxtral.counters.truncations.length > 0")
        await guest.until("voxtral.turns.filter((turn) => turn.v2vMs !== null).length >= 2")
        await guest.screenshots("speaking")
        await guest.phase("listening", 40_000)
        await guest.page.locator("#badge").click()
        await guest.screenshots("stages")
        await press(guest, "Stop")
        await guest.phase("idle")
        spoke, replied = await guest.turns("user"), await guest.turns("assistant")
        counters, recording, trace = (
            await guest.ask("voxtral.counters"),
            await guest.recording(),
            await guest.ask("voxtral.trace"),
        )

    assert guest.complaints == []
    assert "story" in spoke[0]["text"].lower()
    assert "capital" in spoke[-1]["text"].lower()
    assert replied[0]["status"] == "cut"
    assert replied[0]["playedMs"] == pytest.approx(counters["truncations"][0]["audio_end_ms"], abs=2)
    assert 0 < len(replied[0]["heard"]) <= len(replied[0]["text"])  # what is held back during a contest is never sent
    assert replied[-1]["status"] == "done"
    assert replied[-1]["heard"] == replied[-1]["text"] != ""
    played_ms = sum(reply["playedMs"] for reply in replied)
    assert recording.sounding_ms() > 0.5 * played_ms > 1000
    assert float(abs(recording.samples).max()) > 0.05
    assert 0 < trace["total_ms"] < replied[-1]["v2vMs"] < 5000


@pytest.mark.parametrize("live_server", ["fake"], indirect=True)
async def test_a_typed_question_is_answered_and_the_voice_interrupts_it(
    live_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("microphone")
    microphone = spoken(folder / "late.wav", [4.0, "Stop, I know that already.", 60.0])
    async with visit(live_server, microphone) as guest:
        await guest.ask(WATCH)
        await press(guest, "Start")
        await guest.page.get_by_label("Type a message").fill("word " * 60)
        await guest.page.keyboard.press("Enter")
        await guest.phase("speaking")
        await guest.until("voxtral.counters.truncations.length > 0")
        await guest.until("voxtral.v2vMs !== null")
        await guest.phase("listening")
        [cut, whole] = await guest.turns("assistant")
        counters, phases = await guest.ask("voxtral.counters"), await guest.ask("seen.phases")
    assert guest.complaints == []
    assert in_order(phases, "thinking", "speaking", "contested", "interrupted", "speaking")
    assert (cut["status"], whole["status"]) == ("cut", "done")
    assert counters["interruptions"] == 1
    assert counters["truncations"][0]["audio_end_ms"] == pytest.approx(cut["playedMs"], abs=2)


WATCH: Final = """() => {
    window.seen = { phases: [], drafts: [] };
    setInterval(() => seen.phases.at(-1) !== voxtral.phase && seen.phases.push(voxtral.phase), 5);
    const look = () => {
        for (const draft of document.querySelectorAll("#turns .drafts p, #turns .kept")) {
            const now = `${draft.className}: ${draft.textContent}`;
            if (!seen.drafts.includes(now)) seen.drafts.push(now);
        }
    };
    const all = { subtree: true, childList: true, attributes: true };
    new MutationObserver(look).observe(document.getElementById("turns"), all);
}"""
"""Keeps every phase that was shown, and everything that was shown of answers being prepared."""


def in_order(phases: list[str], *wanted: str) -> bool:
    rest = iter(phases)
    return all(phase in rest for phase in wanted)


@pytest.mark.parametrize("live_server", ["fake"], indirect=True)
async def test_a_careful_server_thinks_in_the_pause_and_keeps_what_it_prepared(
    live_server: str, question: Path
) -> None:
    async with visit(live_server, question) as guest:
        await guest.ask("localStorage.setItem('voxtral.patience', '1')")
        await guest.page.reload()
        await guest.until("window.voxtral !== undefined")
        await guest.ask(WATCH)
        await press(guest, "Start")
        await guest.until("voxtral.v2vMs !== null")
        await guest.until("seen.phases.at(-1) === 'listening'")
        phases, drafts = await guest.ask("seen.phases"), await guest.ask("seen.drafts")
        [said, *_] = await guest.turns("user")
    assert guest.complaints == []
    assert in_order(phases, "listening", "hearing", "settling", "speaking", "listening")
    assert f"begun: preparing an answer to {said['text']}" in drafts
    assert f"heard kept: {said['text']}" in drafts


# --- problems ---------------------------------------------------------------------------------------------------


async def told(guest: Visit, title: str, advice: str) -> None:
    alert = guest.page.get_by_role("alert")
    await expect(alert).to_contain_text(title)
    await expect(alert).to_contain_text(advice)


@pytest.mark.parametrize(
    ("microphone", "title", "advice"),
    [
        ("none", "No microphone found", "Plug one in"),
        ("denied", "The microphone is blocked", "Allow it"),
    ],
)
async def test_without_a_microphone_the_page_says_what_to_do_and_typing_still_works(
    microphone: str, title: str, advice: str
) -> None:
    async with scripted(keep_quiet, microphone=microphone) as (guest, calls):
        await press(guest, "Start")
        await told(guest, title, advice)
        assert await guest.ask("voxtral.phase") == "error"
        await guest.screenshots(f"microphone-{microphone}")
        await guest.page.get_by_label("Type a message").fill("Hello")
        await guest.page.keyboard.press("Enter")
        await sent(calls[0], "response.create")
        assert guest.complaints == []


async def test_on_an_address_that_is_not_secure_the_page_says_so() -> None:
    async with stub_server(keep_quiet, process_request=page_files) as stub:
        url = stub.url.replace("ws://127.0.0.1", "http://voxtral.test").removesuffix("/v1/realtime")
        async with visit(url, switches=["--host-resolver-rules=MAP voxtral.test 127.0.0.1"]) as guest:
            await press(guest, "Start")
            await told(guest, "This address is not secure", "https://")


@pytest.mark.parametrize(
    ("status", "title"),
    [(None, "The server does not answer"), (503, "The server is not ready yet"), (200, "The server refused")],
)
async def test_a_connection_that_fails_is_explained(status: int | None, title: str) -> None:
    async with scripted(keep_quiet) as (guest, _calls):
        await guest.page.route_web_socket("**/v1/realtime", lambda socket: socket.close(code=1008))
        await guest.page.route("**/v1/realtime", lambda route: route.fulfill(status=404))
        if status is None:
            await guest.page.route("**/readyz", lambda route: route.abort())
        else:
            await guest.page.route("**/readyz", lambda route: route.fulfill(status=status))
        await press(guest, "Connect")
        await told(guest, title, "")
        assert await guest.ask("voxtral.phase") == "error"


async def test_a_lost_connection_is_told_and_can_be_made_again() -> None:
    async with scripted(keep_quiet) as (guest, calls):
        await press(guest, "Connect")
        await guest.phase("idle")
        calls[0].abort()
        await told(guest, "The connection was lost", "Press Connect")
        await press(guest, "Connect")
        await guest.phase("idle")
        await expect(guest.page.get_by_role("alert")).to_be_hidden()


async def test_an_error_of_the_server_is_shown_and_the_conversation_goes_on() -> None:
    async def script(call: Call) -> None:
        error = {"type": "invalid_request_error", "code": "invalid_value", "message": "Voice 'x' is not known."}
        await call.send("error", error=error)

    async with scripted(script) as (guest, _calls):
        await press(guest, "Connect")
        await told(guest, "The server reports a problem", "Voice 'x' is not known.")
        assert await guest.ask("voxtral.phase") == "idle"
        await press(guest, "Dismiss this message")
        await expect(guest.page.get_by_role("alert")).to_be_hidden()


async def test_a_failed_answer_is_told() -> None:
    async def script(call: Call) -> None:
        await sent(call, "response.create")
        await call.begin("r1")
        failure = {"type": "failed", "error": {"type": "server_error", "message": "The speaker failed."}}
        await call.done("r1", "failed", status_details=failure)

    async with scripted(script) as (guest, _calls):
        await guest.page.get_by_label("Type a message").fill("Hello")
        await guest.page.keyboard.press("Enter")
        await told(guest, "The server reports a problem", "The speaker failed.")
        await guest.phase("idle")


# --- the files --------------------------------------------------------------------------------------------------


def test_the_page_weighs_less_than_99_kb() -> None:
    assert sum(file.stat().st_size for file in PAGE.iterdir()) < 99_000


async def test_nothing_is_asked_of_third_parties() -> None:
    async with scripted(keep_quiet) as (guest, _calls):
        await press(guest, "Connect")
        await guest.phase("idle")
        origin = await guest.ask("location.origin")
        assert len(guest.requests) > 10
        assert [url for url in guest.requests if not url.startswith(origin)] == []


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48_000, 24_000), (44_100, 24_000), (24_000, 48_000)])
async def test_the_resampler_keeps_speech_and_drops_what_would_fold(from_hz: int, to_hz: int) -> None:
    async with scripted(keep_quiet) as (guest, _calls):
        measured = await guest.page.evaluate(
            """async ([fromHz, toHz]) => {
                const { Resampler } = await import("/page/resampler.js");
                const level = (hz) => {
                    const resampler = new Resampler(fromHz, toHz);
                    const sine = (_, i) => Math.sin((2 * Math.PI * hz * i) / fromHz);
                    const input = Float32Array.from({ length: fromHz }, sine);
                    const output = [];
                    for (let at = 0; at < input.length; at += 128)
                        output.push(...resampler.push(input.subarray(at, at + 128)));
                    const settled = output.slice(1000, -1000);
                    return [output.length, Math.sqrt(settled.reduce((sum, x) => sum + x * x, 0) / settled.length)];
                };
                return [level(440), level(8000), level(fromHz / 2 - 500)];
            }""",
            [from_hz, to_hz],
        )
    (count, low), (_, high), (_, top) = measured
    assert count == pytest.approx(to_hz, abs=80)
    assert low == pytest.approx(0.7071, rel=0.002)
    assert high == pytest.approx(0.7071, rel=0.01)
    if to_hz < from_hz:
        assert top < 0.001  # -57 dB
