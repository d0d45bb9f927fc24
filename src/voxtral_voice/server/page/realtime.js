/**
 * The wire: one WebSocket that speaks the OpenAI Realtime protocol.
 *
 * Knows: JSON events in and out. Does not know: audio devices, the DOM, what the events mean.
 */

const OPEN_LIMIT_MS = 10_000;
const STALLED_BYTES = 512 * 1024; // about eight seconds of microphone: beyond it chunks are dropped and counted

export class Wire {
  /**
   * @param onEvent  (event): a server event
   * @param onClose  ({code, reason}): an open connection ended, not by `close()`
   */
  constructor(onEvent, onClose) {
    this.onEvent = onEvent;
    this.onClose = onClose;
    this.socket = null;
    this.droppedChunks = 0;
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Resolves when the server has spoken (`session.created`); rejects when it does not. */
  open(url, protocols = []) {
    const socket = new WebSocket(url, protocols);
    this.socket = socket;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => socket.close(), OPEN_LIMIT_MS);
      let greeted = false;
      socket.onmessage = ({ data }) => {
        if (socket !== this.socket) return;
        if (!greeted) {
          greeted = true;
          clearTimeout(limit);
          resolve();
        }
        this.onEvent(JSON.parse(data));
      };
      socket.onclose = ({ code, reason }) => {
        clearTimeout(limit);
        if (!greeted) reject(new Error(`closed with ${code}`));
        else if (socket === this.socket) this.onClose({ code, reason });
      };
    });
  }

  send(type, fields = {}) {
    if (this.isOpen) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  /** Sends microphone audio; false when the network does not keep up and the chunk was dropped. */
  sendAudio(base64) {
    if (!this.isOpen) return false;
    if (this.socket.bufferedAmount > STALLED_BYTES) {
      this.droppedChunks++;
      return false;
    }
    this.send("input_audio_buffer.append", { audio: base64 });
    return true;
  }

  close() {
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }
}
