/**
 * The conversation as the page sees it: server events and player reports in, a phase and a transcript out.
 *
 * Knows: the protocol's events, whose turn it is, what was heard. Does not know: the DOM, devices.
 */

import { SendLog } from "./clocks.js";
import { fromBase64, toBase64, WIRE_HZ } from "./pcm.js";
import { serverProblem } from "./problems.js";
import { Turn } from "./transcript.js";

const INTERRUPTED_MS = 1500; // how long "interrupted" is shown
const UNANSWERED_MS = 5000; // the end of a turn that the server lets pass without an answer
const SETTLING_MS = 150; // a shorter pause is one between two words
const CONTESTED_MS = 700; // how long "was that for me?" is shown at least
const DROPPED_MS = 2500; // how long an answer that was dropped is shown
const HARMLESS = new Set(["response_cancel_not_active", "item_truncate_invalid_item_id", "server_going_away"]);

export class Conversation {
  /**
   * @param wire     {send(type, fields), sendAudio(base64)}
   * @param player   {push, end, flush, duck}
   * @param changed  (): something to show has changed
   */
  constructor(wire, player, changed) {
    this.wire = wire;
    this.player = player;
    this.changed = changed;
    this.session = null;
    this.turns = [];
    this.problem = null;
    this.micOn = false;
    this.lastTrace = null; // {responseId, trace}
    this.v2v = null; // {ms, responseId, trace} of the last spoken turn that was answered
    this.allV2vMs = [];
    this.gaps = []; // {item, playedMs, receivedMs}: the answer ran dry here, with so much of it received
    this.counters = { sentChunks: 0, audioDeltas: 0, interruptions: 0, truncations: [] };
    this.reset();
  }

  /** A new connection: nothing is going on. The transcript stays to be read. */
  reset() {
    for (const turn of this.turns) turn.past = true;
    this.sendLog = new SendLog();
    this.hearing = false;
    this.waiting = false;
    this.unwanted = false;
    this.speaking = null; // the turn that is heard now
    this.interrupted = false;
    this.response = null; // id of the one that the server is making
    this.responses = new Map(); // item -> response
    this.silenced = new Set(); // items whose audio is no longer wanted
    this.spokenAt = null; // page time of the last voiced sample of a turn that waits for its answer
    this.typed = 0;
    this.said = null; // the user's turn that is or was said last
    this.settling = false; // you are silent, and perhaps done
    this.contested = false; // you made a sound during the answer
    clearTimeout(this.settled);
    clearTimeout(this.decided);
    clearTimeout(this.unanswered);
    clearTimeout(this.uninterrupted);
  }

  get phase() {
    if (this.interrupted) return "interrupted";
    if (this.hearing) return this.settling ? "settling" : "hearing";
    if (this.contested && (this.speaking || this.waiting)) return "contested";
    if (this.speaking) return "speaking";
    if (this.waiting) return "thinking";
    return this.micOn ? "listening" : "idle";
  }

  // --- from the user

  /** patience: 0 (fast) to 1 (careful); null: as the server has it. */
  configure(voice, patience) {
    const transcription = { model: "whisper-1", language: voice.language };
    const input = patience === null ? { transcription } : { transcription, turn_detection: this.detection(patience) };
    const audio = { input, output: { voice: voice.id } };
    this.wire.send("session.update", { session: { type: "realtime", audio, voxtral_voice: { events: true, resume: true } } });
  }

  setPatience(patience) {
    const audio = { input: { turn_detection: this.detection(patience) } };
    this.wire.send("session.update", { session: { type: "realtime", audio } });
  }

  /** Turn detection is replaced as a whole: the rest of it stays as it is. */
  detection(patience) {
    return { ...(this.session?.audio?.input?.turn_detection ?? { type: "semantic_vad" }), patience };
  }

  /** The server's, where it says so. */
  get patience() {
    return this.session?.audio?.input?.turn_detection?.patience ?? null;
  }

  hear({ pcm, durationMs, capturedAt }) {
    if (!this.wire.sendAudio(toBase64(pcm))) return;
    this.sendLog.add(durationMs, capturedAt);
    this.counters.sentChunks++;
  }

  async type(text) {
    await this.hush();
    this.unwanted = false;
    const turn = this.turn(`page_${Date.now().toString(36)}_${this.typed++}`, "user");
    turn.text = text;
    turn.status = "done";
    this.spokenAt = null;
    const item = { id: turn.id, type: "message", role: "user", content: [{ type: "input_text", text }] };
    this.wire.send("conversation.item.create", { item });
    this.wire.send("response.create");
    this.wait();
    this.changed();
  }

  /** The answer stops, and the server is told how much of it was heard. */
  async hush() {
    if (this.response) this.wire.send("response.cancel", { response_id: this.response });
    this.response = null;
    if (this.speaking) this.showInterrupted();
    this.stopWaiting();
    await this.silence();
  }

