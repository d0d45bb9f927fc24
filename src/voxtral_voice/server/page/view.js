/**
 * Puts the conversation on the screen.
 *
 * Knows: the DOM. Does not know: the protocol, audio.
 *
 * The transcript is no live region on purpose: the answer is heard already, and a screen reader that repeats it would
 * talk into the microphone. Connection, microphone and problems are announced.
 */

import { GRADE_WORDS, gradeOf, spread, waterfall } from "./latency.js";
import { VOICES } from "./voices.js";

const PHASES = {
  disconnected: ["Not connected", "Press Start and talk. Or connect and type."],
  connecting: ["Connecting", "One moment."],
  idle: ["Ready", "Press Start to talk, or type."],
  listening: ["Listening", "Go ahead, say anything."],
  hearing: ["Hearing you", "Take your time."],
  thinking: ["Thinking", ""],
  speaking: ["Speaking", matchMedia("(any-hover: hover)").matches ? "Talk, or press Esc, to interrupt." : "Talk to interrupt."],
  interrupted: ["Interrupted", "Go on."],
  error: ["Something is wrong", ""],
};
const LINKS = { closed: "Not connected", opening: "Connecting", open: "Connected", failed: "No connection" };

const $ = (id) => document.getElementById(id);

export class View {
  constructor() {
    this.rows = new Map(); // turn -> {row, shown}
    this.shownLatency = null;
    this.atEnd = true; // of the transcript: then it follows what is said
    $("scroll").addEventListener("scroll", () => (this.atEnd = isAtEnd($("scroll"))), { passive: true });
    new ResizeObserver(() => this.follow()).observe($("scroll"));
    fillVoices($("voice"));
  }

  /** `page` is {phase, link, live, micOn, busy, problem, conversation}; live: there is something to stop. */
  render({ phase, link, live, micOn, busy, problem, conversation }) {
    const [word, hint] = PHASES[phase];
    document.body.dataset.phase = phase;
    document.body.dataset.link = link;
    setText($("phase"), word);
    setText($("hint"), hint);
    setText($("link"), LINKS[link]);
    this.renderButtons(link, live, busy);
    if (!micOn) $("level").value = 0;
    this.renderProblem(problem);
    this.renderLatency(conversation);
    this.renderTurns(conversation.turns);
  }

  renderButtons(link, live, busy) {
    setText($("connect").querySelector("span"), link === "open" ? "Disconnect" : "Connect");
    setText($("mic").querySelector("span"), live ? "Stop" : "Start");
    $("mic").classList.toggle("live", live);
    $("connect").disabled = $("mic").disabled = busy;
  }

  renderProblem(problem) {
    $("problem").hidden = !problem;
    setText($("problem-title"), problem ? `${problem.title}.` : "");
    setText($("problem-advice"), problem?.advice ?? "");
  }

  renderLatency({ v2v, allV2vMs }) {
    const shown = v2v && `${v2v.ms} ${Boolean(v2v.trace)}`;
    if (shown === this.shownLatency) return;
    this.shownLatency = shown;
    const grade = gradeOf(v2v.ms);
    const ms = Math.round(v2v.ms);
    const badge = $("badge");
    badge.disabled = false;
    badge.className = grade;
    badge.textContent = `${ms} ms`;
    badge.setAttribute("aria-label", `${ms} ms, ${GRADE_WORDS[grade]}: from your last word to the first sound of the answer. Stages`);
    $("waterfall").replaceChildren(...waterfall(v2v).map((row) => waterfallRow(row, v2v.ms)));
    setText($("spread"), spread(allV2vMs));
  }

  toggleStages() {
    const open = $("badge").getAttribute("aria-expanded") !== "true";
    $("badge").setAttribute("aria-expanded", open);
    $("stages").hidden = !open;
  }

  renderTurns(turns) {
    $("empty").hidden = turns.length > 0;
    for (const [turn, { row }] of this.rows) {
      if (turns.includes(turn)) continue;
      row.remove();
      this.rows.delete(turn);
    }
    for (const turn of turns) this.renderTurn(turn);
    this.follow();
  }

  follow() {
    if (this.atEnd) $("scroll").scrollTop = $("scroll").scrollHeight;
  }

  renderTurn(turn) {
    if (!this.rows.has(turn)) this.rows.set(turn, { row: newRow(turn), shown: "" });
    const entry = this.rows.get(turn);
    const now = `${turn.status} ${turn.heardChars} ${turn.v2vMs} ${turn.note} ${turn.text}`;
    if (entry.shown === now) return;
    entry.shown = now;
    entry.row.className = `${turn.role} ${turn.status}`;
    entry.row.querySelector("p").replaceChildren(...textOf(turn));
    entry.row.querySelector(".after")?.remove();
    if (turn.v2vMs !== null) entry.row.append(afterOf(turn.v2vMs));
  }

  setLevel(level) {
    const db = 20 * Math.log10(level + 1e-6);
    $("level").value = Math.max(0, Math.min(1, 1 + db / 60));
  }

  /** [[name, value]...] into the status panel, while it is open. */
  renderFacts(facts) {
    if (!$("status").open) return;
    const cells = facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]);
    $("facts").replaceChildren(...cells);
  }

  announce(text) {
    setText($("announce"), text);
  }
}

function fillVoices(select) {
  for (const group of new Set(VOICES.map((voice) => voice.group))) {
    const options = document.createElement("optgroup");
    options.label = group;
    options.append(...VOICES.filter((voice) => voice.group === group).map((voice) => new Option(voice.name, voice.id)));
    select.append(options);
  }
}

function newRow(turn) {
  const row = document.createElement("li");
  row.append(element("span", "who", turn.role === "user" ? "You" : "Assistant"), document.createElement("p"));
  document.getElementById("turns").append(row);
  return row;
}

function textOf(turn) {
  if (turn.note) return [element("span", "note", turn.note)];
  const heard = turn.heardChars + turn.text.slice(turn.heardChars).search(/\S|$/); // the space is not struck through
  const parts = [element("span", "heard", turn.text.slice(0, heard))];
  const rest = turn.text.slice(heard);
  if (rest && turn.status === "cut") parts.push(element("del", "", rest), element("span", "unseen", " (not heard)"));
  else if (rest) parts.push(element("span", "ahead", rest));
  if (turn.status === "live" && turn.role === "user") parts.push(element("span", "dots", ""));
  return parts;
}

function afterOf(ms) {
  return element("span", `after ${gradeOf(ms)}`, `after ${Math.round(ms)} ms`);
}

function waterfallRow({ name, kind, fromMs, ms }, wholeMs) {
  const row = document.createElement("li");
  const track = element("span", "track", "");
  const bar = element("span", `bar ${kind}`, "");
  const share = (value) => `${(100 * Math.max(0, value)) / wholeMs}%`;
  bar.style.left = share(Math.min(fromMs, fromMs + ms));
  bar.style.width = share(Math.abs(ms));
  track.append(bar);
  row.append(element("span", "", name), track, element("span", "ms", `${Math.round(ms)} ms`));
  return row;
}

function isAtEnd(scroll) {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
}

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
