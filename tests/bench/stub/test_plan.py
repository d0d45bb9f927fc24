"""Answers and latencies follow from the seed and the words, and add up to what is known."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.stub.make import TEXTS, clip, clips
from voxtral_voice.bench.stub.plan import (
    INSTANT,
    Known,
    Latencies,
    Latency,
    StubPlan,
    first_sentence,
    tokens_of,
    words_of,
)
from voxtral_voice.conversation.phrases import Cut, PhraseSplitter


def many(count: int) -> StubPlan:
    return StubPlan([clip(f"Question number {i}, please?", name=f"many/{i}") for i in range(count)])


def test_the_same_seed_is_the_same_plan_and_another_is_not() -> None:
    plan, again, other = StubPlan(clips()), StubPlan(clips()[::-1]), StubPlan(clips(), seed=2)
    for made in clips():
        assert plan.known_ms(made.id) == again.known_ms(made.id) != other.known_ms(made.id)
        assert plan.reply(made.text) == again.reply(made.text)
    assert [plan.reply(text) for text in TEXTS] != [other.reply(text) for text in TEXTS]


def test_replies_are_two_short_sentences_and_the_first_is_nobody_elses() -> None:
    plan = many(300)
    replies = [plan.reply(made.text) for made in plan.clips]
    assert len({first_sentence(reply) for reply in replies}) == len(replies)
    for reply in replies:
        assert reply.count(".") == 2
        assert 4 <= len(first_sentence(reply).split()) <= 6
        assert len(first_sentence(reply)) >= 20  # some frameworks speak no shorter sentence alone
        assert not set(",;:!?") & set(reply)


def test_the_first_phrase_that_we_would_speak_is_the_first_sentence() -> None:
    plan = many(50)
    for made in plan.clips:
        reply = plan.reply(made.text)
        splitter, fed = PhraseSplitter(), 0
        phrases: list[Cut] = []
        for token in tokens_of(reply):
            fed += 1
            if phrases := splitter.feed(token):
                break
        assert phrases == [Cut(first_sentence(reply))]
        assert plan.known_ms(made.id).first_phrase_ms == pytest.approx((fed - 1) * 1000 / 60)


def test_latencies_are_as_declared() -> None:
    plan = many(1000)
    for declared, drawn in (
        ((250, 300), [plan.transcript_ms(made.text) for made in plan.clips]),
        ((300, 450), [plan.first_token_ms(made.text) for made in plan.clips]),
        ((100, 150), [plan.first_audio_ms(plan.reply(made.text)) for made in plan.clips]),
    ):
        p50, p95 = np.percentile(drawn, [50, 95])
        assert p50 == pytest.approx(declared[0], rel=0.03)
        assert p95 == pytest.approx(declared[1], rel=0.05)
        assert max(drawn) < declared[1] * 1.3


def test_what_is_known_is_the_sum_of_its_parts() -> None:
    plan = StubPlan(clips(), latencies=Latencies(leading_silence_ms=150))
    made = plan.clips[0]
    reply = plan.reply(made.text)
    known = plan.known_ms(made.id)
    phrase_ms = len(tokens_of(first_sentence(reply))) * plan.latencies.token_ms
    audio_ms = plan.first_audio_ms(first_sentence(reply))
    assert known == Known(plan.transcript_ms(made.text), plan.first_token_ms(made.text), phrase_ms, audio_ms, 150)
    assert known.total_ms == pytest.approx(
        known.transcript_ms + known.first_token_ms + known.first_phrase_ms + known.first_audio_ms + 150
    )


def test_an_instant_plan_takes_no_time() -> None:
    plan = StubPlan(clips(), latencies=INSTANT)
    assert {plan.known_ms(made.id).total_ms for made in plan.clips} == {0}
    with pytest.raises(KeyError):
        plan.known_ms("set/none")


@pytest.mark.parametrize(
    "said",
    [
        "go forward ten METERS",
        " Go  forward, ten meters! ",
        "What was that? Go forward ten meters.",
        "Please turn on the lights in the kitchen. Go forward ten meters.",
    ],
)
def test_the_last_known_words_are_answered_however_they_are_written(said: str) -> None:
    plan = StubPlan(clips())
    assert plan.reply(said) == plan.reply(TEXTS[0])
    assert plan.first_token_ms(said) == plan.first_token_ms(TEXTS[0])


def test_words_that_are_no_clips_have_answers_too() -> None:
    plan = StubPlan(clips())
    assert plan.reply("Sing a song") == plan.reply("sing a song!") != plan.reply("Tell a joke")
    assert plan.reply("") == plan.reply("...")
    assert plan.reply("undergo forward ten meters") != plan.reply(TEXTS[0])


def test_clips_with_the_same_words_share_everything() -> None:
    plan = StubPlan([clip("Go.", 1, name="a"), clip("go", 2, name="b"), clip("", 3, name="c")])
    assert plan.known_ms("a") == plan.known_ms("b")
    assert plan.reply("Go.") != plan.reply("")


def test_a_latency_of_nothing_is_nothing() -> None:
    assert Latency(0, 0).at(0.99) == 0
    assert Latency(100, 150).at(0.5) == pytest.approx(100)
    assert Latency(100, 150).at(0.95) == pytest.approx(150)


def test_tokens_join_to_the_text_and_words_are_plain() -> None:
    text = "It's 3.5, isn't it?  Yes. "
    assert "".join(tokens_of(text)) == text
    assert tokens_of("The cat. Sat") == ["The", " cat", ".", " Sat"]
    assert words_of("  It's, “fine”!\n") == "it's fine"
    assert words_of("नमस्ते दुनिया।") == words_of("नमस्ते दुनिया")
