/** 16-bit little-endian PCM and base64, both ways. Knows: bytes. Does not know: where they go. */

export const WIRE_HZ = 24000;

export function toBase64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

/** base64 of PCM16 -> Float32Array in -1..1. */
export function fromBase64(text) {
  const binary = atob(text);
  const samples = new Float32Array(binary.length >> 1);
  for (let i = 0; i < samples.length; i++) {
    const word = binary.charCodeAt(2 * i) | (binary.charCodeAt(2 * i + 1) << 8);
    samples[i] = ((word << 16) >> 16) / 32768;
  }
  return samples;
}
