/**
 * The server's key, where it asks for one.
 *
 * Knows: where it is kept (this tab only), how it is shown to the server, how to find out what the server says to it.
 * Does not know: the DOM.
 */

const KEPT = "voxtral.key";
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/; // what a subprotocol may be made of; browsers send no headers with a WebSocket

const NEEDED = { title: "The server asks for a key", advice: "Its owner has one for you.", asksForKey: true };
const WRONG = { title: "The server does not take this key", advice: "Type it again, or ask its owner.", asksForKey: true };
const FOREIGN = {
  title: "The server does not let pages of this address in",
  advice: "Open the page at the server's own address, or name this one with --server-allowed-origins.",
};

let key = remembered();

/** null: forget it. */
export function setKey(text) {
  key = text;
  try {
    if (key === null) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, key);
  } catch {
    // a browser that keeps nothing: it holds as long as the page is open
  }
}

export function protocols() {
  return key !== null && TOKEN.test(key) ? ["realtime", `openai-insecure-api-key.${key}`] : [];
}

/** Headers of a request. */
export function withKey() {
  return key !== null && TOKEN.test(key) ? { Authorization: `Bearer ${key}` } : {};
}

/** A refused WebSocket does not say why, so ask over HTTP: a POST, which names this page's site as the WebSocket did.
 * null: neither the key nor the site is the reason. */
export async function keyProblem() {
  const answer = await fetch(new URL("v1/realtime", document.baseURI), { method: "POST", headers: withKey() });
  if (answer.status === 403) return FOREIGN;
  if (answer.status !== 401) return null;
  const problem = key === null ? NEEDED : WRONG;
  setKey(null);
  return problem;
}

function remembered() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing
  }
}
