/** Joining with one's own camera: the form, the mirrored preview, the WHIP session. */

import { cameraMissing, changeCamera, deviceChoice, keepName, openCamera, ownName, stopAll } from "./camera.js";
import { byId, say } from "./dom.js";
import { PHASE, publish } from "./session.js";

export class OwnCamera {
  #stream = null;
  #session = null;
  #joined;
  #left;
  #refill;

  /** joined(name): the stream is live; left(name): it is about to end, by the reader's wish. */
  constructor({ joined, left }) {
    this.#joined = joined;
    this.#left = left;
    byId("own-name").value = ownName("camera");
    this.#refill = deviceChoice(byId("camera"), byId("microphone"));
    byId("own").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#join();
    });
    byId("leave").addEventListener("click", () => this.leave());
    byId("camera").addEventListener("change", () => this.#session && this.#changeCamera());
    if (cameraMissing()) {
      say(byId("own-words"), cameraMissing());
      byId("join").disabled = true;
    }
  }

  /** The name that is being published; "" while nothing is. */
  get name() {
    return this.#session ? byId("own-name").value : "";
  }

  /** The relay is back: do not wait any longer. */
  hurry() {
    this.#session?.hurry();
  }

  /** End it: the relay is told, the camera goes off. */
  leave(words = "") {
    const name = this.name;
    if (name) this.#left(name);
    this.#session?.close();
    this.#session = null;
    stopAll(this.#stream);
    this.#stream = null;
    byId("preview").srcObject = null;
    this.#frame(words);
  }

  /** End the session while the page is being left. */
  close() {
    this.#session?.close();
  }

  async #join() {
    if (this.#session || byId("join").disabled) return;
    byId("join").disabled = true;
    say(byId("own-words"), "");
    try {
      this.#stream = await openCamera({ camera: byId("camera").value, microphone: byId("microphone").value });
    } catch (error) {
      this.#frame(error.message);
      return;
    }
    this.#show();
    this.#refill();
    const name = byId("own-name").value;
    keepName(name);
    this.#session = publish(name, this.#stream, { change: (phase, words) => this.#onPhase(name, phase, words) });
    this.#frame("");
    byId("leave").focus();
  }

  #show() {
    byId("preview").srcObject = this.#stream;
    const [track] = this.#stream.getVideoTracks();
    track.addEventListener("ended", () => this.leave("The camera was taken away."));
  }

  #onPhase(name, phase, words) {
    if (phase === PHASE.FAILED) this.leave(`The relay does not take the stream: ${words}.`);
    else if (phase === PHASE.WAITING) say(byId("own-words"), `Not sent just now, trying again: ${words}.`);
    else say(byId("own-words"), "");
    if (phase === PHASE.LIVE) this.#joined(name);
  }

  /** Another camera into the session that runs. */
  async #changeCamera() {
    try {
      await changeCamera(this.#stream, this.#session.connection, byId("camera").value);
      this.#show();
      say(byId("own-words"), "");
    } catch (error) {
      say(byId("own-words"), error.message);
    }
  }

  #frame(words) {
    const on = this.#session !== null;
    byId("preview").hidden = !on;
    byId("join").hidden = on;
    byId("join").disabled = false;
    byId("leave").hidden = !on;
    byId("own-name").disabled = byId("microphone").disabled = on;
    say(byId("own-words"), words);
  }
}
