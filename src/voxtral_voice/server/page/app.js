/**
 * The page: puts wire, microphone, player, conversation and view together.
 *
 * Knows: what the buttons do. Does not know: how any of it is done.
 */

import { Microphone } from "./capture.js";
import { Conversation } from "./conversation.js";
import { protocols, setKey } from "./key.js";
import { gradeOf } from "./latency.js";
import { Player } from "./player.js";
import { connectProblem, lostProblem, serverProblem } from "./problems.js";
import { Wire } from "./realtime.js";
import { Sample } from "./sample.js";
import { Strip } from "./strip.js";
import { View } from "./view.js";
import { STOCK, listed } from "./voices.js";

const $ = (id) => document.getElementById(id);
const DEBUG = new URLSearchParams(location.search).has("debug");
const PATIENCE = "voxtral.patience"; // in the browser's memory
const AFTER_SLIDING_MS = 120;
const TRIES = 30; // 2 min

const view = new View();
const strip = new Strip($("strip"));
const wire = new Wire((event) => conversation.receive(event), lost);
const player = new Player({
  progress(item, playedMs, level, at) {
    strip.add("answer", level, at);
    conversation.progress(item, playedMs);
  },
  audible(item, at) {
    const spokenAt = conversation.spokenAt;
    conversation.audible(item, at);
    if (spokenAt !== null) strip.addWait(spokenAt, at, `${Math.round(at - spokenAt)} ms`, gradeOf(at - spokenAt));
  },
  drained: (item, playedMs) => conversation.drained(item, playedMs),
  gap: (item, playedMs) => conversation.gap(item, playedMs),
});
const conversation = new Conversation(wire, player, changed);
const microphone = new Microphone(heard, unplugged);
const sample = new Sample(changed);

let link = "closed"; // closed | opening | open | away | failed
let trouble = null; // a problem that stopped something; the conversation's own problems do not
let queue = Promise.resolve();
let ahead = 0; // actions that are not done
let connectedAt = null;
let voices = STOCK;
let picked = false; // a voice, by the visitor
let patience = remembered(); // null: as the server has it
let sliding;

// --- what the buttons do

async function connect() {
  link = "opening";
  trouble = null;
  changed();
  try {
    await player.open();
  } catch (problem) {
    await disconnect("failed", problem);
    return;
  }
  if (DEBUG) player.record();
  conversation.reset();
  try {
    await wire.open(wireUrl(), protocols());
  } catch (error) {
    await disconnect("failed", error ? serverProblem(error) : await connectProblem());
    return;
  }
  link = "open";
  connectedAt = performance.now();
  conversation.problem = null;
  await listVoices();
  if (link !== "open") return; // lost meanwhile
  conversation.configure(chosenVoice(), patience);
  view.announce("Connected.");
}

async function disconnect(to = "closed", problem = null) {
  await microphone.stop();
  await conversation.silence();
  wire.close();
  await player.close();
  conversation.micOn = false;
  conversation.dropHalfSaid();
  conversation.reset();
  link = to;
  trouble = problem;
  view.announce(problem ? "" : "Disconnected.");
  changed();
}

const up = () => link === "open" || link === "away";

/** Voices of one's own, and those of a server that has others. */
async function listVoices() {
  const found = await listed();
  if (!found) return;
  voices = found.voices;
  view.fillVoices(voices, picked ? $("voice").value : found.usual);
}

async function start() {
  sample.stop();
  if (!up()) await connect();
  if (!up()) return;
  trouble = null;
  try {
    await microphone.start();
  } catch (problem) {
    trouble = problem;
    return;
  }
  conversation.micOn = true;
  view.announce("The microphone is on.");
}

async function stop() {
  await microphone.stop();
  await conversation.stopListening();
  view.announce("The microphone is off.");
}

async function say(text) {
  if (!up()) await connect();
  if (!up()) return false;
  trouble = null;
  await conversation.type(text);
  return true;
}

async function hear() {
  trouble = null;
  try {
    await sample.play(chosenVoice().id);
  } catch (problem) {
    trouble = problem;
    changed();
  }
}

// --- what happens by itself

function heard(chunk) {
  strip.add("you", chunk.level, chunk.capturedAt);
  view.setLevel(chunk.level);
  conversation.hear(chunk);
}

function unplugged(problem) {
  conversation.stopListening();
  trouble = problem;
  changed();
}

function lost(closing) {
  if (!wire.token || closing.code === 4001) disconnect("failed", lostProblem(closing));
  else comeBack(closing);
}

async function comeBack(closing) {
  link = "away";
  view.announce("Reconnecting.");
  changed();
  for (let tries = 0; link === "away" && tries < TRIES; tries++) {
    const waitMs = Math.min(250 * 2 ** tries, 5000) * (0.5 + Math.random());
    await new Promise((done) => setTimeout(done, waitMs));
    if (link !== "away") return;
    try {
      await wire.open(wireUrl(), protocols());
      link = "open";
      view.announce("Connected.");
      changed();
    } catch (error) {
      if (error?.code === "resume_unknown") return doing(startAnew);
    }
  }
  if (link === "away") disconnect("failed", lostProblem(closing));
}

/** The session is gone; what was said stays. */
async function startAnew() {
  if (link !== "away") return;
  wire.close();
  await conversation.silence();
  await player.close();
  await connect();
}

// --- showing it

function phase() {
  if (link === "opening") return "connecting";
  if (link === "away") return "reconnecting";
  if (trouble) return trouble.asksForKey ? "locked" : "error";
  if (link !== "open") return "disconnected";
  return conversation.phase;
}

