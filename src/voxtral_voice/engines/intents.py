"""Responder that answers a few fixed requests by itself, at once, and hands the rest to another one.

Knows: how people greet, thank, say goodbye, ask for the time, the date or "repeat that", in English and Hindi
(Devanagari, and as commonly written in Latin letters). Does not know: anything that needs a model.

It answers only where it is sure: the whole utterance has to be one of the phrases below, with nothing around it but
words of politeness. "What time is it" is; "what time does the shop open" and "thanks, and what is the capital of
France" are not. Where the client offers tools it leaves to the other one what a tool may be for: the time when a tool's
name or description speaks of time, everything when a call is required.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from voxtral_voice.engines.base import NO_TOOLS, Finish, Message, NamedTool, Piece, Responder, Tool, Tools

Intent = Literal["greeting", "thanks", "goodbye", "time", "date", "repeat"]
Language = Literal["en", "hi"]

LONGEST_CHARS: Final = 100
"""A longer utterance is not one of ours; nothing is matched against it."""

SURELY_FINISHED: Final = 0.98
"""P(finished) of an utterance that is wholly an intent: after "thank you" a person may still go on."""

_GREETING_EN: Final = (
    r"hello|hi|hey|(?:hello|hi|hey) (?:there|again)|howdy|greetings|good (?:morning|afternoon|evening)"
)
_GREETING_HI: Final = (
    r"(?:नमस्ते|नमस्कार|प्रणाम|हैलो|हेलो|हलो|हाय|सुप्रभात|शुभ प्रभात|शुभ संध्या|राम राम)(?: जी)?"
    r"|(?:namaste|namaskar|namaskaar|pranam|suprabhat|ram ram)(?: ji)?"
)
_THANKS_EN: Final = (
    r"(?:many )?thanks|thanks (?:a lot|so much|very much|a million|again)|thank you"
    r"|thank you (?:so much|very much|a lot|again|kindly)"
    r"|(?:thanks|thank you) for (?:that|your help|the help|helping|helping me|everything)"
)
_THANKS_HI: Final = (
    r"(?:आपका )?(?:बहुत )*(?:धन्यवाद|शुक्रिया)|थैंक यू|थैंक्यू|थैंक्स"
    r"|(?:aapka )?(?:(?:bahut|bohot|bahot) )*(?:dhanyavaa?d|dhanyawaa?d|shukriya|shukria)"
)
_POLITE: Final = (
    rf"{_GREETING_EN}|{_GREETING_HI}|{_THANKS_EN}|{_THANKS_HI}"
    r"|please|ok|okay|all right|alright|sorry|excuse me|great|cool|perfect"
    r"|जी|कृपया|प्लीज|अच्छा|ठीक है|ओके|जरा|माफ कीजिए"
    r"|ji|kripya|pliz|accha|achha|acha|theek hai|thik hai|zara|jara|maaf kijiye"
)
_BEFORE: Final = rf"{_POLITE}|well|um|uh|er|oh|so|and|तो|सुनो|सुनिए|to|suno|suniye"
_AFTER: Final = rf"{_POLITE}|then|now|right now|for now|everyone|everybody|my friend"
_ASK_EN: Final = r"(?:(?:can|could|would|will) you (?:please )?|i said )?"
_TELL_EN: Final = r"(?:tell me |(?:can|could|would|will) you (?:please )?tell me |do you know )"
_SAY_HI: Final = r"(?:कहो|कहिए|कहिये|कहना|बोलो|बोलिए|बोलिये|बोलना|बताओ|बताइए|बताइये|बताना)"
_SAY_LATIN: Final = r"(?:kaho|kahiye|kahie|bolo|boliye|bolie|batao|bataiye|bataie)"

PHRASES: Final[tuple[tuple[Intent, Language, str], ...]] = (
    ("time", "en", rf"what time is it|(?:{_TELL_EN}|what is |whats )the (?:current )?time|{_TELL_EN}what time it is"),
    ("time", "en", r"do you have the time|(?:the |current )?time please|what time is it (?:currently|at the moment)"),
    ("time", "hi", r"(?:अभी |अब )?(?:कितने|क्या) (?:बजे|बज रहे|बज गए|बजे हुए) (?:है|हैं)|(?:अभी )?कितना बजा है"),
    ("time", "hi", r"(?:अभी )?(?:समय|टाइम|वक्त) क्या (?:है|हुआ|हुआ है|हो रहा है)"),
    ("time", "hi", r"(?:अभी )?क्या (?:समय|टाइम|वक्त) (?:है|हुआ है)"),
    ("time", "hi", r"(?:मुझे )?(?:समय|टाइम|वक्त) (?:बताओ|बताइए|बताइये|बता दो|बता दीजिए)"),
    ("time", "hi", r"(?:abhi )?(?:kitne|kya) (?:baje|baj rahe|baj gaye) (?:hai|hain|he)|(?:abhi )?kitna baja hai"),
    ("time", "hi", r"(?:abhi )?(?:time|samay|waqt) kya (?:hai|hua|hua hai|ho raha hai)"),
    ("time", "hi", r"(?:abhi )?kya (?:time|samay|waqt) (?:hai|hua hai)"),
    ("time", "hi", rf"(?:mujhe )?(?:time|samay) {_SAY_LATIN}"),
    ("date", "en", rf"(?:{_TELL_EN}|what is |whats )(?:the date|todays date|the date today|the day today|the day)"),
    ("date", "en", r"(?:what|which) (?:day|date) (?:is it|is it today|is today)|todays date"),
    ("date", "en", rf"{_TELL_EN}what (?:day|date) (?:it is|it is today|today is)"),
    ("date", "en", r"what day of the week is it(?: today)?"),
    ("date", "hi", r"आज (?:कौन सा|कौनसा|क्या) (?:दिन|वार) है|आज (?:क्या|कौन सी|कौनसी|कितनी) (?:तारीख|डेट|तिथि) है"),
    ("date", "hi", r"आज की (?:तारीख|डेट|तिथि)(?: क्या है| बताओ| बताइए| बताइये)?|(?:तारीख|डेट) क्या है"),
    ("date", "hi", r"aaj (?:kaun sa|kaunsa|konsa|kya) (?:din|var) hai"),
    ("date", "hi", r"aaj (?:kya|kaun si|kaunsi|kitni) (?:taa?rikh|tareekh|date) hai"),
    ("date", "hi", rf"aaj ki (?:taa?rikh|tareekh|date)(?: kya hai| {_SAY_LATIN})?"),
    ("repeat", "en", rf"{_ASK_EN}repeat(?: that| it| yourself| what you (?:just )?said)?(?: again)?"),
    ("repeat", "en", rf"{_ASK_EN}say (?:that|it) (?:again|one more time|once more)"),
    ("repeat", "en", r"say again|come again|pardon|pardon me|what did you (?:just )?say|what was that(?: again)?"),
    ("repeat", "en", r"i (?:didnt|did not) (?:catch|hear|get) (?:that|you|it)"),
    ("repeat", "hi", rf"(?:फिर से|दोबारा|दुबारा|एक बार और|एक बार फिर|एक बार फिर से) {_SAY_HI}"),
    ("repeat", "hi", r"(?:आपने )?क्या कहा|क्या कहा आपने"),
    ("repeat", "hi", r"(?:क्या आप )?(?:इसे |उसे )?(?:दोहराओ|दोहराइए|दोहराइये|दोहरा (?:दो|दीजिए|सकते हैं|सकती हैं))"),
    ("repeat", "hi", rf"(?:phir se|fir se|dobara|dubara|ek baar aur|ek baar phir) {_SAY_LATIN}"),
    ("repeat", "hi", r"(?:aapne )?kya kaha|kya kaha aapne"),
    ("repeat", "hi", r"(?:ise |isko )?(?:dohrao|dohraiye|dohra (?:do|dijiye))|repeat (?:karo|kijiye|kariye)"),
    ("goodbye", "en", r"bye|bye bye|goodbye|good bye|good night|goodnight|see you|see ya|take care|farewell"),
    ("goodbye", "en", r"(?:i will |ill )?(?:see|talk to) you (?:later|soon|tomorrow)"),
    ("goodbye", "en", r"have a (?:nice|good|great) (?:day|evening|night|one|weekend)"),
    ("goodbye", "hi", r"अलविदा|बाय|बाय बाय|टाटा|फिर मिलेंगे|फिर मिलते हैं|कल मिलते हैं|शुभ रात्रि|खुदा हाफिज"),
    ("goodbye", "hi", r"alvida|tata|(?:phir|fir) mile?nge|(?:phir|fir|kal) milte (?:hain|hai)|shubh ratri|khuda hafiz"),
    ("thanks", "hi", _THANKS_HI),
    ("thanks", "en", _THANKS_EN),
    ("greeting", "hi", _GREETING_HI),
    ("greeting", "en", _GREETING_EN),
)
"""(intent, language, pattern of the words) in the order they are tried; the words are as `words_of` leaves them."""

_COMPILED: Final = tuple(
    (intent, language, re.compile(rf"(?:(?:{_BEFORE}) )*(?:{pattern})(?: (?:{_AFTER}))*"))
    for intent, language, pattern in PHRASES
)

REPLIES: Final[dict[tuple[Intent, Language], str]] = {
    ("greeting", "en"): "Hello! How can I help you?",
    ("greeting", "hi"): "नमस्ते! मैं आपकी क्या मदद करूँ?",
    ("thanks", "en"): "You're welcome!",
    ("thanks", "hi"): "आपका स्वागत है!",
    ("goodbye", "en"): "Goodbye! Talk to you soon.",
    ("goodbye", "hi"): "अलविदा! फिर मिलेंगे।",
    ("repeat", "en"): "I haven't said anything yet.",
    ("repeat", "hi"): "मैंने अभी तक कुछ नहीं कहा है।",
}
"""What is said; for "repeat" only when there is nothing to repeat."""

TOOL_WORDS: Final[Mapping[Intent, frozenset[str]]] = {
    "time": frozenset({"time", "clock", "hour", "timezone"}),
    "date": frozenset({"date", "day", "today", "calendar", "weekday"}),
    "goodbye": frozenset({"goodbye", "bye", "hang", "hangup", "end", "farewell"}),
}
"""A tool with one of these in its name or description may be what the intent asks for. The others need none."""

_DAYS_EN: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_DAYS_HI: Final = ("सोमवार", "मंगलवार", "बुधवार", "गुरुवार", "शुक्रवार", "शनिवार", "रविवार")
_MONTHS_EN: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_MONTHS_HI: Final = (
    *("जनवरी", "फ़रवरी", "मार्च", "अप्रैल", "मई", "जून"),
    *("जुलाई", "अगस्त", "सितंबर", "अक्टूबर", "नवंबर", "दिसंबर"),
)
_PARTS_OF_DAY_HI: Final = ((4, "रात"), (12, "सुबह"), (16, "दोपहर"), (20, "शाम"), (24, "रात"))
"""(until this hour, its name)."""


@dataclass(frozen=True, slots=True)
class Match:
    intent: Intent
    language: Language


class Intents:
    """fallback: who answers everything else. clock: the user's local time."""

    def __init__(self, fallback: Responder, clock: Callable[[], datetime]) -> None:
        self._fallback = fallback
        self._clock = clock

    @property
    def listens(self) -> bool:
        return self._fallback.listens

    @property
    def name(self) -> str:
        return f"intents, then {self._fallback.name}"

    async def start(self) -> None:
        await self._fallback.start()

    async def aclose(self) -> None:
        await self._fallback.aclose()

    def respond(
        self, messages: Sequence[Message], *, language: str | None, max_tokens: int | None, tools: Tools = NO_TOOLS
    ) -> AsyncGenerator[Piece, None]:
        """As `base.Responder.respond`. Answers in the language of the words; in Hindi also when it is told so."""
        match = _intent_of(messages)
        if match is None or _needs_tool(match.intent, tools):
            return self._fallback.respond(messages, language=language, max_tokens=max_tokens, tools=tools)
        spoken: Language = "hi" if language == "hi" else match.language
        return _words(reply_to(match.intent, spoken, self._clock(), messages), max_tokens)

    async def prepare(self, messages: Sequence[Message], *, language: str | None) -> float | None:
        """As `base.Responder.prepare`. An utterance that is wholly one of ours is finished."""
        if _intent_of(messages):
            return SURELY_FINISHED
        return await self._fallback.prepare(messages, language=language)


