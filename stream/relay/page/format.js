/** Numbers in a reader's words. */

/** A score 0..1 as "3 %"; null: "–". */
export const percent = (score) => (Number.isFinite(score) ? `${Math.round(score * 100)} %` : "–");

/** Seconds as "45 ms" or "1.2 s"; null: "–". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Pictures a second. */
export const rate = (fps) => (Number.isFinite(fps) ? `${fps.toFixed(fps < 9.95 ? 1 : 0)} fps` : "– fps");

/** How many of a thing. */
export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** A Date as the reader's clock shows it. */
export const clock = (date) =>
  date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
