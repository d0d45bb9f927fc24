/**
 * The last seconds of sound: your voice above the line, the answer below it, and between them the wait.
 *
 * Knows: levels and times, a canvas. Does not know: the conversation.
 */

const BIN_MS = 80;
const BAR_PX = 3;
const PITCH_PX = 6;
const KEPT_MS = 20_000;
const FLOOR_DB = -55;

export class Strip {
  constructor(canvas) {
    this.canvas = canvas;
    this.levels = { you: new Map(), answer: new Map() }; // bin -> loudest level (RMS 0..1)
    this.waits = []; // {from, to, text, grade}: page time, and how to show it
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colours = Object.fromEntries(["you", "voice", "line", "soft", "good", "fair", "bad"].map((name) => [name, read(name)]));
  }

  add(who, level, at) {
    const bins = this.levels[who];
    const bin = Math.floor(at / BIN_MS);
    bins.set(bin, Math.max(level, bins.get(bin) ?? 0));
    const oldest = bins.keys().next().value;
    if (oldest < bin - KEPT_MS / BIN_MS) bins.delete(oldest);
  }

  addWait(from, to, text, grade) {
    this.waits.push({ from, to, text, grade });
    if (this.waits.length > 8) this.waits.shift();
  }

  draw(now) {
    const shown = this.calm.matches ? Math.floor(now / BIN_MS) * BIN_MS : now;
    const { pen, width, height } = this.prepare();
    const middle = Math.round(height / 2);
    const x = (at) => width - ((shown - at) / BIN_MS) * PITCH_PX;
    pen.clearRect(0, 0, width, height);
    const last = Math.floor(shown / BIN_MS);
    for (let bin = last; x(bin * BIN_MS) > -PITCH_PX; bin--) {
      const left = x(bin * BIN_MS);
      this.bar(pen, left, middle - 3, -this.height("you", bin, middle - 4), this.colours.you);
      this.bar(pen, left, middle + 3, this.height("answer", bin, middle - 4), this.colours.voice);
    }
    for (const wait of this.waits) this.wait(pen, x(wait.from), x(wait.to), middle, wait);
  }

  prepare() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { pen, width, height };
  }

  height(who, bin, most) {
    const level = this.levels[who].get(bin) ?? 0;
    const db = 20 * Math.log10(level + 1e-9);
    return Math.max(0, Math.min(1, 1 - db / FLOOR_DB)) ** 1.2 * most;
  }

  bar(pen, left, from, height, colour) {
    const quiet = Math.abs(height) < 2;
    pen.fillStyle = quiet ? this.colours.line : colour;
    pen.beginPath();
    pen.roundRect(left, from, BAR_PX, quiet ? Math.sign(from - this.canvas.clientHeight / 2) * 2 : height, 1.5);
    pen.fill();
  }

  wait(pen, from, to, middle, { text, grade }) {
    if (to < 0) return;
    pen.strokeStyle = pen.fillStyle = this.colours[grade];
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(from, middle - 5);
    pen.lineTo(from, middle + 5);
    pen.moveTo(from, middle);
    pen.lineTo(to, middle);
    pen.moveTo(to, middle - 5);
    pen.lineTo(to, middle + 5);
    pen.stroke();
    pen.font = `600 12px ${getComputedStyle(this.canvas).fontFamily}`;
    pen.textAlign = "right"; // below the line and before the answer: where nothing sounds
    pen.fillText(text, to - 7, middle + 20);
  }
}
