/** What an RTCPeerConnection does next, as promises. */

const NO_WAY = "no way to the relay's media port was found";

/** Resolves when all candidates are gathered, or after `ms`. */
export function gathered(pc, ms) {
  return new Promise((resolve) => {
    const look = () => pc.iceGatheringState === "complete" && resolve();
    pc.addEventListener("icegatheringstatechange", look);
    setTimeout(resolve, ms);
    look();
  });
}

/** Resolves when media can flow, or `signal` aborts; throws words if that fails or takes longer than `ms`. */
export function connected(pc, ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(NO_WAY)), ms);
    const look = () => {
      const state = pc.connectionState;
      if (state === "failed") reject(new Error(NO_WAY));
      else if (!["connected", "closed"].includes(state) && !signal.aborted) return;
      clearTimeout(timer);
      resolve();
    };
    pc.addEventListener("connectionstatechange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/**
 * Resolves when the connection is gone: closed, failed, or without connectivity for `ms`, or `signal` aborts.
 * True if the other side closed the data channel: it ended the session in good order.
 */
export function lost(pc, channel, ms, signal) {
  return new Promise((resolve) => {
    let timer = 0;
    const gone = () => resolve(false);
    const look = () => {
      clearTimeout(timer);
      if (pc.connectionState === "disconnected") timer = setTimeout(gone, ms);
      else if (pc.connectionState !== "connected") gone();
    };
    pc.addEventListener("connectionstatechange", look);
    channel.addEventListener("close", () => resolve(true));
    signal.addEventListener("abort", gone);
    look();
  });
}