  /** The microphone was switched off: what is half said is dropped, the answer stops. */
  async stopListening() {
    this.micOn = false;
    this.unwanted = this.waiting && !this.response; // an answer that is still to begin is not wanted either
    this.wire.send("input_audio_buffer.clear");
    this.dropHalfSaid();
    await this.hush();
    this.interrupted = false;
    this.changed();
  }

  dropHalfSaid() {
    this.hearing = false;
    this.spokenAt = null;
    const half = this.turns.filter((turn) => turn.role === "user" && turn.status === "live");
    for (const turn of half) {
      turn.status = "done";
      turn.drafts = [];
    }
    this.turns = this.turns.filter((turn) => !(half.includes(turn) && turn.text === ""));
  }

  // --- from the server

  receive(event) {
    this.handlers[event.type]?.(event);
    this.changed();
  }

  handlers = {
    "session.created": ({ session }) => this.created(session),
    "session.updated": ({ session }) => (this.session = session),
    error: ({ error }) => this.refused(error),
    "input_audio_buffer.speech_started": (event) => this.speechStarted(event),
    "input_audio_buffer.speech_stopped": (event) => this.speechStopped(event),
    "conversation.item.input_audio_transcription.delta": ({ item_id, delta }) => (this.turn(item_id, "user").text += delta),
    "conversation.item.input_audio_transcription.completed": (event) => this.transcribed(event),
    "conversation.item.input_audio_transcription.failed": ({ item_id }) => this.lose(item_id, "could not be written down"),
    "voxtral_voice.floor": ({ state }) => this.floorChanged(state),
    "voxtral_voice.speculation": ({ outcome, text }) => this.speculated(outcome, text),
    "response.created": ({ response }) => this.responseCreated(response),
    "response.output_audio_transcript.delta": (event) => this.answerText(event),
    "response.output_audio.delta": (event) => this.answerAudio(event),
    "response.output_audio.done": ({ item_id }) => this.audioEnded(item_id),
    "response.done": (event) => this.responseDone(event),
  };

  created(session) {
    this.session = session;
    if (!session.voxtral_voice?.resume?.restored) return; // else the rest of an open response comes as a new one
    for (const turn of this.turns) if (turn.role === "assistant" && turn.status === "live") this.audioEnded(turn.id);
    this.response = null;
    this.stopWaiting();
  }

  refused(error) {
    if (!HARMLESS.has(error?.code)) this.problem = serverProblem(error);
  }

  speechStarted({ item_id }) {
    this.hearing = true;
    this.spokenAt = null;
    this.stopWaiting();
    if (this.speaking) this.showInterrupted();
    this.silence();
    this.said = this.turn(item_id, "user");
  }

  speechStopped({ audio_end_ms }) {
    this.hearing = false;
    this.interrupted = false;
    this.spokenAt = this.sendLog.capturedAt(audio_end_ms);
    if (this.micOn) this.wait(); // else it is the end of what Stop dropped
  }

  transcribed({ item_id, transcript }) {
    const turn = this.turn(item_id, "user");
    turn.text = transcript.trim();
    turn.status = "done";
    turn.settle();
    if (turn.text === "") turn.note = "no words understood";
  }

  lose(id, note) {
    const turn = this.turn(id, "user");
    turn.status = "lost";
    turn.settle();
    turn.note = note;
  }

  floorChanged(state) {
    clearTimeout(this.settled);
    this.settling = false;
    if (state === "settling") this.settled = this.after(SETTLING_MS, () => (this.settling = true));
    if (state === "contested") this.contest();
    else if (state === "replying" || state === "open") this.goOn();
    else this.contested = false; // an interruption: the answer stays soft until it is silent
  }

  /** Softer at once: whether it was an interruption takes the server a moment longer to say. */
  contest() {
    clearTimeout(this.decided);
    this.contested = true;
    this.contestedAt = performance.now();
    this.player.duck(true);
  }

  goOn() {
    this.player.duck(false);
    clearTimeout(this.decided);
    const shownMs = performance.now() - this.contestedAt;
    if (this.contested) this.decided = this.after(CONTESTED_MS - shownMs, () => (this.contested = false));
  }

  speculated(outcome, text) {
    const { said } = this;
    if (!said || (outcome === "begun" && said.status !== "live")) return;
    const draft = said.speculated(outcome, text);
    if (outcome === "dropped" && draft) this.after(DROPPED_MS, () => said.forget(draft));
    if (said.status !== "live") said.settle();
  }

  responseCreated({ id }) {
    if (this.unwanted) this.wire.send("response.cancel", { response_id: id });
    this.unwanted = false;
    this.response = id;
    if (!this.hearing) this.wait();
    clearTimeout(this.unanswered);
  }

