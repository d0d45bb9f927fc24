/**
 * The wire: a session over WebSockets that speak the OpenAI Realtime protocol.
 *
 * Knows: JSON events in and out, how to resume. Does not know: audio devices, the DOM, what is said.
 */

const OPEN_LIMIT_MS = 10_000;
const STALLED_BYTES = 512 * 1024; // about eight seconds of microphone: beyond it chunks are dropped and counted
const KEPT_CHARS = 4_000_000; // a minute of microphone

export class Wire {
  /**
   * @param onEvent  (event): a server event
   * @param onClose  ({code, reason}): an open connection ended, not by `close()`
   */
  constructor(onEvent, onClose) {
    this.onEvent = onEvent;
    this.onClose = onClose;
    this.droppedChunks = 0;
    this.forget();
  }

  forget() {
    this.socket = this.token = this.last = null; // last: id of the newest event
    this.sent = []; // the newest frames
    this.sentFrom = this.chars = 0; // number of the first; length of all
  }

  get isOpen() {
    return this.greeted && this.socket?.readyState === WebSocket.OPEN;
  }

  /** With a token the session goes on. Resolves when the server has greeted; rejects with its error, or none. */
  open(url, protocols = []) {
    const how = this.token ? ["realtime", `voxtral-voice-resume.${this.token}`, `voxtral-voice-after.${this.last}`] : [];
    const socket = new WebSocket(url, [...new Set([...protocols, ...how])]);
    this.socket = socket;
    this.greeted = false;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => socket.close(), OPEN_LIMIT_MS);
      socket.onmessage = ({ data }) => {
        if (socket !== this.socket) return;
        const event = JSON.parse(data);
        if (!this.greeted && event.type === "error") return reject(event.error);
        const resume = event.session?.voxtral_voice?.resume;
        this.last = event.event_id;
        this.token = event.error?.code === "session_expired" ? null : (resume?.token ?? this.token);
        this.onEvent(event);
        if (this.greeted) return;
        this.greeted = true;
        clearTimeout(limit);
        this.sendAgain(resume?.received ?? 0);
        resolve();
      };
      socket.onclose = ({ code, reason }) => {
        clearTimeout(limit);
        reject();
        if (socket === this.socket && this.greeted) this.onClose({ code, reason });
      };
    });
  }

  send(type, fields = {}) {
    if (!this.isOpen && !this.token) return;
    const frame = JSON.stringify({ type, ...fields });
    this.sent.push(frame);
    this.chars += frame.length;
    for (; this.chars > KEPT_CHARS; this.sentFrom++) this.chars -= this.sent.shift().length;
    if (this.isOpen) this.socket.send(frame);
  }

  /** What the server has not got. */
  sendAgain(received) {
    this.sent.splice(0, received - this.sentFrom);
    this.sentFrom = received;
    this.chars = this.sent.join("").length;
    for (const frame of this.sent) this.socket.send(frame);
  }

  /** Microphone audio; false when the network does not keep up and the chunk was dropped. */
  sendAudio(base64) {
    if (!this.isOpen && !this.token) return false;
    if (this.isOpen && this.socket.bufferedAmount > STALLED_BYTES) {
      this.droppedChunks++;
      return false;
    }
    this.send("input_audio_buffer.append", { audio: base64 });
    return true;
  }

  close() {
    this.socket?.close(1000);
    this.forget();
  }
}
