/**
 * What a voice sounds like: a sentence that the server speaks with it, played beside the conversation.
 *
 * Knows: where a sample is had, how it is played. Does not know: the DOM, the conversation's own sound.
 */

import { withKey } from "./key.js";
import { NO_ANSWER, sampleProblem } from "./problems.js";

export class Sample {
  /** @param changed  called when one begins or ends */
  constructor(changed) {
    this.changed = changed;
    this.run = null; // {id, context, asking, end}
  }

  /** The voice that is heard or waited for now; null: none. */
  get voice() {
    return this.run?.id ?? null;
  }

  /** Until it is over or stopped. Throws a problem ({title, advice}). */
  async play(id) {
    this.stop();
    const run = { id, context: new AudioContext(), asking: new AbortController(), end: null };
    this.run = run;
    this.changed();
    try {
      const sound = await run.context.decodeAudioData(await fetched(id, run.asking.signal));
      if (this.run === run) await sounded(run, sound);
    } catch (error) {
      if (this.run === run) throw error.title ? error : NO_ANSWER;
    } finally {
      await run.context.close();
      if (this.run === run) this.run = null;
      this.changed();
    }
  }

  stop() {
    const run = this.run;
    this.run = null;
    run?.asking.abort();
    run?.end?.();
  }
}

async function fetched(id, signal) {
  const address = new URL(`v1/voices/${encodeURIComponent(id)}/sample`, document.baseURI);
  const answer = await fetch(address, { headers: withKey(), signal });
  if (!answer.ok) throw await sampleProblem(answer);
  return answer.arrayBuffer();
}

function sounded(run, sound) {
  const source = run.context.createBufferSource();
  source.buffer = sound;
  source.connect(run.context.destination);
  return new Promise((resolve) => {
    source.onended = run.end = resolve;
    source.start();
  });
}
