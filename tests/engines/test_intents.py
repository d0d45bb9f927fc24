"""Intents answer where they are sure, and nowhere else."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from voxtral_voice.engines.base import (
    NO_TOOLS,
    CallPiece,
    Finish,
    Message,
    NamedTool,
    Picture,
    Piece,
    Responder,
    Tool,
    Tools,
)
from voxtral_voice.engines.fakes import FakeResponder
from voxtral_voice.engines.intents import PHRASES, SURELY_FINISHED, Intents, Match, recognise, reply_to, words_of

NOON = datetime(2026, 11, 22, 12, 0)

RECOGNISED = {
    ("greeting", "en"): [
        *("hello", "Hello!", "HELLO", "Hi.", "hey", "Hello there!", "hi there", "hello, hello", "Hello again."),
        *("Good morning!", "good evening", "Good afternoon, everyone.", "Um, hello?", "oh hi", "Hello, good morning"),
    ],
    ("greeting", "hi"): [
        *("नमस्ते", "नमस्ते।", "नमस्ते जी!", "नमस्कार", "हैलो", "हेलो हेलो", "राम राम जी", "सुप्रभात", "hello नमस्ते"),
        *("namaste", "Namaste ji!", "namaskar", "Ram Ram"),
    ],
    ("thanks", "en"): [
        *("thanks", "Thank you.", "Thanks a lot!", "thank you so much", "Great, thanks!", "OK, thank you very much."),
        *("Thanks for your help.", "Thank you for that, thank you", "many thanks", "oh, perfect, thank you"),
    ],
    ("thanks", "hi"): [
        *("धन्यवाद", "बहुत धन्यवाद।", "बहुत बहुत धन्यवाद", "शुक्रिया!", "आपका बहुत शुक्रिया", "अच्छा, धन्यवाद जी"),
        "थैंक यू",
        *("dhanyavaad", "dhanyawad", "bahut shukriya", "bohot bohot dhanyavad", "theek hai, shukriya"),
    ],
    ("goodbye", "en"): [
        *("bye", "Goodbye!", "Bye-bye.", "Good-bye", "OK, bye then.", "Thanks, bye!", "bye for now", "Good night."),
        *("See you later.", "I'll see you tomorrow", "I’ll talk to you soon", "take care", "Have a nice day!"),
        "Thank you very much, goodbye.",
    ],
    ("goodbye", "hi"): [
        *("अलविदा", "फिर मिलेंगे।", "अच्छा, फिर मिलते हैं!", "शुभ रात्रि", "धन्यवाद, अलविदा", "बाय बाय"),
        "ख़ुदा हाफ़िज़",
        *("alvida", "phir milenge", "fir milte hain", "Shubh ratri"),
    ],
    ("time", "en"): [
        *("What time is it?", "what time is it", "What's the time?", "What’s the time, please?"),
        "what is the time now",
        *("Hello, what time is it?", "Can you tell me the time?", "Could you please tell me what time it is?"),
        *("Do you know what time it is?", "do you have the time", "Tell me the time.", "what time is it right now"),
        *("Excuse me, what time is it?", "the time, please", "Okay, so what's the current time?"),
        "Hi there! What time is it, please? Thanks!",
    ],
    ("time", "hi"): [
        *("कितने बजे हैं?", "अभी कितने बजे हैं", "समय क्या है?", "टाइम क्या हुआ है", "क्या समय हुआ है"),
        "वक़्त क्या हुआ है",
        *("कितना बजा है", "अभी कितने बज रहे हैं", "नमस्ते, समय क्या हुआ है?", "कृपया समय बताइए", "मुझे टाइम बताओ"),
        *("kitne baje hain", "abhi kitne baje hai?", "Time kya hua hai?", "samay kya hai", "time batao"),
    ],
    ("date", "en"): [
        *("What's the date?", "What is the date today?", "what is today's date", "What day is it?"),
        "what day is today",
        *("What's today’s date, please?", "Which day is it today?", "Can you tell me the date?"),
        "What's the day today",
        *("Do you know what day it is?", "what day of the week is it", "Hey, what date is it today?"),
    ],
    ("date", "hi"): [
        *("आज कौन सा दिन है?", "आज क्या तारीख़ है", "आज क्या तारीख है", "आज की तारीख क्या है", "आज कौनसी तारीख है जी"),
        *("आज क्या दिन है", "aaj kaun sa din hai", "aaj ki tarikh kya hai?", "aaj kya tareekh hai"),
        "aaj ki date kya hai",
    ],
    ("repeat", "en"): [
        *("repeat that", "Repeat that, please.", "Can you repeat that?", "Could you please repeat?", "say that again"),
        *("Sorry, could you say that again please?", "What did you say?", "What did you just say", "Come again?"),
        *("Pardon?", "pardon me", "I didn't catch that.", "Sorry, I did not hear you"),
        "would you repeat what you said",
        *("Say it one more time.", "what was that again", "Please repeat."),
    ],
    ("repeat", "hi"): [
        *("फिर से कहिए", "दोबारा बोलिए।", "एक बार फिर से बताइए", "क्या कहा आपने?", "आपने क्या कहा", "कृपया दोहराइए"),
        *("ज़रा फिर से बोलो", "क्या आप दोहरा सकते हैं", "phir se bolo", "dobara boliye", "kya kaha aapne"),
        "repeat karo",
        "एक बार और बताना",
    ],
}  # fmt: skip

NEAR_MISSES = [
    *("which", "this", "hi-fi", "Hi-Fi systems", "high", "hill", "Chile", "Delhi", "they", "history", "Philip", ""),
    *("...", "?!", "what", "time", "okay", "please", "sorry", "yes", "no", "no thanks", "No, thank you.", "and"),
    *("hello kitty", "hello world", "say hello to my little friend", "hey Jude", "Hi, my name is Tom."),
    *("Hello, how are you?", "good morning Vietnam", "What does hello mean?", "how do you say hello in French"),
    *("What time does the shop open?", "what time is it in Tokyo", "What time is it there?"),
    "what time is the meeting",
    *("what time is lunch", "the time machine", "tell me the time of the train", "Do you have time?"),
    *("how much time is left", "what is time", "What's the time difference to India?", "once upon a time"),
    *("What is the date of the battle of Hastings?", "what day is it tomorrow", "What day is Christmas?"),
    *("which day is best for fishing", "set a date", "what's the day after tomorrow", "I have a date today"),
    *("Thanks, and what is the capital of France?", "thank you, tell me a joke", "thanks to you I am late"),
    *("Thanksgiving", "when is Thanksgiving", "thank your mother", "thank you for smoking"),
    *("thanks and", "hello and", "hello so", "What time is it and where are you"),
    *("goodbye yellow brick road", "bye-law", "buy", "by the way", "see you in court", "good night moon story"),
    *("See you later alligator is a song", "have a nice", "take care of the dog", "say goodbye to Tom"),
    *("repeat after me", "repeat that in French", "repeat the last three words", "say that again in Hindi"),
    *("say it with flowers", "what did you say about Paris", "what did you say your name was", "again"),
    *("don't repeat that", "I didn't get the job", "what was that noise", "what did he say"),
    *("नमस्ते का मतलब क्या है", "भारत की राजधानी क्या है?", "दुकान कितने बजे खुलती है", "ट्रेन कितने बजे है", "समय"),
    *("कल कौन सा दिन है", "धन्यवाद, भारत की राजधानी क्या है", "मैंने धन्यवाद कहा", "उसने क्या कहा", "नमस्तेजी का घर"),
    *("dukaan kitne baje khulti hai", "kal kya tarikh hai", "namaste ka matlab kya hai", "usne kya kaha", "ramram"),
    *("bharat ki rajdhani kya hai", "phir se shuru karo", "शुक्रवार", "शुक्रिया अदा करना", "हाय तौबा"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "intent", "language"),
    [(text, intent, language) for (intent, language), texts in RECOGNISED.items() for text in texts],
)
def test_an_utterance_that_is_wholly_an_intent_is_recognised(text: str, intent: str, language: str) -> None:
    match = recognise(text)
    assert match is not None
    assert (match.intent, match.language) == (intent, language)


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_is_not_recognised(text: str) -> None:
    assert recognise(text) is None


def test_an_utterance_longer_than_any_phrase_is_not_recognised() -> None:
    thanks = "thanks " * 13
    assert recognise(thanks + "hi") == Match("thanks", "en")
    assert recognise(thanks + "thanks hello") is None


@pytest.mark.parametrize("text", ["hi " * 33 + "x", "thank you so much " * 5 + "no", "बहुत " * 18 + "x", "a" * 100_000])
def test_recognition_takes_no_time(text: str) -> None:
    begin = time.thread_time()
    assert recognise(text) is None
    assert time.thread_time() - begin < 0.05


def test_the_phrases_are_written_as_the_words_arrive() -> None:
    for _, _, pattern in PHRASES:
        normal = unicodedata.normalize("NFD", pattern.lower())
        assert normal == pattern
        assert not set(normal) & set("\N{DEVANAGARI SIGN NUKTA}\N{DEVANAGARI SIGN CANDRABINDU}'’-")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's the time?", ["whats", "the", "time"]),
        ("Bye—bye...", ["bye", "bye"]),
        ("वक़्त हुआ है।", ["वक्त", "हुआ", "है"]),
        ("हूँ", ["हूं"]),
        (" , ", []),
    ],
)
def test_words_have_no_punctuation_case_or_nukta(text: str, words: list[str]) -> None:
    assert words_of(text) == words


# --- replies ---


@pytest.mark.parametrize(
    ("hour", "minute", "english", "hindi"),
    [
        (0, 0, "It's 12 AM.", "अभी रात के 12 बजे हैं।"),
        (0, 5, "It's 12:05 AM.", "अभी रात के 12 बजकर 5 मिनट हुए हैं।"),
        (9, 0, "It's 9 AM.", "अभी सुबह के 9 बजे हैं।"),
        (12, 30, "It's 12:30 PM.", "अभी दोपहर के 12 बजकर 30 मिनट हुए हैं।"),
        (13, 0, "It's 1 PM.", "अभी दोपहर का 1 बजा है।"),
        (17, 45, "It's 5:45 PM.", "अभी शाम के 5 बजकर 45 मिनट हुए हैं।"),
        (23, 59, "It's 11:59 PM.", "अभी रात के 11 बजकर 59 मिनट हुए हैं।"),
    ],
)
def test_the_time_is_said_as_people_say_it(hour: int, minute: int, english: str, hindi: str) -> None:
    now = NOON.replace(hour=hour, minute=minute)
    assert reply_to("time", "en", now, []) == english
    assert reply_to("time", "hi", now, []) == hindi


@pytest.mark.parametrize(
    ("now", "english", "hindi"),
    [
        (datetime(2026, 11, 22), "Today is Sunday, November 22.", "आज रविवार, 22 नवंबर है।"),
        (datetime(2027, 1, 4), "Today is Monday, January 4.", "आज सोमवार, 4 जनवरी है।"),
        (datetime(2028, 2, 29), "Today is Tuesday, February 29.", "आज मंगलवार, 29 फ़रवरी है।"),
    ],
)
def test_the_date_is_said_with_its_day(now: datetime, english: str, hindi: str) -> None:
    assert reply_to("date", "en", now, []) == english
    assert reply_to("date", "hi", now, []) == hindi


def user(text: str) -> Message:
    return Message("user", text)


async def answer(
    messages: Sequence[Message],
    language: str | None = None,
    max_tokens: int | None = None,
    tools: Tools = NO_TOOLS,
) -> tuple[str, bool]:
    """(the reply, whether the fallback gave it)."""
    asked: list[Sequence[Message]] = []

    class Model(FakeResponder):
        def respond(self, messages: Sequence[Message], **options: Any) -> AsyncGenerator[Piece, None]:
            asked.append(messages)
            return super().respond(messages, **options)

    async def no_sleep(_: float) -> None: ...

    responder: Responder = Intents(Model(lambda _: "from the model", sleep=no_sleep), lambda: NOON)
    stream = responder.respond(messages, language=language, max_tokens=max_tokens, tools=tools)
    return "".join([piece async for piece in stream if isinstance(piece, str)]), bool(asked)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Hello!", "Hello! How can I help you?"),
        ("Thanks.", "You're welcome!"),
        ("Bye.", "Goodbye! Talk to you soon."),
        ("What time is it?", "It's 12 PM."),
        ("What day is it?", "Today is Sunday, November 22."),
        ("नमस्ते", "नमस्ते! मैं आपकी क्या मदद करूँ?"),
        ("dhanyavaad", "आपका स्वागत है!"),
        ("alvida", "अलविदा! फिर मिलेंगे।"),
        ("समय क्या है?", "अभी दोपहर के 12 बजे हैं।"),
    ],
)
async def test_an_intent_is_answered_without_the_model(text: str, reply: str) -> None:
    assert await answer([user(text)]) == (reply, False)


@pytest.mark.parametrize("text", ["which", "Thanks, and what is the capital of France?", ""])
async def test_everything_else_goes_to_the_fallback(text: str) -> None:
    assert await answer([user(text)]) == ("from the model", True)
    assert await answer([user(text)], max_tokens=2) == ("from the", True)


@pytest.mark.parametrize(
    ("text", "finished"), [("Thanks", SURELY_FINISHED), ("Good morning", SURELY_FINISHED), ("Thanks, and", 0.25)]
)
async def test_an_intent_is_a_finished_utterance_and_the_fallback_judges_the_rest(text: str, finished: float) -> None:
    async def no_sleep(_: float) -> None: ...

    responder = Intents(FakeResponder(finished=lambda _: 0.25, sleep=no_sleep), lambda: NOON)
    assert await responder.prepare([user(text)], language="en") == finished


async def test_nothing_said_is_for_the_fallback_to_judge() -> None:
    responder = Intents(FakeResponder(finished=lambda _: 0.25), lambda: NOON)
    assert await responder.prepare([user("a"), Message("assistant", "hello")], language=None) == 0.25


async def test_hindi_is_answered_when_the_user_is_known_to_speak_it() -> None:
    assert await answer([user("Hello")], language="hi") == ("नमस्ते! मैं आपकी क्या मदद करूँ?", False)
    assert await answer([user("namaste")], language="en") == ("नमस्ते! मैं आपकी क्या मदद करूँ?", False)


async def test_repeat_says_the_last_reply_again() -> None:
    history = [user("a"), Message("assistant", "First."), user("b"), Message("assistant", "Second, it was."), user("c")]
    nothing_heard = [*history, Message("assistant", " "), user("Repeat that, please.")]
    assert await answer([*history, user("What did you say?")]) == ("Second, it was.", False)
    assert await answer(nothing_heard) == ("Second, it was.", False)


async def test_repeat_with_nothing_said_yet_says_so() -> None:
    assert await answer([user("Repeat that.")]) == ("I haven't said anything yet.", False)
    assert await answer([user("फिर से कहिए")]) == ("मैंने अभी तक कुछ नहीं कहा है।", False)


@pytest.mark.parametrize("messages", [[], [Message("system", "hello")], [user("hi"), Message("assistant", "hello")]])
async def test_only_the_users_last_words_are_an_intent(messages: list[Message]) -> None:
    assert await answer(messages) == ("from the model", True)


async def test_max_tokens_cuts_an_intents_reply_too() -> None:
    assert await answer([user("Hello")], max_tokens=2) == ("Hello! How", False)
    for max_tokens, last in ((2, Finish("length")), (6, "you?"), (None, "you?")):
        stream = Intents(FakeResponder(), lambda: NOON).respond([user("Hello")], language=None, max_tokens=max_tokens)
        *_, piece = [piece async for piece in stream]
        assert piece == (last if isinstance(last, Finish) else f" {last}")


def tool(name: str, description: str = "") -> Tool:
    return Tool(name, description, "")


@pytest.mark.parametrize(
    ("text", "offered", "by_the_model"),
    [
        ("What time is it?", tool("get_weather"), False),
        ("What time is it?", tool("get_current_time"), True),
        ("What time is it?", tool("getTime"), True),
        ("What time is it?", tool("now", "Tells the time."), True),
        ("What time is it?", tool("get_date"), False),
        ("What day is it?", tool("get_date"), True),
        ("What day is it?", tool("update_cart"), False),
        ("Bye.", tool("hang_up"), True),
        ("Bye.", tool("get_weather"), False),
        ("Hello!", tool("get_time"), False),
        ("Thanks.", tool("get_time"), False),
        ("Repeat that.", tool("get_time"), False),
    ],
)
async def test_what_a_tool_may_be_for_is_left_to_the_model(text: str, offered: Tool, by_the_model: bool) -> None:
    assert (await answer([user(text)], tools=Tools((offered,))))[1] == by_the_model


@pytest.mark.parametrize(
    ("tools", "by_the_model"),
    [
        (Tools((tool("f"),), "required"), True),
        (Tools((tool("f"),), NamedTool("f")), True),
        (Tools((tool("get_time"),), "none"), False),
        (Tools((), "required"), False),
    ],
)
async def test_a_call_that_is_demanded_is_for_the_model(tools: Tools, by_the_model: bool) -> None:
    assert (await answer([user("What time is it?")], tools=tools))[1] == by_the_model


async def test_the_model_is_offered_the_tools() -> None:
    async def no_sleep(_: float) -> None: ...

    responder = Intents(FakeResponder(sleep=no_sleep), lambda: NOON)
    tools = Tools((tool("get_weather"),))
    stream = responder.respond([user("The weather")], language=None, max_tokens=None, tools=tools)
    assert any([isinstance(piece, CallPiece) async for piece in stream])


async def test_words_with_a_picture_are_for_the_model() -> None:
    shown = Message("user", "Hello", (Picture("data:image/png;base64,AAAA"),))
    assert (await answer([shown]))[1]


def test_the_name_tells_both() -> None:
    assert Intents(FakeResponder(), lambda: NOON).name == "intents, then fake responder"


async def test_starting_and_closing_reach_the_fallback() -> None:
    class Model(FakeResponder):
        seen: tuple[str, ...] = ()

        async def start(self) -> None:
            self.seen += ("start",)

        async def aclose(self) -> None:
            self.seen += ("close",)

    model = Model()
    intents = Intents(model, lambda: NOON)
    await intents.start()
    await intents.aclose()
    assert model.seen == ("start", "close")


def test_a_match_says_what_and_in_which_language() -> None:
    assert recognise("kitne baje hain") == Match("time", "hi")


async def test_what_is_heard_is_recognised_as_soon_as_it_has_words() -> None:
    listener = Intents(FakeResponder(listens=True, first_token_ms=0, token_ms=0, prepare_ms=0), lambda: NOON)
    unknown, known = (Message("user", text, audio=np.full(16_000, 0.1, np.float32)) for text in ("", "Hello."))
    assert listener.listens
    assert await listener.prepare([unknown], language=None) is None
    assert await listener.prepare([known], language=None) == SURELY_FINISHED
    replies = []
    for message in (unknown, known):
        pieces = listener.respond([message], language=None, max_tokens=None)
        replies.append("".join([piece async for piece in pieces if isinstance(piece, str)]))
    assert replies == ["You spoke for 1.0 seconds.", "Hello! How can I help you?"]
