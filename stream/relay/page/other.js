/** The other person of a call: watched by WHEP, with sound; the relay's word on them by the data channel. */

import { Curve } from "./curve.js";
import { byId, calmly, say, speak } from "./dom.js";
import { duration, rate } from "./format.js";
import { Freshness } from "./freshness.js";
import { Scores } from "./scores.js";
import { PHASE, watch } from "./session.js";
import { wordsOf } from "./stage.js";
import { NO_SIGNAL, classOf, showChip } from "./states.js";

export const SILENCE = 3; // s without a word from the relay after which its last one does not count any more

const seconds = () => performance.now() / 1000;

export class OtherPerson {
  #video = byId("other");
  #fresh = new Freshness(this.#video);
  #curve = new Curve(byId("curve"), byId("curve-table"));
  #scores = new Scores();
  #media = new MediaStream();
  #session = null;
  #spoken = ""; // the state that was said last
  #heard = 0; // s, when the relay last spoke of them
  #draw = calmly(() => this.#drawNow(), 200);

  constructor() {
    this.person = this.name = "";
    byId("hear").addEventListener("click", () => this.#hear());
    setInterval(() => this.#watchTime(), 1000);
    setInterval(() => this.name && this.#curve.tell(this.#scores.of(this.name), seconds()), 5000);
  }

  /** Watch a person, who publishes as `name`. */
  watch(person, name) {
    [this.person, this.name] = [person, name];
    const handlers = { change: (phase, words) => this.#onPhase(phase, words), message: (value) => this.#onMessage(value) };
    this.#session = watch(name, "annotated", this.#media, handlers);
    say(byId("other-heading"), person);
    byId("other-screen").className = "screen";
    this.#draw();
  }

  /** Watch nobody. */
  leave() {
    this.#session?.close();
    this.#session = null;
    this.person = this.name = this.#spoken = "";
    this.#video.srcObject = null;
    say(byId("other-heading"), "The other person");
    byId("other-screen").className = "screen idle";
    for (const id of ["other-verdict", "figure", "hear"]) byId(id).hidden = true;
    byId("other-words").hidden = false;
  }

  /** Their stream has ended. */
  gone() {
    this.#session?.rest();
    this.leave();
  }

  /** They may be back: do not wait any longer. */
  hurry() {
    this.#session?.hurry();
  }

  #onPhase(phase, words) {
    if (phase === PHASE.LIVE) {
      this.#fresh.reset();
      this.#play();
    }
    const told = {
      [PHASE.CONNECTING]: `Connecting to ${this.person}…`,
      [PHASE.WAITING]: `Waiting for ${this.person}: ${words}.`,
      [PHASE.FAILED]: `${this.person} cannot be watched: ${words}.`,
    }[phase];
    if (told) say(byId("other-words"), told);
    byId("other-words").hidden = phase === PHASE.LIVE;
    this.#video.classList.toggle("stale", phase !== PHASE.LIVE);
  }

  /** Browsers that want a gesture before they make a sound get a button for it. */
  async #play() {
    this.#video.srcObject = this.#media;
    this.#video.muted = false;
    try {
      await this.#video.play();
    } catch {
      this.#video.muted = true;
      this.#video.play().catch(() => {});
      byId("hear").hidden = false;
    }
  }

  #hear() {
    this.#video.muted = false;
    byId("hear").hidden = true;
  }

  #onMessage(message) {
    if (message.type !== "scores" || message.stream !== this.name) return;
    this.#heard = seconds();
    this.#scores.add(message, this.#heard);
    byId("other-verdict").hidden = byId("figure").hidden = false;
    showChip(byId("other-state"), message.state);
    byId("other-screen").className = `screen ${classOf(message.state)}`;
    say(byId("other-facts"), `analysed ${rate(message.fps)} · age ${duration(message.age)}`);
    this.#draw();
    if (message.state === this.#spoken) return;
    this.#spoken = message.state;
    speak(`${this.person}: ${message.state}`);
  }

  /** What is old must not look live: neither the picture nor the verdict. */
  #watchTime() {
    if (!this.name) return;
    if (seconds() - this.#heard > SILENCE) {
      showChip(byId("other-state"), NO_SIGNAL);
      byId("other-screen").className = "screen";
      say(byId("other-facts"), "no word from the relay");
    }
    if (byId("other-words").hidden) this.#video.classList.toggle("stale", this.#fresh.still > 0);
    this.#draw();
  }

  #drawNow() {
    if (!this.name) return;
    const samples = this.#scores.of(this.name);
    say(byId("other-score"), samples.length ? wordsOf(samples.at(-1)) : "");
    this.#curve.draw(samples, seconds());
  }
}
