/**
 * The last turn's wait in words, a grade, and rows of a waterfall.
 *
 * Knows: milliseconds. Does not know: the DOM, where the stages were measured.
 */

import { percentile } from "./clocks.js";

const GOOD_MS = 300;
const FAIR_MS = 500;

const STAGES = {
  silence: "noticing the silence",
  transcript: "last words understood",
  first_token: "first word thought of",
  first_phrase: "first phrase ready",
  first_audio: "first sound made",
  hold: "sure that you finished",
};

export function gradeOf(ms) {
  if (ms <= GOOD_MS) return "good";
  return ms <= FAIR_MS ? "fair" : "bad";
}

export const GRADE_WORDS = { good: "fast", fair: "fair", bad: "slow" };

/** [{name, kind, fromMs, ms}], in order; they sum to the whole wait. */
export function waterfall({ ms: wholeMs, trace }) {
  const rows = [];
  let at = 0;
  for (const [stage, ms] of Object.entries(trace?.stages_ms ?? {})) {
    const kind = stage === "silence" || stage === "hold" ? "endpoint" : "work";
    rows.push({ name: STAGES[stage] ?? stage, kind, fromMs: at, ms });
    at += ms;
  }
  rows.push({ name: rows.length ? "network and playback" : "stages not told yet", kind: "rest", fromMs: at, ms: wholeMs - at });
  return rows;
}

export function spread(values) {
  if (values.length < 2) return "";
  const [half, most] = [percentile(values, 0.5), percentile(values, 0.95)];
  return `Over ${values.length} turns: p50 ${Math.round(half)} ms, p95 ${Math.round(most)} ms.`;
}
