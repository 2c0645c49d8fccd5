/** Trickle fragments: late ICE candidates as the relay's PATCH takes them (RFC 8840, section 9). */

/** The body for `candidates` (RTCIceCandidate) of the offer `sdp`; `complete`: no more will come. */
export function fragment(sdp, candidates, complete) {
  const lines = sdp.split(/\r?\n/);
  const first = (name) => lines.find((line) => line.startsWith(`a=${name}:`));
  const out = [first("ice-ufrag"), first("ice-pwd")];
  const sections = mediaSections(lines);
  for (const [index, section] of sections.entries()) {
    const own = candidates.filter((c) => (c.sdpMid ?? String(c.sdpMLineIndex)) === section.mid);
    if (!own.length && !(complete && index === 0)) continue;
    out.push(section.media, `a=mid:${section.mid}`, ...own.map((c) => `a=${c.candidate}`));
    if (complete) out.push("a=end-of-candidates");
  }
  return out.filter(Boolean).join("\r\n") + "\r\n";
}

function mediaSections(lines) {
  const sections = [];
  for (const line of lines) {
    if (line.startsWith("m=")) sections.push({ media: line, mid: String(sections.length) });
    else if (line.startsWith("a=mid:")) sections.at(-1).mid = line.slice(6);
  }
  return sections;
}
