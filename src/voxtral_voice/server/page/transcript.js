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
    this.drafts = []; // {text, outcome}: answers prepared to these words in a pause; "begun" | "dropped" | "kept"
    this.kept = false; // the answer to these words was there before the turn was over
    this.receivedMs = 0; // audio of an answer
    this.playedMs = 0;
    this.marks = []; // {chars, ms}: the text from here on belongs to the audio from here on
  }

  addText(delta) {
    if (this.marks.at(-1)?.ms !== this.receivedMs) this.marks.push({ chars: this.text.length, ms: this.receivedMs });
    this.text += delta;
  }

  /** What the server says of an answer that it prepares while the turn may still go on. */
  speculated(outcome, text) {
    const draft = this.drafts.findLast((each) => each.text === text && each.outcome !== "dropped");
    if (draft) draft.outcome = outcome;
    else if (outcome !== "dropped") this.drafts.push({ text, outcome });
    this.kept = outcome === "kept";
    return draft;
  }

  /** The turn is over, and its words are known. */
  settle() {
    this.drafts = this.drafts.filter((draft) => draft.outcome === "dropped");
  }

  forget(draft) {
    this.drafts = this.drafts.filter((each) => each !== draft);
  }

  /** While the words are not final: those that the answer was prepared for. */
  get words() {
    const kept = this.status === "live" && this.drafts.findLast((draft) => draft.outcome === "kept");
    return kept ? kept.text : this.text;
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
