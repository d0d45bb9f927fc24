/**
 * Which moment of the page's clock (`performance.now()`, ms) belongs to which sample.
 *
 * Knows: frames, milliseconds. Does not know: devices, events, what is said.
 */

const WINDOW_MS = 5000;

/** Frames of an audio context -> page time. A message may come late but never early, so the earliest ones tell. */
export class FrameClock {
  constructor(rateHz) {
    this.rateHz = rateHz;
    this.recent = Infinity;
    this.before = Infinity;
    this.since = -Infinity;
  }

  /** `frame` had been reached by `now`. */
  observe(frame, now) {
    if (now - this.since > WINDOW_MS) {
      this.before = this.recent;
      this.recent = Infinity;
      this.since = now;
    }
    this.recent = Math.min(this.recent, now - (frame / this.rateHz) * 1000);
  }

  timeOf(frame) {
    return Math.min(this.recent, this.before) + (frame / this.rateHz) * 1000;
  }
}

const KEPT_CHUNKS = 3000; // a minute of 20 ms chunks; the oldest are forgotten

/** What was sent in this session: the server counts audio, this says when that audio was spoken. */
export class SendLog {
  constructor() {
    this.chunks = []; // {endMs, capturedAt}
    this.sentMs = 0;
  }

  add(durationMs, capturedAt) {
    this.sentMs += durationMs;
    this.chunks.push({ endMs: this.sentMs, capturedAt });
    if (this.chunks.length > KEPT_CHUNKS) this.chunks.shift();
  }

  /** When the sample `audioMs` into the session was captured; null when that is not known (any more). */
  capturedAt(audioMs) {
    const chunk = this.chunks.find(({ endMs }) => endMs >= audioMs - 0.001) ?? this.chunks.at(-1);
    return chunk ? chunk.capturedAt - (chunk.endMs - audioMs) : null;
  }
}

/** The value below which `share` (0..1) of the values lie, nearest rank. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
