from __future__ import annotations

import math

import pytest

from tests.conversation.stage import names, sound
from voxtral_voice.conversation import events as ev
from voxtral_voice.conversation.reply import Reply


def reply(
    modality: ev.Modality = "audio", free_at: float = -math.inf, *, may_call: bool = False, pace: float = 1.0
) -> Reply:
    return Reply("resp_1", "item_1", modality, "af_heart", 40, free_at, may_call=may_call, pace=pace)


def spoken(text: str, *audio_ms: float, words: tuple[tuple[str, float, float], ...] = ()) -> Reply:
    made = reply()
    phrases = made.add_text(text) + made.end_text()
    for phrase, ms in zip(phrases, audio_ms, strict=True):
        places = tuple(phrase.text.find(word) for word, *_ in words)
        made.add_audio(ev.PhraseAudio(made.id, phrase.index, sound(ms), words, places=() if -1 in places else places))
        made.end_phrase(phrase.index)
    return made


def test_text_leaves_with_the_first_audio_of_its_phrase() -> None:
    made = reply()
    assert [p.text for p in made.add_text("Hello there. How are")] == ["Hello there."]
    assert made.due(0.0, 400) == []
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(60)))
    out = made.due(0.0, 400)
    assert names(out) == ["ReplyTextDelta", "ReplyAudioDelta", "ReplyAudioDelta"]
    assert [a.samples.size for a in out if isinstance(a, ev.ReplyAudioDelta)] == [960, 480]
    assert made.conclusion() is None
    made.end_phrase(0)
    made.end_text()
    made.due(0.0, 400)
    made.end_phrase(1)
    assert names(made.due(0.0, 400)) == ["ReplyTextDelta"]  # a phrase that is only punctuation has no sound
    assert made.conclusion() == ("completed", None)
    assert made.audio_ms == 60


def test_pacing_waits_for_playout() -> None:
    made = spoken("Hello there.", 1000)
    assert len(made.due(0.0, 390)) == 1 + 10
    assert made.due(0.0, 390) == []
    assert made.next_due_at(390) == pytest.approx(0.011, abs=0.001)
    assert len(made.due(0.2, 390)) == 5
    assert made.played_at() == pytest.approx(0.6)


def test_a_reply_behind_another_is_heard_after_it() -> None:
    made = reply(free_at=10.0)
    made.add_text("Hello there. ")
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(200)))
    made.due(9.8, 400)
    assert made.played_at() == pytest.approx(10.2)


@pytest.mark.parametrize(
    ("heard_ms", "text"),
    [
        (0, ""),
        (90, ""),
        (290, "One two"),
        (900, "One two three four."),
        (1600, "One two three four. Five"),
        (2000, "One two three four. Five six."),
    ],
)
def test_heard_text_is_cut_at_a_word(heard_ms: float, text: str) -> None:
    made = spoken("One two three four. Five six.", 1000, 1000)
    made.due(0.0, 10_000)
    assert made.heard_text(heard_ms) == text


def test_word_times_decide_when_there_are_any() -> None:
    words = (("One", 0.0, 100.0), ("two", 800.0, 900.0))
    made = spoken("One two.", 1000, words=words)
    made.due(0.0, 10_000)
    assert made.heard_text(700) == "One"
    assert made.heard_text(850) == "One two."


def test_a_word_that_was_not_spoken_takes_no_time() -> None:
    words = (("One", 0.0, 400.0), ("three.", 500.0, 900.0))
    made = spoken("One 🙂🙂🙂🙂 three.", 1000, words=words)
    made.due(0.0, 10_000)
    assert made.heard_text(190) == ""
    assert made.heard_text(390) == "One"
    assert made.heard_text(650) == "One"
    assert made.heard_text(750) == "One 🙂🙂🙂🙂 three."


def test_times_of_other_words_are_not_used() -> None:
    made = spoken("One two.", 1000, words=(("Something", 0.0, 100.0), ("else", 100.0, 200.0)))
    made.due(0.0, 10_000)
    assert made.heard_text(700) == "One"