function live() {
  return microphone.on || ["speaking", "thinking"].includes(phase());
}

let scheduled = false;

function changed() {
  if (scheduled) return;
  scheduled = true;
  // Not requestAnimationFrame: it stands still in a hidden tab, and the transcript must not.
  setTimeout(() => {
    scheduled = false;
    const problem = trouble ?? conversation.problem;
    const shownPatience = patience ?? conversation.patience ?? 0.5;
    view.render({ phase: phase(), link, live: live(), micOn: microphone.on, busy: ahead > 0, problem, conversation, patience: shownPatience, heard: sample.voice });
  }, 16);
}

function drawStrip(now) {
  strip.draw(now);
  requestAnimationFrame(drawStrip);
}

function facts() {
  const mic = microphone.description;
  const onOff = (value) => (value ? "on" : "off");
  const rows = [["Server", location.host || "none"], ["Connected for", connectedAt === null || link !== "open" ? "not connected" : duration(performance.now() - connectedAt)]];
  if (conversation.session) rows.push(["Session", conversation.session.id], ["Model", conversation.session.model ?? "not named"]);
  rows.push(["Microphone", mic?.label ?? "off"]);
  if (mic) {
    rows.push(["Echo, noise, gain", [mic.echoCancellation, mic.noiseSuppression, mic.autoGainControl].map(onOff).join(", ")]);
    rows.push(["Captured at", `${mic.rateHz / 1000} kHz`]);
  }
  rows.push(["Speaker delay", link === "open" ? `${Math.round(player.delayMs)} ms` : "unknown"]);
  rows.push(["Sent", `${(conversation.sendLog.sentMs / 1000).toFixed(1)} s`], ["Dropped on the way", `${wire.droppedChunks} chunks`]);
  rows.push(["Gaps in playback", `${conversation.gaps.length}`]);
  return rows;
}

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// --- wiring

function wireUrl() {
  const url = new URL("v1/realtime", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url;
}

function chosenVoice() {
  return voices.find((voice) => voice.id === $("voice").value);
}

function remembered() {
  try {
    const kept = localStorage.getItem(PATIENCE);
    return kept !== null && kept >= 0 && kept <= 1 ? Number(kept) : null;
  } catch {
    return null; // a browser that keeps nothing
  }
}

function slidePatience() {
  patience = Number($("patience").value);
  try {
    localStorage.setItem(PATIENCE, patience);
  } catch {
    // a browser that keeps nothing: it holds as long as the page is open
  }
  clearTimeout(sliding);
  sliding = setTimeout(() => conversation.setPatience(patience), AFTER_SLIDING_MS);
  changed();
}

/** One thing after the other: the buttons rest meanwhile, and a message typed meanwhile waits. */
function doing(action) {
  ahead++;
  changed();
  const done = queue.then(action).finally(() => {
    ahead--;
    changed();
  });
  queue = done.catch(() => {}); // what failed is reported by `done`, and does not hold up the next
  return done;
}

$("connect").addEventListener("click", () => doing(() => (up() ? disconnect() : connect())));
$("mic").addEventListener("click", () => doing(() => (live() ? stop() : start())));
$("voice").addEventListener("change", () => {
  picked = true;
  sample.stop();
  conversation.configure(chosenVoice(), patience);
  changed();
});
$("hear").addEventListener("click", () => (sample.voice ? sample.stop() : hear()));
$("patience").addEventListener("input", slidePatience);
$("badge").addEventListener("click", () => view.toggleStages());
$("dismiss").addEventListener("click", () => {
  trouble = conversation.problem = null;
  changed();
});
$("key").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("key-text").value.trim();
  $("key-text").value = "";
  if (!text) return;
  setKey(text);
  doing(connect);
});
$("status").addEventListener("toggle", () => view.renderFacts(facts()));
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("say").value.trim();
  if (text) doing(() => say(text)).then((said) => said && $("say").value.trim() === text && ($("say").value = ""));
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if ($("status").open) $("status").open = false;
  else if (link === "open") conversation.hush().then(changed);
});
document.addEventListener("click", (event) => {
  if (!$("status").contains(event.target)) $("status").open = false;
});
addEventListener("pagehide", ({ persisted }) => persisted || wire.close());
setInterval(() => view.renderFacts(facts()), 500);
view.fillVoices(STOCK, STOCK[0].id);
requestAnimationFrame(drawStrip);
changed();

/** For tests and the curious. */
window.voxtral = {
  wire,
  conversation,
  get phase() {
    return phase();
  },
  get v2vMs() {
    return conversation.v2v?.ms ?? null;
  },
  /** The voice whose sample plays, or null. */
  get heard() {
    return sample.voice;
  },
  get trace() {
    return conversation.v2v?.trace ?? null;
  },
  get counters() {
    return { ...conversation.counters, gaps: conversation.gaps, droppedChunks: wire.droppedChunks, sentMs: conversation.sendLog.sentMs };
  },
  get turns() {
    return conversation.turns.map((turn) => ({ ...turn, heard: turn.text.slice(0, turn.heardChars), marks: undefined }));
  },
  /** {rateHz, startedAt, samples} of all that went to the speakers since Connect; needs `?debug`. */
  recording() {
    const kept = player.recording;
    if (!kept || kept.startedAt === null) return null;
    const samples = new Float32Array(kept.blocks.reduce((sum, block) => sum + block.length, 0));
    kept.blocks.reduce((at, block) => (samples.set(block, at), at + block.length), 0);
    return { rateHz: kept.rateHz, startedAt: kept.startedAt, samples };
  },
};