  answerText({ item_id, response_id, delta }) {
    if (this.silenced.has(item_id)) return;
    this.responses.set(item_id, response_id);
    this.turn(item_id, "assistant").addText(delta);
  }

  answerAudio({ item_id, response_id, delta }) {
    this.counters.audioDeltas++;
    if (this.silenced.has(item_id)) return;
    const samples = fromBase64(delta);
    this.responses.set(item_id, response_id);
    this.turn(item_id, "assistant").addAudio((samples.length / WIRE_HZ) * 1000);
    this.player.push(item_id, samples);
  }

  audioEnded(id) {
    if (!this.silenced.has(id)) this.player.end(id);
  }

  responseDone({ response, voxtral_voice }) {
    this.trace(response.id, voxtral_voice?.trace);
    if (response.status === "failed") this.problem = serverProblem(response.status_details?.error);
    const answers = this.turns.filter((turn) => this.responses.get(turn.id) === response.id);
    for (const turn of answers) {
      this.audioEnded(turn.id);
      if (turn.receivedMs === 0 && turn.status === "live") turn.status = response.status === "completed" ? "done" : "cut";
    }
    if (this.response !== response.id) return;
    this.response = null;
    if (!answers.some((turn) => turn.status === "live")) this.stopWaiting();
  }

  /** The stages may come before or after the answer's first sound. */
  trace(responseId, trace) {
    if (!trace) return;
    this.lastTrace = { responseId, trace };
    if (this.v2v?.responseId === responseId) this.v2v.trace = trace;
  }

  // --- from the player

  progress(id, playedMs) {
    const turn = this.find(id);
    if (!turn || turn.status !== "live") return;
    turn.playedMs = playedMs;
    this.changed();
  }

  audible(id, at) {
    const turn = this.find(id);
    if (!turn || this.silenced.has(id)) return;
    this.stopWaiting();
    this.speaking = turn;
    if (this.spokenAt !== null) this.answered(turn, at - this.spokenAt);
    this.changed();
  }

  answered(turn, ms) {
    const responseId = this.responses.get(turn.id);
    const trace = this.lastTrace?.responseId === responseId ? this.lastTrace.trace : null;
    this.v2v = { ms, responseId, trace };
    this.allV2vMs.push(ms);
    turn.v2vMs = ms;
    this.spokenAt = null;
  }

  gap(item, playedMs) {
    this.gaps.push({ item, playedMs, receivedMs: this.find(item)?.receivedMs ?? 0 });
    this.changed();
  }

  drained(id, playedMs) {
    const turn = this.find(id);
    if (!turn || turn.status !== "live") return;
    turn.playedMs = playedMs;
    turn.status = "done";
    if (this.speaking === turn) this.speaking = null;
    this.stopWaiting();
    this.changed();
  }

  // --- inside

  /** Whatever is queued or playing falls silent; what was cut off is marked, and reported to the server. */
  async silence() {
    const live = this.turns.filter((turn) => turn.role === "assistant" && turn.status === "live");
    for (const turn of live) this.silenced.add(turn.id);
    this.speaking = null;
    if (live.length === 0) {
      this.player.duck(false);
      return;
    }
    const played = new Map(await this.player.flush());
    for (const turn of live) this.cut(turn, played.get(turn.id) ?? turn.playedMs);
    this.changed();
  }

  cut(turn, playedMs) {
    if (turn.status !== "live") return;
    turn.playedMs = playedMs;
    turn.status = "cut";
    if (turn.receivedMs === 0) return;
    const audio_end_ms = Math.floor(Math.min(playedMs, turn.receivedMs));
    this.wire.send("conversation.item.truncate", { item_id: turn.id, content_index: 0, audio_end_ms });
    this.counters.truncations.push({ item_id: turn.id, audio_end_ms });
  }

  wait() {
    this.waiting = true;
    clearTimeout(this.unanswered);
    this.unanswered = setTimeout(() => {
      if (!this.response) this.stopWaiting();
      this.changed();
    }, UNANSWERED_MS);
  }

  stopWaiting() {
    this.waiting = false;
    clearTimeout(this.unanswered);
  }

  showInterrupted() {
    this.counters.interruptions++;
    this.interrupted = true;
    clearTimeout(this.uninterrupted);
    this.uninterrupted = setTimeout(() => {
      this.interrupted = false;
      this.changed();
    }, INTERRUPTED_MS);
  }

  after(ms, then) {
    return setTimeout(() => {
      then();
      this.changed();
    }, ms);
  }

  find(id) {
    return this.turns.find((turn) => turn.id === id && !turn.past);
  }

  turn(id, role) {
    const known = this.find(id);
    if (known) return known;
    const turn = new Turn(id, role);
    this.turns.push(turn);
    return turn;
  }
}
