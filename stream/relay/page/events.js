/** Server-sent events read with fetch(), since an EventSource can carry a token only in its URL. */

import { Backoff } from "./backoff.js";
import { request, tokenGiven } from "./http.js";

const SILENCE = 25000; // ms; the relay writes a comment every 10 s
const LONGEST = 1 << 20; // characters of one line; more is no event of ours

/** Cuts text into events (HTML Living Standard, 9.2.6); `deliver` gets {type, data}. */
export class Parser {
  #rest = "";
  #type = "";
  #data = [];

  constructor(deliver) {
    this.deliver = deliver;
  }

  push(text) {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop().slice(-LONGEST);
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      if (this.#data.length) this.deliver({ type: this.#type || "message", data: this.#data.join("\n") });
      this.#type = "";
      this.#data = [];
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") this.#type = value;
    else if (field === "data") this.#data.push(value);
  }
}

/**
 * Follow `path` until the function that is returned is called.
 * opened(): connected, also again; closed(words): broken, a next try follows; message(object): one event.
 */
export function follow(path, { opened, closed, message }) {
  const end = new AbortController();
  const backoff = new Backoff(500, 10000);
  const loop = async () => {
    while (!end.signal.aborted) {
      try {
        await readOnce(path, end.signal, message, () => {
          backoff.reset();
          opened();
        });
        closed("the relay ended the events");
      } catch (error) {
        if (end.signal.aborted) return;
        closed(error.message);
        if (error.wantsToken) {
          await tokenGiven("watch", end.signal);
          continue;
        }
      }
      await backoff.wait(backoff.next());
    }
  };
  loop();
  return () => {
    end.abort();
    backoff.hurry();
  };
}

async function readOnce(path, ending, message, opened) {
  const broken = new AbortController();
  const signal = AbortSignal.any([ending, broken.signal]);
  const response = await request("watch", path, { headers: { Accept: "text/event-stream" }, signal });
  opened();
  const parser = new Parser(({ data }) => {
    const value = parsed(data);
    if (value) message(value);
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const timer = setTimeout(() => broken.abort(new Error("the relay fell silent")), SILENCE);
    try {
      const { done, value } = await reader.read();
      if (done) return;
      parser.push(value);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A message of the relay as an object of schema 1; null for anything else. */
export function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value && value.schema === 1 && typeof value.type === "string" ? value : null;
  } catch {
    return null;
  }
}