@pytest.mark.parametrize(
    "words",
    [
        (),
        (("今日は天気です。", 0.0, 1600.0),),
        (("今日は", 0.0, 600.0), ("天気", 600.0, 1000.0), ("です。", 1000.0, 1600.0)),
    ],
)
def test_a_text_without_spaces_is_heard_character_by_character(words: ev.WordTimes) -> None:
    made = spoken("今日は天気です。", 1600, words=words)
    made.due(0.0, 10_000)
    assert [made.heard_text(ms) for ms in (50, 150, 750, 1600)] == ["", "今", "今日は天", "今日は天気です。"]


def word_deltas(out: list[ev.Notice]) -> list[ev.WordTimes]:
    return [notice.words for notice in out if isinstance(notice, ev.ReplyTextDelta)]


def test_words_are_told_with_their_times_in_the_replys_audio() -> None:
    made = reply()
    made.add_text("Hello there. How are you? ")
    made.end_text()
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(800), (("Hello", 10.0, 300.0), ("there.", 300.0, 600.0))))
    made.end_phrase(0)
    made.add_audio(ev.PhraseAudio("resp_1", 1, sound(40), (("How", 5.0, 90.0),)))
    assert word_deltas(made.due(0.0, 10_000)) == [
        (("Hello", 10.0, 300.0), ("there.", 300.0, 600.0)), (("How", 805.0, 890.0),),
    ]  # fmt: skip
    made.add_audio(ev.PhraseAudio("resp_1", 1, sound(400), (("are", 90.0, 200.0), ("you?", 200.0, 300.0))))
    made.end_phrase(1)
    assert word_deltas(made.due(0.0, 10_000)) == [(("are", 890.0, 1000.0), ("you?", 1000.0, 1100.0))]  # what came late
    assert [word for word, *_ in made.word_times] == ["Hello", "there.", "How", "are", "you?"]


def test_of_a_reply_that_was_cut_off_only_words_that_were_sent_have_times() -> None:
    made = spoken("Hello there.", 1000, words=(("Hello", 10.0, 300.0), ("there.", 300.0, 600.0)))
    made.due(0.0, 190)
    made.discard()
    assert made.audio_ms == 200
    assert made.word_times == (("Hello", 10.0, 300.0),)


def test_who_speaks_is_known_with_the_first_audio() -> None:
    made, by = reply(), ev.SpokenBy("af_heart", "hf_alpha", "hi", "language")
    made.add_text("Hello there. ")
    assert made.by is None
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(40), by=by))
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(40)))
    assert made.by is by


def test_what_nobody_speaks_leaves_when_its_turn_comes() -> None:
    made = reply()
    phrases = made.add_text("Here it is:\n```\ncode\n```\nThat is all.") + made.end_text()
    assert [phrase.text for phrase in phrases if not phrase.silent] == ["Here it is:", "That is all."]
    assert made.due(0.0, 400) == []
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(100)))
    made.end_phrase(0)
    deltas = [notice.delta for notice in made.due(0.0, 400) if isinstance(notice, ev.ReplyTextDelta)]
    assert "".join(deltas) == "Here it is:\n```\ncode\n```\n"
    assert made.heard_text(100) == "Here it is:\n```\ncode\n```"


def test_a_reply_of_nothing_but_code_is_complete_without_a_sound() -> None:
    made = reply()
    made.add_text("```\ncode\n```\n")
    made.end_text()
    assert set(names(made.due(0.0, 0))) == {"ReplyTextDelta"}
    assert made.conclusion() == ("completed", None)
    assert (made.audio_ms, made.word_times, made.by) == (0, (), None)


def test_what_did_not_leave_was_not_heard() -> None:
    made = spoken("One two three four. Five six.", 1000, 1000)
    made.due(0.0, 400)
    made.discard()
    assert made.heard_text(10_000) == "One two three four."
    assert made.next_due_at(400) is None


def test_a_text_reply_is_read_as_it_leaves() -> None:
    made = reply("text")
    made.add_text("Hello there. How")
    assert names(made.due(0.0, 0)) == ["ReplyTextDelta"]
    assert made.heard_text(0) == "Hello there."


