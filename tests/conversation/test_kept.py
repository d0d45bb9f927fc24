from __future__ import annotations

from dataclasses import replace

from voxtral_voice.conversation.events import Item, OutputItem, Picture, Restored, ToolOutput
from voxtral_voice.conversation.kept import Saying, heard_to, without_pictures

USER = Item("u", "user", "audio", "hi")
LATER = Item("v", "user", "text", "by the way")
MADE = "It is Paris. It lies on the Seine."
SAYING = Saying("a", MADE, ((100.0, 2), (200.0, 5), (300.0, 12), (400.0, 15), (500.0, 20)))


def said(text: str, status: str = "incomplete") -> Item:
    return Item("a", "assistant", "audio", text, status)  # type: ignore[arg-type]


KEPT = Restored((USER, said("It is"), LATER), "Paris. It lies on the Seine.", "af_heart", "en")


def test_the_client_has_got_more_than_had_been_sent() -> None:
    assert heard_to(KEPT, SAYING, 350) == replace(
        KEPT, history=(USER, said("It is Paris."), LATER), rest="It lies on the Seine."
    )


def test_the_client_has_got_less() -> None:
    assert heard_to(KEPT, SAYING, 100) == replace(
        KEPT, history=(USER, said("It"), LATER), rest="is Paris. It lies on the Seine."
    )


def test_the_client_has_got_nothing() -> None:
    assert heard_to(KEPT, SAYING, 50) == replace(KEPT, history=(USER, LATER), rest=MADE)


def test_the_client_has_got_all() -> None:
    whole = replace(SAYING, places=(*SAYING.places, (900.0, len(MADE))))
    assert heard_to(KEPT, whole, 900) == replace(KEPT, history=(USER, said(MADE, "completed"), LATER), rest="")


def test_of_what_was_not_begun_when_it_was_kept() -> None:
    owed = Restored((USER,), owed=True)
    assert heard_to(owed, SAYING, 50) == owed
    assert heard_to(owed, SAYING, 200) == Restored((USER, said("It is")), "Paris. It lies on the Seine.")


def test_without_pictures() -> None:
    shown = replace(USER, pictures=(Picture("data:image/png;base64,"),))
    output = OutputItem("o", ToolOutput("1", "sunny"))
    assert without_pictures((shown, output)) == (USER, output)
