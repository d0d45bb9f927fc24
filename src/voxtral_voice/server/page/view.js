/**
 * Puts the conversation on the screen.
 *
 * Knows: the DOM. Does not know: the protocol, audio.
 *
 * The transcript is no live region on purpose: the answer is heard already, and a screen reader that repeats it would
 * talk into the microphone. Connection, microphone and problems are announced, and politely a state in which nobody
 * speaks, once it has lasted.
 */

import { GRADE_WORDS, gradeOf, spread, waterfall } from "./latency.js";

const PHASES = {
  disconnected: ["Not connected", "Press Start and talk. Or connect and type."],
  connecting: ["Connecting", "One moment."],
  reconnecting: ["Reconnecting", "What you say meanwhile is kept."],
  idle: ["Ready", "Press Start to talk, or type."],
  listening: ["Listening", "Go ahead, say anything."],
  hearing: ["Hearing you", "Take your time."],
  settling: ["Thinking", "Go on if you are not done."],
  thinking: ["Thinking", ""],
  contested: ["Was that for me?", "Keep talking to interrupt."],
  speaking: ["Speaking", matchMedia("(any-hover: hover)").matches ? "Talk, or press Esc, to interrupt." : "Talk to interrupt."],
  interrupted: ["Interrupted", "Go on."],
  locked: ["A key is needed", ""],
  error: ["Something is wrong", ""],
};
const TOLD = new Set(["listening", "thinking"]);
const TOLD_AFTER_MS = 1000;
const TAIL_CHARS = 70; // of the words that an answer is prepared for
const LINKS = { closed: "Not connected", opening: "Connecting", open: "Connected", away: "Reconnecting", failed: "No connection" };

const $ = (id) => document.getElementById(id);

export class View {
  constructor() {
    this.rows = new Map(); // turn -> {row, shown}
    this.drafts = new WeakMap(); // draft -> its element
    this.shownLatency = null;
    this.atEnd = true; // of the transcript: then it follows what is said
    $("scroll").addEventListener("scroll", () => (this.atEnd = isAtEnd($("scroll"))), { passive: true });
    new ResizeObserver(() => this.follow()).observe($("scroll"));
  }

  /** In groups. wanted: the one that is chosen, if it is there. */
  fillVoices(voices, wanted) {
    const select = $("voice");
    select.replaceChildren();
    for (const group of new Set(voices.map((voice) => voice.group))) {
      const options = document.createElement("optgroup");
      options.label = group;
      options.append(...voices.filter((voice) => voice.group === group).map(newOption));
      select.append(options);
    }
    select.value = wanted;
    if (select.value !== wanted) select.selectedIndex = 0;
  }

  /** `page` is {phase, link, live, micOn, busy, problem, conversation, patience, heard}; live: there is something to stop;
   * heard: the voice whose sample plays. */
  render({ phase, link, live, micOn, busy, problem, conversation, patience, heard }) {
    const [word, hint] = PHASES[phase];
    this.tell(phase, word);
    document.body.dataset.phase = phase;
    document.body.dataset.link = link;
    setText($("phase"), word);
    setText($("hint"), hint);
    setText($("link"), LINKS[link]);
    this.renderButtons(link, live, busy);
    if (!micOn) $("level").value = 0;
    this.renderPatience(patience);
    this.renderHear(heard, live);
    this.renderProblem(problem);
    this.renderLatency(conversation);
    this.renderTurns(conversation.turns);
  }

  tell(phase, word) {
    if (document.body.dataset.phase === phase) return;
    clearTimeout(this.telling);
    if (TOLD.has(phase)) this.telling = setTimeout(() => this.announce(`${word}.`), TOLD_AFTER_MS);
  }

  renderPatience(patience) {
    const slider = $("patience");
    if (Number(slider.value) !== patience) slider.value = patience;
    slider.setAttribute("aria-valuetext", patienceWord(patience));
  }

  renderButtons(link, live, busy) {
    setText($("connect").querySelector("span"), ["open", "away"].includes(link) ? "Disconnect" : "Connect");
    setText($("mic").querySelector("span"), live ? "Stop" : "Start");
    $("mic").classList.toggle("live", live);
    $("connect").disabled = $("mic").disabled = busy;
  }

  renderProblem(problem) {
    $("problem").hidden = !problem;
    setText($("problem-title"), problem ? `${problem.title}.` : "");
    setText($("problem-advice"), problem?.advice ?? "");
    const asks = Boolean(problem?.asksForKey);
    if ($("key").hidden !== asks) return;
    $("key").hidden = !asks;
    if (asks) $("key-text").focus();
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
    this.renderDrafts(turn, entry.row.querySelector(".drafts"));
    const now = `${turn.status} ${turn.heardChars} ${turn.v2vMs} ${turn.note} ${turn.kept} ${turn.words}`;
    if (entry.shown === now) return;
    entry.shown = now;
    entry.row.className = `${turn.role} ${turn.status}`;
    entry.row.querySelector("p").replaceChildren(...textOf(turn));
    entry.row.querySelector(".after")?.remove();
    if (turn.v2vMs !== null) entry.row.append(afterOf(turn.v2vMs));
  }

  renderHear(heard, live) {
    const button = $("hear");
    const word = heard ? "Stop" : "Hear it";
    setText(button, word);
    button.disabled = live; // the microphone would hear it, too
    button.setAttribute("aria-label", `${word}: ${$("voice").selectedOptions[0]?.text}`);
  }

  /** Each keeps its element, so that one that fades goes on fading. */
  renderDrafts({ drafts }, list) {
    for (const draft of drafts) {
      if (!this.drafts.has(draft)) {
        this.drafts.set(draft, draftRow(draft));
        list.append(this.drafts.get(draft));
      }
      this.drafts.get(draft).className = draft.outcome;
    }
    const shown = drafts.map((draft) => this.drafts.get(draft));
    for (const row of [...list.children]) if (!shown.includes(row)) row.remove();
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

function newOption({ id, name, about }) {
  return new Option(about ? `${name} (${about})` : name, id);
}

function newRow(turn) {
  const row = document.createElement("li");
  const who = element("span", "who", turn.role === "user" ? "You" : "Assistant");
  row.append(who, document.createElement("p"), element("div", "drafts", ""));
  document.getElementById("turns").append(row);
  return row;
}

function draftRow({ text }) {
  const row = document.createElement("p");
  const tail = text.length > TAIL_CHARS ? `…${text.slice(1 - TAIL_CHARS)}` : text;
  row.append(element("span", "what", "preparing an answer to "), element("q", "", tail));
  return row;
}

function patienceWord(patience) {
  if (patience <= 0.15) return "fast";
  if (patience < 0.45) return "rather fast";
  if (patience <= 0.55) return "in the middle";
  return patience < 0.85 ? "rather careful" : "careful";
}

function textOf(turn) {
  if (turn.note) return [element("span", "note", turn.note)];
  if (turn.kept) return [element("span", "heard kept", turn.words)];
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
