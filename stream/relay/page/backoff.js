/** How long to wait before the next try: doubling, jittered, bounded; a wait can be cut short. */

export class Backoff {
  #first;
  #most;
  #tries = 0;
  #wake = null;

  /** first, most: ms. */
  constructor(first = 1000, most = 15000) {
    this.#first = first;
    this.#most = most;
  }

  /** The next wait in ms; a quarter of it is random, so that many pages do not come back at once. */
  next() {
    const whole = Math.min(this.#first * 2 ** this.#tries, this.#most);
    this.#tries += 1;
    return whole * (0.75 + 0.25 * Math.random());
  }

  /** Back to the first wait. */
  reset() {
    this.#tries = 0;
  }

  /** Resolves after `ms`, or at once when hurried. */
  wait(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** End the wait that is under way. */
  hurry() {
    this.#wake?.();
  }
}
