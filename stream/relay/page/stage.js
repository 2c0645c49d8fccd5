/** The stage: the stream that is being watched, its state in words, what is known of it, its curve. */

import { Curve } from "./curve.js";
import { byId, say } from "./dom.js";
import { count, duration, percent, rate } from "./format.js";
import { Freshness } from "./freshness.js";
import { PHASE, watch } from "./session.js";
import { NO_SIGNAL, classOf, showChip } from "./states.js";
import { origin } from "./streams.js";

const EMPTY = "Join with your own camera, or choose one of the live streams.";

export class Stage {
  #video = byId("video");
  #curve = new Curve(byId("curve"), byId("curve-table"));
  #media = new MediaStream();
  #fresh = new Freshness(this.#video);
  #session = null;
  #changed;
  #phase = PHASE.ENDED;

  /** changed(name): another stream is being watched, or none. */
  constructor(changed) {
    this.name = "";
    this.#changed = changed;
    byId("stop").addEventListener("click", () => this.stop());
    byId("plain").addEventListener("click", () => this.#togglePlain());
    byId("sound").addEventListener("click", () => this.#toggleSound());
    this.#video.addEventListener("playing", () => this.#words());
  }

  /** Watch `name`; does nothing if it is being watched. */
  watch(name) {
    if (name === this.name && this.#session) return;
    this.#close();
    this.name = name;
    this.#video.muted = true;
    byId("sound").setAttribute("aria-pressed", "false");
    this.#open();
    this.#frame();
    this.#changed(name);
  }

  /** Watch nothing. */
  stop() {
    this.#close();
    this.name = "";
    this.#frame();
    this.#changed("");
  }

  /** End the session while the page is being left. */
  leave() {
    this.#session?.close();
  }

  /** The stream may be back: do not wait any longer. */
  hurry() {
    this.#session?.hurry();
  }

  /** The stream has ended: wait until it is back. */
  rest() {
    this.#session?.rest();
  }

  /** Show what is known: `stream` as /api/streams tells it or undefined, `samples` of scores.js. */
  draw(stream, samples, now) {
    if (!this.name) return;
    const lost = !stream || stream.connected === false;
    const state = lost ? NO_SIGNAL : stream.state;
    showChip(byId("state"), state);
    byId("screen").className = `screen ${classOf(state)}`;
    say(byId("state-words"), lost ? (stream?.note ?? "") : wordsOf(samples.at(-1)));
    say(byId("stage-facts"), lost ? "" : factsOf(stream).join(" · "));
    this.#curve.draw(samples, now);
    if (this.#phase === PHASE.LIVE) this.#words();
  }

  /** Bring the words beside the curve up to date. */
  tell(samples, now) {
    if (this.name) this.#curve.tell(samples, now);
  }

  #open() {
    const picture = byId("plain").getAttribute("aria-pressed") === "true" ? "plain" : "annotated";
    const change = (phase, words) => this.#onPhase(phase, words);
    this.#session = watch(this.name, picture, this.#media, { change });
    this.#video.srcObject = this.#media;
  }

  #close() {
    this.#session?.close();
    this.#session = null;
    this.#video.srcObject = null;
  }

  #onPhase(phase, words) {
    this.#phase = phase;
    if (phase === PHASE.LIVE) {
      this.#fresh.reset();
      this.#video.srcObject = this.#media;
      this.#video.play().catch(() => {});
    }
    this.#words(words);
  }

  #words(reason = "") {
    const waits = reason.length ? `Waiting for ${this.name}: ${reason}.` : `Waiting for ${this.name}.`;
    const still = this.#fresh.still;
    const first = `Waiting for the first picture of ${this.name}…`;
    const told = {
      [PHASE.CONNECTING]: `Connecting to ${this.name}…`,
      [PHASE.LIVE]: this.#video.readyState < 2 ? first : still && "No new picture comes.",
      [PHASE.WAITING]: waits,
      [PHASE.FAILED]: `${this.name} cannot be watched: ${reason}.`,
      [PHASE.ENDED]: EMPTY,
    }[this.#phase];
    say(byId("screen-words"), this.name ? told || "" : EMPTY);
    byId("screen-words").hidden = this.name !== "" && !told;
    this.#video.classList.toggle("stale", this.#phase !== PHASE.LIVE || still > 0);
  }

  #frame() {
    const idle = this.name === "";
    say(byId("stage-heading"), idle ? "Nothing is being watched" : this.name);
    for (const id of ["stage-tools", "verdict", "figure"]) byId(id).hidden = idle;
    byId("screen").className = idle ? "screen idle" : "screen";
    this.#words();
  }

  #togglePlain() {
    const plain = byId("plain").getAttribute("aria-pressed") !== "true";
    byId("plain").setAttribute("aria-pressed", String(plain));
    this.#close();
    this.#open();
  }

  #toggleSound() {
    this.#video.muted = !this.#video.muted;
    byId("sound").setAttribute("aria-pressed", String(!this.#video.muted));
  }
}

/** What stands beside the state: how many faces, and the gravest score or why there is none. */
export function wordsOf(sample) {
  const faces = sample?.faces ?? [];
  if (!faces.length) return "no face in the picture";
  const scores = faces.map(({ score }) => score).filter(Number.isFinite);
  const why = faces.map(({ reason }) => reason).find(Boolean) ?? "no score yet";
  const told = scores.length ? `score ${percent(Math.max(...scores))}` : why;
  return `${count(faces.length, "face")} · ${told}`;
}

function factsOf(stream) {
  const { model, provider, fps, analysis_fps: analysed, age, dropped, viewers } = stream;
  const told = [rate(fps), `age ${duration(age)}`];
  if (Number.isFinite(analysed)) told.push(`analysed ${rate(analysed)}`);
  if (provider) told.push(provider);
  if (model) told.push(model);
  if (Number.isFinite(dropped)) told.push(`${dropped} not analysed`);
  if (Number.isFinite(viewers)) told.push(count(viewers, "viewer"));
  if (origin(stream)) told.push(origin(stream));
  return told;
}
