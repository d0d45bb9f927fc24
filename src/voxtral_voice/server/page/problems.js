/**
 * What can go wrong, in plain words: {title, advice}, and asksForKey where a key may help.
 *
 * Knows: browsers' and servers' ways to fail. Does not know: the DOM.
 */

import { keyProblem } from "./key.js";

export const NOT_SECURE = {
  title: "This address is not secure",
  advice:
    "Browsers allow the microphone and live sound only on https:// addresses and on this machine itself. Open the " +
    "page as http://localhost, or through https.",
};

const MICROPHONE = {
  NotFoundError: {
    title: "No microphone found",
    advice: "Plug one in or switch it on in the system's sound settings, then press Start again. You can still type.",
  },
  NotAllowedError: {
    title: "The microphone is blocked",
    advice: "Allow it with the icon beside the address, then press Start again. You can still type.",
  },
  NotReadableError: {
    title: "The microphone is busy",
    advice: "Another program may be using it. Close that program, then press Start again.",
  },
};
MICROPHONE.OverconstrainedError = MICROPHONE.NotFoundError;
MICROPHONE.SecurityError = MICROPHONE.NotAllowedError;

export function microphoneProblem(error) {
  const known = MICROPHONE[error.name];
  return known ?? { title: "The microphone did not start", advice: `The browser says: ${error.message}` };
}

export const UNPLUGGED = {
  title: "The microphone went away",
  advice: "It was unplugged or switched off. Connect it again, then press Start.",
};

export const NO_ANSWER = {
  title: "The server does not answer",
  advice: "Check that it is running (make serve) and reachable from here, then press Connect.",
};

const NOT_READY = {
  title: "The server is not ready yet",
  advice: "It is still loading its models or has no free place. Wait a moment, then press Connect.",
};

const REFUSED = {
  title: "The server refused the connection",
  advice: "It is running, but it does not let this page in. Its log says why.",
};

/** Why a connection could not be made. Browsers hide it from the socket, so ask the server over HTTP. */
export async function connectProblem() {
  try {
    const answer = await fetch(new URL("readyz", document.baseURI), { cache: "no-store" });
    return answer.ok ? (await keyProblem()) ?? REFUSED : NOT_READY;
  } catch {
    return NO_ANSWER;
  }
}

/** answer: the server's, and not the sample that it was asked for. */
export async function sampleProblem(answer) {
  if (answer.status === 401 || answer.status === 403) return (await keyProblem()) ?? REFUSED;
  const said = await answer.json().catch(() => null);
  return { title: "This voice cannot be heard now", advice: sentence(said?.error?.message ?? "The server gave no reason.") };
}

export function lostProblem({ code, reason }) {
  if (code === 1001 && reason) return { title: "The server ended the session", advice: `${sentence(reason)} Press Connect to go on.` };
  return {
    title: "The connection was lost",
    advice: reason ? `${sentence(reason)} Press Connect to try again.` : "The server stopped or the network broke off. Press Connect to try again.",
  };
}

export function serverProblem(error) {
  return { title: "The server reports a problem", advice: sentence(error?.message ?? "It gave no reason.") };
}

export function playerProblem(error) {
  return { title: "Sound cannot be played", advice: `The browser says: ${sentence(error.message)} Check the sound output, then press Connect.` };
}

function sentence(text) {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
