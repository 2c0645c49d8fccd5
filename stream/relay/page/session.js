/** One WHIP (RFC 9725) or WHEP session that comes back by itself when the relay or the way to it was lost. */

import { Backoff } from "./backoff.js";
import { connected, gathered, lost } from "./connection.js";
import { parsed } from "./events.js";
import { RELAY, RelayError, getJson, request, tokenGiven } from "./http.js";
import { fragment } from "./sdp.js";

const CONNECT = 20000; // ms from the offer to a connected transport
const LOST = 3000; // ms without connectivity until a session counts as lost
const FAREWELL = 2000; // ms that telling the relay of the end may take
const HOUR = 3600000; // ms
const STEADY = 10000; // ms of connection after which the next loss is a first one
const FINAL = new Set([400, 403, 405, 409, 413, 415, 422]); // trying again would change nothing

export const PHASE = { CONNECTING: "connecting", LIVE: "live", WAITING: "waiting", FAILED: "failed", ENDED: "ended" };

export class Session {
  #options;
  #backoff = new Backoff();
  #end = new AbortController();
  #pc = null;
  #resource = null; // the session's URL
  #etag = "";
  #everLive = false;
  #resting = false;

  /**
   * role: "publish" or "watch"; url: of the endpoint;
   * build(pc): adds the tracks or transceivers; change(phase, words); message(object): of the data channel;
   * gather: ms that candidates may take before the offer goes out, later ones trickle.
   */
  constructor({ role, url, build, change, message = () => {}, gather = 200 }) {
    this.#options = { role, url, build, change, message, gather };
    this.#run();
  }

  /** The present RTCPeerConnection, or null. */
  get connection() {
    return this.#pc;
  }

  /** Try now instead of later. */
  hurry() {
    this.#resting = false;
    this.#backoff.hurry();
  }

  /** The relay has ended the stream, and this session with it: try no more until told to hurry. */
  rest() {
    this.#resting = true;
    this.#resource = null;
  }

  /** End for good and tell the relay; also while the page is being left. */
  close() {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    this.#backoff.hurry();
    this.#release();
    this.#options.change(PHASE.ENDED, "");
  }

  async #run() {
    const { change, role } = this.#options;
    while (!this.#ended) {
      let words = "the connection was lost";
      let delay = 0;
      try {
        change(PHASE.CONNECTING, "");
        await this.#connect();
        if (this.#ended) break;
        const since = performance.now();
        change(PHASE.LIVE, "");
        this.#everLive = true;
        await this.#loss(this.#pc);
        if (performance.now() - since > STEADY) this.#backoff.reset();
      } catch (error) {
        if (this.#ended) break;
        if (this.#isFinal(error)) {
          this.#end.abort();
          this.#release();
          change(PHASE.FAILED, error.message);
          return;
        }
        ({ message: words, retryAfter: delay = 0 } = error);
        if (error.wantsToken) {
          change(PHASE.WAITING, words);
          await tokenGiven(role, this.#end.signal);
          continue;
        }
      }
      this.#release();
      if (this.#ended) break;
      change(PHASE.WAITING, words);
      await this.#backoff.wait(Math.max(this.#backoff.next(), delay * 1000));
      while (this.#resting && !this.#ended) {
        change(PHASE.WAITING, "the stream has ended");
        await this.#backoff.wait(HOUR);
      }
    }
    this.#release();
  }

  get #ended() {
    return this.#end.signal.aborted;
  }

  /** A name that is taken is taken, unless it is taken by what is left of this very session. */
  #isFinal(error) {
    return error instanceof RelayError && FINAL.has(error.status) && !(error.status === 409 && this.#everLive);
  }

  async #connect() {
    const { role, build, message, gather } = this.#options;
    const pc = new RTCPeerConnection({ iceServers: await this.#iceServers(role), bundlePolicy: "max-bundle" });
    this.#pc = pc;
    if (this.#ended) return;
    const late = [];
    pc.onicecandidate = ({ candidate }) => candidate?.candidate && late.push(candidate);
    const channel = pc.createDataChannel("facewitness");
    channel.onmessage = ({ data }) => {
      const value = parsed(data);
      if (value) message(value);
    };
    pc.facewitness = channel;
    build(pc);
    await pc.setLocalDescription();
    await gathered(pc, gather);
    late.length = 0; // what was found so far stands in the offer
    const whole = pc.iceGatheringState === "complete";
    const answer = await this.#post(pc.localDescription.sdp);
    if (this.#ended) return;
    await pc.setRemoteDescription({ type: "answer", sdp: answer });
    if (!whole) this.#trickle(pc, late);
    await connected(pc, CONNECT, this.#end.signal);
  }

  /** What the relay has configured; a relay that does not say needs none. */
  async #iceServers(role) {
    try {
      return (await getJson(role, "/api/ice")).iceServers ?? [];
    } catch (error) {
      if (error.status === 404) return [];
      throw error;
    }
  }

  async #post(sdp) {
    const { role, url } = this.#options;
    const response = await request(role, url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Accept: "application/sdp" },
      body: sdp,
    });
    this.#resource = new URL(response.headers.get("Location"), new URL(url, RELAY)).href;
    this.#etag = response.headers.get("ETag") ?? "";
    if (this.#ended) this.#release();
    return response.text();
  }

  async #trickle(pc, late) {
    const resource = this.#resource;
    await gathered(pc, CONNECT);
    if (this.#resource !== resource || !resource) return;
    const headers = { "Content-Type": "application/trickle-ice-sdpfrag" };
    if (this.#etag) headers["If-Match"] = this.#etag;
    const body = fragment(pc.localDescription.sdp, late, true);
    try {
      await request(this.#options.role, resource, { method: "PATCH", headers, body });
    } catch {
      // the candidates of the offer may do; if not, the connection fails and a new session begins
    }
  }

  /** Resolves when the connection is gone; the relay closes the data channel when it ends a session. */
  async #loss(pc) {
    const byRelay = await lost(pc, pc.facewitness, LOST, this.#end.signal);
    if (byRelay && this.#pc === pc) this.#resource = null;
  }

  /** The relay is told first: a connection that closes is a session that it does not know any more. */
  #release() {
    const [pc, resource] = [this.#pc, this.#resource];
    this.#pc = this.#resource = null;
    const init = { method: "DELETE", keepalive: true, signal: AbortSignal.timeout(FAREWELL) };
    const told = resource && request(this.#options.role, resource, init);
    Promise.resolve(told)
      .catch(() => {})
      .finally(() => pc?.close());
  }
}

/** Publish the tracks of `stream` as `name`. */
export function publish(name, stream, handlers) {
  const build = (pc) => {
    for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  };
  return new Session({ role: "publish", url: `/whip/${encodeURIComponent(name)}`, build, ...handlers });
}

/** Watch `name`: picture "annotated" or "plain"; the tracks come into `stream`. */
export function watch(name, picture, stream, handlers) {
  const build = (pc) => {
    for (const track of stream.getTracks()) stream.removeTrack(track);
    for (const kind of ["video", "audio"]) {
      const { receiver } = pc.addTransceiver(kind, { direction: "recvonly" });
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0; // ms: live before smooth
      stream.addTrack(receiver.track);
    }
  };
  const url = `/whep/${encodeURIComponent(name)}?picture=${picture}`;
  return new Session({ role: "watch", url, build, ...handlers });
}
