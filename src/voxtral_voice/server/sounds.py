"""The sound of the newest items, for clients that want to have it back.

Knows: which notices bring sound, take it away, or say how much of it was played. Does not know: the wire, the core.

Of each side at most KEEP_S are kept; the oldest items go first, and one that is longer by itself is not kept. What is
still being said takes nobody's place before its end: it may become too long.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from voxtral_voice.audio.frames import InputBuffer
from voxtral_voice.audio.pcm import BYTES_PER_SAMPLE, float_to_pcm16
from voxtral_voice.conversation import events as ev
from voxtral_voice.engines.base import LISTEN_RATE_HZ, SPEAK_RATE_HZ
from voxtral_voice.realtime.audio_formats import Sound

KEEP_S: Final = 30.0
MOST_ITEMS: Final = 256
"""On each side, however short they are."""


class Sounds:
    """audio: what the session hears."""

    def __init__(self, audio: InputBuffer) -> None:
        self._audio = audio
        self._heard = _Shelf(LISTEN_RATE_HZ)
        self._said = _Shelf(SPEAK_RATE_HZ)
        self._given = _Shelf(SPEAK_RATE_HZ)
        """What the client sent with items of its own."""
        self._items: dict[str, str | None] = {}
        """Of each reply of the conversation that is under way: its message, once that has begun."""

    def get(self, item_id: str) -> Sound | None:
        """None = not kept."""
        shelves = (self._heard, self._said, self._given)
        return next((sound for shelf in shelves if (sound := shelf.get(item_id)) is not None), None)

    def give(self, item_id: str, pcm: bytes) -> None:
        """The client has made an item of this sound (16-bit, 24 kHz, mono)."""
        self._given.put(item_id, pcm)

    def note(self, notice: ev.Notice) -> None:
        """What the client is told."""
        match notice:
            case ev.ReplyAudioDelta(reply_id, samples):
                if (item_id := self._items.get(reply_id)) is not None:
                    self._said.add(item_id, float_to_pcm16(samples))
            case ev.AudioCommitted(item, _, start, end):
                self._heard.put(item.id, float_to_pcm16(self._audio.slice(start, end)))
            case ev.ReplyStarted(reply_id, item_id, aside=False):
                self._begin(reply_id, item_id)
            case ev.ReplyMessageStarted(reply_id, item_id) if reply_id in self._items:
                self._begin(reply_id, item_id)
            case ev.ReplyEnded(reply_id):
                self._items.pop(reply_id, None)
                self._said.make_room()
            case ev.ItemTruncated(item_id, audio_end_ms):
                self._said.cut(item_id, audio_end_ms)
            case ev.ItemDeleted(item_id):
                for shelf in (self._heard, self._said, self._given):
                    shelf.forget(item_id)

    def _begin(self, reply_id: str, item_id: str | None) -> None:
        self._items[reply_id] = item_id
        if item_id is not None:
            self._said.begin(item_id)


class _Shelf:
    """Sounds of one rate by their item, the oldest first."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._most = int(KEEP_S * rate_hz) * BYTES_PER_SAMPLE
        self._size = 0
        self._sounds: OrderedDict[str, bytearray] = OrderedDict()

    def put(self, item_id: str, pcm: bytes) -> None:
        self.begin(item_id)
        self.add(item_id, pcm)
        self.make_room()

    def begin(self, item_id: str) -> None:
        self.make_room()
        self.forget(item_id)
        self._sounds[item_id] = bytearray()
        if len(self._sounds) > MOST_ITEMS:
            self.forget(next(iter(self._sounds)))

    def add(self, item_id: str, pcm: bytes) -> None:
        """Nothing happens when the item has not begun, or has become too old or too long."""
        sound = self._sounds.get(item_id)
        if sound is None:
            return
        sound += pcm
        self._size += len(pcm)
        if len(sound) > self._most:
            self.forget(item_id)

    def make_room(self) -> None:
        """The newest sound is whole."""
        while self._size > self._most:
            self.forget(next(iter(self._sounds)))

    def cut(self, item_id: str, end_ms: int) -> None:
        sound = self._sounds.get(item_id, bytearray())
        end = end_ms * self._rate_hz // 1000 * BYTES_PER_SAMPLE
        self._size -= len(sound[end:])
        del sound[end:]

    def forget(self, item_id: str) -> None:
        self._size -= len(self._sounds.pop(item_id, b""))

    def get(self, item_id: str) -> Sound | None:
        """None also for a sound of no length."""
        pcm = bytes(self._sounds.get(item_id, b""))
        return Sound(pcm, self._rate_hz) if pcm else None
