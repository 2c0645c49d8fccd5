/** The list of live streams: what the relay tells in /api/streams, kept fresh by the events in between. */

import { sparkline } from "./curve.js";
import { drawing, element, say } from "./dom.js";
import { count, duration, rate } from "./format.js";
import { NO_SIGNAL, showChip } from "./states.js";

export class Streams {
  #list;
  #choose;
  #streams = new Map(); // name -> what the relay tells
  #rows = new Map(); // name -> {item, …}
  #watched = "";

  /** list: a ul; choose(name): the reader picked a stream. */
  constructor(list, choose) {
    this.#list = list;
    this.#choose = choose;
  }

  /** The streams that are there, by name. */
  get all() {
    return this.#streams;
  }

  /** Take the answer of /api/streams. */
  replace(streams) {
    this.#streams = new Map(streams.map((stream) => [stream.name, stream]));
  }

  /** Take a message of type "scores", whose rate is the analysis's; false if its stream is not in the list yet. */
  update({ stream: name, state, fps }) {
    const stream = this.#streams.get(name);
    if (!stream) return false;
    Object.assign(stream, { state, analysis_fps: fps, connected: true, note: "" });
    return true;
  }

  /** Nobody tells how they do any more. */
  silence() {
    for (const stream of this.#streams.values()) {
      Object.assign(stream, { connected: false, note: "no word from the relay" });
    }
  }

  /** Mark the one that is being watched. */
  mark(name) {
    this.#watched = name;
    for (const [other, row] of this.#rows) this.#markRow(other, row);
  }

  /** Bring the list on the screen up to date; rows keep their place and the focus. */
  draw(scores, now) {
    for (const [name, row] of this.#rows) {
      if (this.#streams.has(name)) continue;
      row.item.remove();
      this.#rows.delete(name);
    }
    for (const name of [...this.#streams.keys()].sort()) {
      let row = this.#rows.get(name);
      if (!row) {
        row = this.#newRow(name);
        this.#rows.set(name, row);
        const after = [...this.#rows.keys()].filter((other) => other > name).sort()[0];
        this.#list.insertBefore(row.item, after ? this.#rows.get(after).item : null);
        this.#markRow(name, row);
      }
      drawRow(row, this.#streams.get(name));
      sparkline(row.spark, scores.of(name), now);
    }
  }

  #newRow(name) {
    const state = element("span", { class: "row-state" });
    const facts = element("span", { class: "facts" });
    const source = element("span", { class: "facts source" });
    const spark = drawing("svg", { class: "spark", width: 88, height: 28, "aria-hidden": "true" });
    const head = element("span", { class: "row-head" }, element("strong", {}, name), state);
    const button = element("button", { type: "button", class: "row", "data-stream": name }, head, spark, source, facts);
    button.addEventListener("click", () => this.#choose(name));
    return { item: element("li", {}, button), button, state, facts, source, spark };
  }

  #markRow(name, { button }) {
    if (name === this.#watched) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function drawRow(row, stream) {
  showChip(row.state, stream.connected === false ? NO_SIGNAL : stream.state);
  say(row.source, origin(stream));
  say(row.facts, stream.connected === false ? stream.note || "no signal" : factsOf(stream).join(" · "));
}

/** Where a stream comes from; "" where that is its own name once more. */
export const origin = ({ name, source }) => (source && ![name, `whip:${name}`].includes(source) ? source : "");

/** What is known of a stream, in words. */
function factsOf({ fps, age, provider, viewers }) {
  const told = [rate(fps), `age ${duration(age)}`];
  if (provider) told.push(provider);
  if (Number.isFinite(viewers)) told.push(count(viewers, "viewer"));
  return told;
}
