/** Whether a video moves: an old picture must not look live. */

const STILL = 2; // s without a new picture

export class Freshness {
  #video;
  #last = performance.now();

  constructor(video) {
    this.#video = video;
    if ("requestVideoFrameCallback" in video) this.#wait();
  }

  /** Count from now: a new stream begins. */
  reset() {
    this.#last = performance.now();
  }

  /** Seconds for which the picture has stood still, 0 while it moves. */
  get still() {
    const seconds = (performance.now() - this.#last) / 1000;
    return seconds > STILL && "requestVideoFrameCallback" in this.#video ? seconds : 0;
  }

  #wait() {
    this.#video.requestVideoFrameCallback(() => {
      this.reset();
      this.#wait();
    });
  }
}