def _intent_of(messages: Sequence[Message]) -> Match | None:
    """Of the user's last words; of a picture that came with them only a model can speak."""
    last = messages[-1] if messages else None
    return recognise(last.text) if last and last.role == "user" and not last.pictures else None


def _needs_tool(intent: Intent, tools: Tools) -> bool:
    """Or may do so."""
    if not tools.may_call:
        return False
    if tools.choice == "required" or isinstance(tools.choice, NamedTool):
        return True
    return any(not TOOL_WORDS.get(intent, frozenset()).isdisjoint(_words_of_tool(tool)) for tool in tools.tools)


def _words_of_tool(tool: Tool) -> list[str]:
    """get_time, getTime and get-time are two words."""
    return words_of(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tool.name) + " " + tool.description)


def recognise(text: str) -> Match | None:
    """The intent that the whole utterance is, or None."""
    if len(text) > LONGEST_CHARS:
        return None
    said = " ".join(words_of(text))
    return next((Match(i, lang) for i, lang, pattern in _COMPILED if pattern.fullmatch(said)), None)


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation. Apostrophes vanish (what's -> whats), hyphens part words; Devanagari
    loses its nuktas and has one nasal sign, as both are written at will."""
    plain = unicodedata.normalize("NFD", text.lower()).replace("\N{DEVANAGARI SIGN NUKTA}", "")
    plain = plain.replace("\N{DEVANAGARI SIGN CANDRABINDU}", "\N{DEVANAGARI SIGN ANUSVARA}")
    plain = plain.replace("'", "").replace("’", "")
    return "".join(" " if unicodedata.category(c)[0] in "PS" else c for c in plain).split()


def reply_to(intent: Intent, language: Language, now: datetime, messages: Sequence[Message]) -> str:
    if intent == "time":
        return _time_en(now) if language == "en" else _time_hi(now)
    if intent == "date":
        return _date_en(now) if language == "en" else _date_hi(now)
    said = (m.text for m in reversed(messages) if m.role == "assistant" and m.text.strip())
    return next(said, REPLIES[intent, language]) if intent == "repeat" else REPLIES[intent, language]


def _time_en(now: datetime) -> str:
    minutes = f":{now.minute:02}" if now.minute else ""
    return f"It's {now.hour % 12 or 12}{minutes} {'AM' if now.hour < 12 else 'PM'}."


def _time_hi(now: datetime) -> str:
    part = next(name for until, name in _PARTS_OF_DAY_HI if now.hour < until)
    hour = now.hour % 12 or 12
    if now.minute:
        return f"अभी {part} के {hour} बजकर {now.minute} मिनट हुए हैं।"
    return f"अभी {part} {'का 1 बजा है' if hour == 1 else f'के {hour} बजे हैं'}।"


def _date_en(now: datetime) -> str:
    return f"Today is {_DAYS_EN[now.weekday()]}, {_MONTHS_EN[now.month - 1]} {now.day}."


def _date_hi(now: datetime) -> str:
    return f"आज {_DAYS_HI[now.weekday()]}, {now.day} {_MONTHS_HI[now.month - 1]} है।"


async def _words(text: str, max_tokens: int | None) -> AsyncGenerator[Piece, None]:
    words = re.findall(r"\s*\S+", text)
    for word in words[:max_tokens]:
        yield word
    if max_tokens is not None and len(words) > max_tokens:
        yield Finish("length")
