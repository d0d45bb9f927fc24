"""The part of `order` that is about responses: rules 1 to 4, 6 and 13.

Knows: what opens, fills and closes a response and each of its items. Does not know: items outside of responses, speech,
what the client asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pybase64

Event = dict[str, Any]

UNCHANGED: Final = (
    "object", "id", "conversation_id", "output_modalities", "max_output_tokens", "audio", "metadata",
)  # fmt: skip
"""Of a response, from its beginning to its end."""
REASONS: Final[dict[str, set[str | None]]] = {
    "cancelled": {"turn_detected", "client_cancelled"},
    "incomplete": {"max_output_tokens", "content_filter"},
    "failed": {None},
}
WHOLE: Final = {
    "audio": {"response.output_audio", "response.output_audio_transcript"},
    "text": {"response.output_text"},
}
"""Content part -> what has to be done before it is."""
WORDS: Final = {"audio": "transcript", "text": "text"}
MOST_ASIDES: Final = 8


@dataclass(slots=True)
class Part:
    kind: str
    """audio or text."""
    words: str = ""
    """What the deltas said."""
    done: set[str] = field(default_factory=set)
    closed: bool = False


@dataclass(slots=True)
class Sound:
    """Of an item, as its deltas carried it."""

    encoding: str
    size: int = 0
    """Bytes."""
    sum: int = 0
    """CRC-32."""

    def add(self, audio: bytes) -> None:
        self.size += len(audio)
        self.sum = zlib.crc32(audio, self.sum)


@dataclass(slots=True)
class Output:
    """An item of a response."""

    item: Event
    """As it was added."""
    sound: Sound
    parts: list[Part] = field(default_factory=list)
    arguments: str = ""
    arguments_done: bool = False
    told: bool = False
    """It is in the conversation."""
    told_done: Event | None = None
    """As `conversation.item.done` had it."""
    done: Event | None = None


@dataclass(slots=True)
class Response:
    created: Event
    outputs: list[Output] = field(default_factory=list)

    @property
    def is_aside(self) -> bool:
        return self.created["conversation_id"] is None

    @property
    def encoding(self) -> str:
        kind: str = self.created["audio"]["output"]["format"]["type"]
        return kind


class Replies:
    """Raises AssertionError that names the rule."""

    def __init__(self) -> None:
        self.active: str | None = None
        """The response of the conversation that is not done."""
        self.open: dict[str, Response] = {}
        self.over: set[str] = set()
        self.outputs: dict[str, Output] = {}
        """Items of the responses that are open, by id."""
        self.sounds: dict[str, Sound] = {}
        """Of all items that were heard."""
        self.asides: set[str] = set()
        """Items of open responses beside the conversation."""
        self._steps: dict[str, Callable[[Event], None]] = {
            "response.created": self._created,
            "response.done": self._done,
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.content_part.added": self._part_added,
            "response.content_part.done": self._part_done,
            "response.output_text.delta": self._words,
            "response.output_text.done": self._all_words,
            "response.output_audio_transcript.delta": self._words,
            "response.output_audio_transcript.done": self._all_words,
            "response.output_audio.delta": self._audio,
            "response.output_audio.done": self._all_audio,
            "response.function_call_arguments.delta": self._arguments,
            "response.function_call_arguments.done": self._all_arguments,
        }

    def receive(self, event: Event) -> None:
        step = self._steps.get(event["type"])
        assert step is not None, f"rule 3: no response has a {event['type']}"
        step(event)

    def finish(self) -> None:
        assert not self.open, f"rule 2: {', '.join(self.open)} has no response.done"

    # --- in the conversation ------------------------------------------------------------------------------------

    def told(self, item: Event) -> bool:
        """`conversation.item.added` came. False: it is no response's item."""
        self._not_aside(item["id"])
        output = self.outputs.get(item["id"])
        if output is None or output.done is not None:
            return False
        assert not output.told, f"rule 5: {item['id']} was added before"
        assert item == output.item, f"rule 5: {item['id']} is another in its response"
        output.told = True
        return True

    def told_done(self, item: Event) -> None:
        """`conversation.item.done` came."""
        self._not_aside(item["id"])
        output = self.outputs.get(item["id"])
        if output is not None and output.told and output.done is None:
            self._is_whole(output, item)
            output.told_done = item

    def _not_aside(self, item_id: str) -> None:
        assert item_id not in self.asides, f"rule 13: {item_id} is beside the conversation"

    # --- the response -------------------------------------------------------------------------------------------

    def _created(self, event: Event) -> None:
        response = event["response"]
        response_id = response["id"]
        assert response_id not in self.over | self.open.keys(), f"rule 2: {response_id} was there before"
        begins = (response["status"], response["status_details"], response["output"], response["usage"])
        assert begins == ("in_progress", None, [], None), f"rule 2: {response_id} begins as {begins}"
        new = Response(response)
        if new.is_aside:
            asides = [each for each in self.open.values() if each.is_aside]
            assert len(asides) < MOST_ASIDES, f"rule 1: {len(asides)} are beside the conversation already"
        else:
            assert self.active is None, f"rule 1: {self.active} is active"
            self.active = response_id
        self.open[response_id] = new

    def _done(self, event: Event) -> None:
        end = event["response"]
        response = self._open(end["id"])
        for output in response.outputs:
            assert output.done is not None, f"rule 4: {output.item['id']} is not done"
        items = [output.done for output in response.outputs]
        assert end["output"] == items, f"rule 2: its output is {end['output']}, but there were {items}"
        for key in UNCHANGED:
            assert end[key] == response.created[key], f"rule 2: its {key} was {response.created[key]}, is {end[key]}"
        _says_how_it_ended(end)
        assert isinstance(end["usage"], dict), "rule 2: its usage is not told"
        self._forget(end["id"], response)

    def _forget(self, response_id: str, response: Response) -> None:
        del self.open[response_id]
        self.over.add(response_id)
        for output in response.outputs:
            del self.outputs[output.item["id"]]
            self.asides.discard(output.item["id"])
        if self.active == response_id:
            self.active = None

    def _open(self, response_id: str) -> Response:
        assert response_id not in self.over, f"rule 3: {response_id} is done"
        assert response_id in self.open, f"rule 3: {response_id} was not created"
        return self.open[response_id]

    # --- its items ----------------------------------------------------------------------------------------------

    def _item_added(self, event: Event) -> None:
        response, item = self._open(event["response_id"]), event["item"]
        index, item_id = event["output_index"], item["id"]
        assert index == len(response.outputs), f"rule 4: {item_id} has index {index}, not {len(response.outputs)}"
        assert item_id not in self.outputs.keys() | self.asides | self.sounds.keys(), f"rule 4: {item_id} was there"
        assert item["status"] == "in_progress", f"rule 4: {item_id} begins {item['status']}"
        empty = item["content"] == [] if item["type"] == "message" else item["arguments"] == ""
        assert empty, f"rule 4: {item_id} begins with {item}"
        output = self.outputs[item_id] = Output(item, Sound(response.encoding))
        response.outputs.append(output)
        if item["type"] == "message":
            self.sounds[item_id] = output.sound
        if response.is_aside:
            self.asides.add(item_id)

    def _item_done(self, event: Event) -> None:
        output, item = self._output(event, event["item"]["id"]), event["item"]
        if not self.open[event["response_id"]].is_aside:
            assert output.told_done is not None, f"rule 5: {item['id']} has no conversation.item.done before"
            assert output.told_done == item, f"rule 5: {item['id']} is another in the conversation"
        self._is_whole(output, item)
        output.done = item

    def _output(self, event: Event, item_id: str) -> Output:
        """The item that the event is about; it is in the conversation, and not done."""
        response, index = self._open(event["response_id"]), event["output_index"]
        assert index < len(response.outputs), f"rule 4: there is no item with index {index}"
        output = response.outputs[index]
        assert output.item["id"] == item_id, f"rule 4: {item_id} is not the item with index {index}"
        assert output.done is None, f"rule 4: {item_id} is done"
        assert output.told or response.is_aside, f"rule 5: {item_id} was not added"
        return output

    def _is_whole(self, output: Output, item: Event) -> None:
        """The item, as it is at its end, is the one that was opened, with what its deltas said."""
        item_id = item["id"]
        assert item["status"] in ("completed", "incomplete"), f"rule 4: {item_id} is done, but {item['status']}"
        for part in output.parts:
            assert part.closed, f"rule 4: a content part of {item_id} is not done"
        if item["type"] == "function_call":
            same = [item[key] == output.item[key] for key in ("call_id", "name")]
            assert all(same), f"rule 4: {output.item} became {item}"
            assert item["arguments"] == output.arguments, f"rule 6: the arguments of {item_id} are others"
            whole = output.arguments_done or item["status"] == "incomplete"
            assert whole, f"rule 4: the arguments of {item_id} are not done"
            return
        said = [content[WORDS[_kind(content)]] for content in item["content"]]
        given = [part.words for part in output.parts]
        assert said == given, f"rule 6: the deltas of {item_id} say {given}, the item says {said}"

    # --- content ------------------------------------------------------------------------------------------------

    def _part_added(self, event: Event) -> None:
        output, part = self._output(event, event["item_id"]), event["part"]
        assert output.item["type"] == "message", f"rule 4: {event['item_id']} is a call and has no content"
        index = event["content_index"]
        assert index == len(output.parts), f"rule 4: the part has index {index}, not {len(output.parts)}"
        assert part[WORDS[part["type"]]] == "", f"rule 4: the part begins with {part}"
        output.parts.append(Part(part["type"]))

    def _part_done(self, event: Event) -> None:
        part = self._part(event)
        missing = WHOLE[part.kind] - part.done
        assert not missing, f"rule 4: not done: {sorted(missing)}"
        said = event["part"]
        assert said["type"] == part.kind, f"rule 4: {part.kind} has become {said['type']}"
        assert said[WORDS[part.kind]] == part.words, f"rule 6: the deltas say {part.words!r}, the part says {said}"
        part.closed = True

    def _part(self, event: Event) -> Part:
        output, index = self._output(event, event["item_id"]), event["content_index"]
        assert index < len(output.parts), f"rule 4: content part {index} is not open"
        part = output.parts[index]
        assert not part.closed, f"rule 4: content part {index} is done"
        return part

    def _filling(self, event: Event) -> tuple[Part, str]:
        """The part that the event fills, and which of its streams; it is not done."""
        part, what = self._part(event), event["type"].rpartition(".")[0]
        assert what in WHOLE[part.kind], f"rule 4: {what} in a part of {part.kind}"
        assert what not in part.done, f"rule 6: {what} is done"
        return part, what

    def _words(self, event: Event) -> None:
        part, _ = self._filling(event)
        part.words += event["delta"]

    def _all_words(self, event: Event) -> None:
        part, what = self._filling(event)
        said = event[WORDS[part.kind]]
        assert said == part.words, f"rule 6: the deltas say {part.words!r}, the end says {said!r}"
        part.done.add(what)

    def _audio(self, event: Event) -> None:
        self._filling(event)
        sound, audio = self.sounds[event["item_id"]], pybase64.b64decode(event["delta"], validate=True)
        assert audio, "rule 6: a piece without sound"
        assert sound.encoding != "audio/pcm" or len(audio) % 2 == 0, "rule 6: half a sample"
        sound.add(audio)

    def _all_audio(self, event: Event) -> None:
        part, what = self._filling(event)
        part.done.add(what)

    # --- calls --------------------------------------------------------------------------------------------------

    def _call(self, event: Event) -> Output:
        output = self._output(event, event["item_id"])
        assert output.item["type"] == "function_call", f"rule 4: {event['item_id']} is no call"
        assert output.item["call_id"] == event["call_id"], f"rule 4: {event['item_id']} has another call_id"
        assert not output.arguments_done, f"rule 6: the arguments of {event['item_id']} are done"
        return output

    def _arguments(self, event: Event) -> None:
        output = self._call(event)
        output.arguments += event["delta"]

    def _all_arguments(self, event: Event) -> None:
        output = self._call(event)
        said = event["arguments"]
        assert said == output.arguments, f"rule 6: the deltas say {output.arguments!r}, the end says {said!r}"
        assert event["name"] == output.item["name"], f"rule 4: {output.item['name']} has become {event['name']}"
        output.arguments_done = True


def _kind(content: Event) -> str:
    """Of an item's content, as a part calls it."""
    kind: str = content["type"]
    return kind.removeprefix("output_")


def _says_how_it_ended(response: Event) -> None:
    status, details = response["status"], response["status_details"]
    statuses = {item["status"] for item in response["output"]}
    if status == "completed":
        assert details is None, f"rule 2: it is completed, and says {details}"
        assert statuses <= {"completed"}, f"rule 2: it is completed, but its items are {statuses}"
        return
    assert status in REASONS, f"rule 2: it ended {status}"
    assert details["type"] == status, f"rule 2: it ended {status}, and says {details}"
    assert details["reason"] in REASONS[status], f"rule 2: it ended {status}, and says {details}"
    failed = bool(details["error"]) and bool(details["error"]["message"])
    assert failed == (status == "failed"), f"rule 2: it ended {status}, and says {details}"
