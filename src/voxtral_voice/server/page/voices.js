/**
 * The voices to choose from: Kokoro's, which every page knows, and what the server says that it has.
 *
 * Knows: names, the server's list. Does not know: the DOM, sound.
 */

import { withKey } from "./key.js";

const TABLE = {
  "en-US":
    "af_heart:A af_bella:A- af_nicole:B- af_sarah:C+ af_aoede:C+ af_kore:C+ af_alloy:C af_nova:C af_sky:C- af_jessica:D " +
    "af_river:D am_fenrir:C+ am_michael:C+ am_puck:C+ am_echo:D am_eric:D am_liam:D am_onyx:D am_santa:D- am_adam:F+",
  hi: "hf_alpha:C hf_beta:C hm_omega:C hm_psi:C",
  "en-GB": "bf_emma:B- bf_isabella:C bf_alice:D bf_lily:D bm_fable:C bm_george:C bm_lewis:D+ bm_daniel:D",
  es: "ef_dora: em_alex: em_santa:",
  fr: "ff_siwis:B-",
  it: "if_sara:C im_nicola:C",
  ja: "jf_alpha:C+ jf_gongitsune:C jf_tebukuro:C jf_nezumi:C- jm_kumo:C-",
  "pt-BR": "pf_dora: pm_alex: pm_santa:",
  zh: "zf_xiaobei:D zf_xiaoni:D zf_xiaoxiao:D zf_xiaoyi:D zm_yunjian:D zm_yunxi:D zm_yunxia:D zm_yunyang:D",
};
const OWN = "Your own";
const OTHERS = "Others";
const USUAL = "The server's own";
const LANGUAGES = new Intl.DisplayNames(["en"], { type: "language" });

/** {id, name, about, group, language}; language: what is expected of somebody who picks this voice, null: nothing. */
export const STOCK = Object.entries(TABLE).flatMap(([language, voices]) =>
  voices.split(" ").map((entry) => {
    const [id, grade] = entry.split(":");
    return described({ id, language, gender: id[1] === "f" ? "female" : "male", grade });
  }),
);

/** {voices, usual}: those of this server, the visitor's own first, and the id of the one that is spoken with unless
 * another is asked for; null when it does not say. */
export async function listed() {
  try {
    const answer = await fetch(new URL("v1/voices", document.baseURI), { headers: withKey() });
    return answer.ok ? offered(await answer.json()) : null;
  } catch {
    return null;
  }
}

function offered({ data, default_voice }) {
  const voices = data.map(described);
  const isBlend = voices.every(({ id }) => id !== default_voice);
  if (isBlend) voices.push({ id: default_voice, name: default_voice, about: "", group: USUAL, language: null });
  const order = [OWN, USUAL, ...new Set(STOCK.map((voice) => voice.group)), OTHERS];
  voices.sort((a, b) => order.indexOf(a.group) - order.indexOf(b.group));
  return { voices, usual: default_voice };
}

function described({ id, language, gender, grade, name, owner }) {
  const about = [{ female: "woman", male: "man" }[gender], grade].filter(Boolean).join(", ");
  const group = owner !== undefined ? OWN : language ? LANGUAGES.of(language) : OTHERS;
  return { id, name: name ?? spelled(id), about, group, language: language?.split("-")[0] ?? null };
}

function spelled(id) {
  const word = id.replace(/^[a-z]{2}_/, "");
  return word[0].toUpperCase() + word.slice(1);
}
