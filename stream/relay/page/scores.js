/** The scores of the last minute, a list of samples for each stream; bounded in time and number. */

export const SECONDS = 60; // s that are kept and shown
const SAMPLES = 600; // of one stream at most
const STREAMS = 256;

export class Scores {
  #streams = new Map(); // name -> samples, oldest first

  /** Take a message of type "scores" that came at `now` (s). One that came by two ways counts once. */
  add(message, now) {
    const samples = this.of(message.stream);
    const last = samples.at(-1);
    if (last && last.time === message.time && last.state === message.state) return;
    const faces = (message.tracks ?? []).map(({ id, state, score, reason }) => ({ id, state, score, reason }));
    samples.push({ at: now, time: message.time, state: message.state, faces });
    while (samples.length > SAMPLES || now - samples[0].at > SECONDS) samples.shift();
    if (!this.#streams.has(message.stream) && this.#streams.size < STREAMS) {
      this.#streams.set(message.stream, samples);
    }
  }

  /** The samples {at (s), time, state, faces: [{id, state, score, reason}]} of a stream, oldest first. */
  of(stream) {
    return this.#streams.get(stream) ?? [];
  }

  /** Forget the streams that are not among `names`. */
  keep(names) {
    for (const name of this.#streams.keys()) if (!names.has(name)) this.#streams.delete(name);
  }
}

/** Each face's runs of scores without a gap: Map id -> [[{at, score, state}]]. */
export function runsOf(samples, gap = 1.5) {
  const faces = new Map();
  for (const { at, faces: seen } of samples) {
    for (const { id, score, state } of seen) {
      if (!Number.isFinite(score)) continue;
      const runs = faces.get(id) ?? faces.set(id, []).get(id);
      const run = runs.at(-1);
      const point = { at, score, state };
      if (run && at - run.at(-1).at <= gap) run.push(point);
      else runs.push([point]);
    }
  }
  return faces;
}

/** The stretches of one state: [{state, from, to}], s, oldest first; a silence interrupts them. */
export function stretchesOf(samples, gap = 1.5) {
  const stretches = [];
  for (const { at, state } of samples) {
    const last = stretches.at(-1);
    const near = last && at - last.to <= gap;
    if (near) last.to = at;
    if (!near || last.state !== state) stretches.push({ state, from: at, to: at });
  }
  return stretches;
}

/** What the curve shows, in words. */
export function summary(samples) {
  const faces = runsOf(samples);
  if (!faces.size) return "No scores in the last minute.";
  const percent = (score) => `${Math.round(score * 100)} %`;
  const parts = [...faces].map(([id, runs]) => {
    const scores = runs.flat().map((point) => point.score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)];
    return `face ${id}: now ${percent(scores.at(-1))}, between ${percent(low)} and ${percent(high)}`;
  });
  const changes = stretchesOf(samples).map((stretch) => stretch.state);
  const told = changes.filter((state, i) => state !== changes[i - 1]).slice(-6);
  return `Scores of the last minute. ${parts.join("; ")}. States, oldest first: ${told.join(", ")}.`;
}
