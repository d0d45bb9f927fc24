/**
 * What was said, by whom, and how much of it was really heard.
 *
 * Knows: text and the audio that carries it. Does not know: the DOM, the socket.
 */

/** One turn of the conversation. */
export class Turn {
  constructor(id, role) {
    this.id = id;
    this.role = role; // "user" | "assistant"
    this.text = "";
    this.status = "live"; // "live" | "done" | "cut" | "lost"
    this.past = false; // of an earlier connection
    this.note = null; // said in place of text
    this.v2vMs = null;
    this.receivedMs = 0; // audio of an answer
    this.playedMs = 0;
    this.marks = []; // {chars, ms}: the text from here on belongs to the audio from here on
  }

  addText(delta) {
    if (this.marks.at(-1)?.ms !== this.receivedMs) this.marks.push({ chars: this.text.length, ms: this.receivedMs });
    this.text += delta;
  }

  addAudio(ms) {
    this.receivedMs += ms;
  }

  /** Length of the text that was heard, at a word's end: a word counts when half of it was played. */
  get heardChars() {
    if (this.role === "user" || this.status === "done") return this.text.length;
    if (this.receivedMs === 0) return 0;
    return wordEnd(this.text, this.charsAt(this.playedMs));
  }

  /** Proportional between the marks. */
  charsAt(ms) {
    const end = { chars: this.text.length, ms: this.receivedMs };
    const points = [...this.marks, end];
    for (let i = 1; i < points.length; i++) {
      const [from, to] = [points[i - 1], points[i]];
      if (ms < to.ms) return from.chars + ((to.chars - from.chars) * (ms - from.ms)) / (to.ms - from.ms);
    }
    return this.text.length;
  }
}

function wordEnd(text, chars) {
  let end = 0;
  for (const word of text.matchAll(/\S+/gu)) {
    if (word.index + word[0].length / 2 > chars) break;
    end = word.index + word[0].length;
  }
  return end;
}