def test_white_space_is_no_message() -> None:
    made = reply("text", may_call=True)
    assert made.add_text(" \n") == []
    assert made.add_text("") == []
    assert made.end_text() == []
    assert made.message_at is None
    assert made.due(0.0, 0) == []
    assert made.conclusion() == ("failed", None)
    assert made.failure == "responder: it gave no answer."


def test_white_space_before_the_words_belongs_to_them() -> None:
    made = reply("text", may_call=True)
    made.add_text("\n")
    made.add_text("Hello. ")
    made.end_text()
    assert [c.delta for c in made.due(0.0, 0) if isinstance(c, ev.ReplyTextDelta)] == ["\nHello.", " "]
    assert made.conclusion() == ("completed", None)


def test_calls_alone_are_an_answer() -> None:
    made = reply(may_call=True)
    assert not made.has_output
    made.add_call(ev.ReplyCall("resp_1", 0, "call_1", "weather", "{}"), lambda kind: f"{kind}_2")
    assert made.has_output
    assert made.conclusion() is None
    usage = ev.Usage(12, 3)
    made.end_text("stop", usage)
    assert made.conclusion() == ("completed", None)
    assert made.usage == usage
    assert made.played_at() == -math.inf


def test_an_answer_that_was_too_long_is_incomplete_also_when_it_is_empty() -> None:
    made = reply("text")
    made.end_text("length")
    assert made.conclusion() == ("incomplete", "max_output_tokens")


def test_audio_that_need_not_be_played_leaves_faster() -> None:
    made = reply(pace=10.0)
    made.add_text("Hello there. ")
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(10_000)))
    assert len(made.due(0.0, 200)) == 1 + 50  # 2 s of audio in pieces of 40 ms
    assert made.next_due_at(200) == pytest.approx(0.001, abs=0.001)
    assert len(made.due(0.1, 200)) == 25


# --- an apology -------------------------------------------------------------------------------------------------


def test_an_apology_is_a_phrase_with_its_words_and_who_says_it() -> None:
    reply = Reply("R", "I", "audio", "af_heart", 100, -math.inf)
    reply.add_text("It is Paris. And so on.")
    reply.add_audio(ev.PhraseAudio("R", 0, sound(300), by=ev.SpokenBy("af_heart", "af_heart", "en", "asked")))
    reply.failure = "broken"
    reply.discard()
    assert reply.apologise()
    assert (reply.conclusion(), reply.by, reply.made_text) == (None, None, "")
    by = ev.SpokenBy("af_heart", "af_bella", "en", "language")
    reply.add_apology(ev.Apology("R", "Sorry.", sound(200), (("Sorry.", 0.0, 200.0),), by, (0,)))
    assert sum(isinstance(notice, ev.ReplyAudioDelta) for notice in reply.due(1.0, 10_000)) == 2
    assert (reply.conclusion(), reply.by, reply.word_times) == (("failed", None), by, (("Sorry.", 0.0, 200.0),))


def test_there_is_no_apology_beside_words_that_were_seen() -> None:
    """A silent phrase was told."""
    reply = Reply("R", "I", "audio", "af_heart", 100, -math.inf)
    reply.add_text("One two three four five six. And so on and on.")
    reply.end_phrase(0)
    reply.due(1.0, 400)
    assert reply.sent_text
    assert not reply.apologise()


def test_the_places_of_words_end_where_there_is_no_audio() -> None:
    made = reply()
    made.add_text("Hello there. How are you? I am fine. ")
    assert [*made.heard_places()] == []
    made.add_audio(ev.PhraseAudio("resp_1", 0, sound(600), (("Hello", 0, 200), ("there.", 200, 600)), places=(0, 6)))
    assert [*made.heard_places()] == [(100.0, 5), (400.0, 12)]
    made.end_phrase(0)
    assert [*made.heard_places()] == [(100.0, 5), (400.0, 12), (599.0, len("Hello there."))]
    made.add_audio(ev.PhraseAudio("resp_1", 1, sound(300), (("How", 0, 300),), places=(1,)))
    assert [*made.heard_places()][3:] == [(750.0, len("Hello there. How"))]
