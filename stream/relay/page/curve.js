/** The curve of the last minute: a line for each face, a band of states below, the same in words and as a table. */

import { drawing, element } from "./dom.js";
import { clock, percent } from "./format.js";
import { SECONDS, runsOf, stretchesOf, summary } from "./scores.js";
import { classOf, shapesOf } from "./states.js";

const LEFT = 44; // px for the words of the axis
const RIGHT = 92; // px for the words at the lines' ends
const TOP = 10;
const BAND = 16; // px, the band of states
const FOOT = 20; // px for the words of the time axis
const ROWS = 12; // of the table, one for each 5 s

export class Curve {
  #svg;
  #table;
  #wanted = null;

  /** svg: where to draw; table: the tbody of the same in numbers. */
  constructor(svg, table) {
    this.#svg = svg;
    this.#table = table;
    new ResizeObserver(() => this.#wanted && this.draw(...this.#wanted)).observe(svg);
  }

  /** Draw samples (see scores.js) as they stand at `now` s. */
  draw(samples, now) {
    this.#wanted = [samples, now];
    const { clientWidth: width, clientHeight: height } = this.#svg;
    if (!width || !height) return;
    const area = { left: LEFT, right: width - RIGHT, top: TOP, bottom: height - FOOT - BAND - 10 };
    const x = (at) => area.right - ((now - at) / SECONDS) * (area.right - area.left);
    const y = (score) => area.bottom - score * (area.bottom - area.top);
    this.#svg.replaceChildren(
      ...axes(area, x, y, now, height),
      ...band(samples, now, x, area.bottom + 8),
      ...lines(samples, x, y, now, area),
    );
  }

  /** Bring the words and the table up to date; calmer than the drawing. */
  tell(samples, now) {
    const words = summary(samples);
    if (this.#svg.getAttribute("aria-label") !== words) this.#svg.setAttribute("aria-label", words);
    const rows = [];
    for (let i = 0; i < ROWS; i += 1) {
      const to = now - i * 5;
      const sample = samples.findLast(({ at }) => at <= to && at > to - 5);
      if (sample) rows.push(rowOf(sample, now));
    }
    this.#table.replaceChildren(...rows);
  }
}

function rowOf({ at, state, faces }, now) {
  const time = clock(new Date(Date.now() - (now - at) * 1000));
  const told = faces.map(({ id, score, reason }) => `face ${id}: ${reason || percent(score)}`).join(", ");
  return element("tr", {}, element("td", {}, time), element("td", {}, state), element("td", {}, told || "–"));
}

function axes(area, x, y, now, height) {
  const parts = [];
  for (const score of [0, 0.5, 1]) {
    const at = y(score);
    parts.push(drawing("path", { d: `M${area.left} ${at}H${area.right}`, class: "grid" }));
    parts.push(drawing("text", { x: area.left - 8, y: at + 4, class: "end" }, percent(score)));
  }
  const ticks = area.right - area.left < 320 ? [60, 30, 0] : [60, 45, 30, 15, 0];
  for (const ago of ticks) {
    const words = ago ? `−${ago} s` : "now";
    const anchor = ago === 60 ? "start" : "middle";
    parts.push(drawing("text", { x: x(now - ago), y: height - 4, class: anchor }, words));
  }
  return parts;
}

function band(samples, now, x, top) {
  const parts = [];
  for (const { state, from, to } of stretchesOf(samples)) {
    const [start, end] = [Math.max(x(from), x(now - SECONDS)), Math.max(x(to), x(from) + 2)];
    const [place, width] = [{ x: start, y: top, height: BAND }, Math.max(end - start, 2)];
    const group = drawing("g", { class: classOf(state) });
    group.append(drawing("rect", { ...place, width, rx: 2, class: "stretch" }));
    if (width >= 20) {
      const box = { x: start + 4, y: top + 2, width: 12, height: 12, viewBox: "0 0 24 24", class: "sign" };
      group.append(drawing("svg", box, ...shapesOf(state)));
    }
    parts.push(group);
  }
  return parts;
}

function lines(samples, x, y, now, area) {
  const parts = [];
  const ends = [];
  for (const [id, runs] of runsOf(samples)) {
    for (const run of runs) parts.push(...coloured(run, x, y));
    const last = runs.at(-1).at(-1);
    if (now - last.at < 2) ends.push({ id, ...last });
  }
  ends.sort((a, b) => b.score - a.score);
  let free = area.top - 6;
  for (const { id, score, state, at } of ends.slice(0, 6)) {
    const line = Math.max(y(score) + 4, free + 13);
    free = line;
    const spot = { cx: x(at), cy: y(score), r: 4, class: `dot ${classOf(state)}` };
    parts.push(drawing("circle", spot));
    const words = `${percent(score)} face ${id}`;
    parts.push(drawing("text", { x: area.right + 10, y: line, class: "start strong" }, words));
  }
  return parts;
}

/** A run as one path for each stretch of the same state; neighbours share a point. */
function coloured(run, x, y) {
  const paths = [];
  let points = [];
  const flush = (state) => {
    const d = points.map(({ at, score }, i) => `${i ? "L" : "M"}${x(at).toFixed(1)} ${y(score).toFixed(1)}`).join("");
    paths.push(drawing("path", { d, class: `line ${classOf(state)}` }));
  };
  for (const point of run) {
    if (points.length && points.at(-1).state !== point.state) {
      const joint = { ...point };
      points.push(joint);
      flush(points[0].state);
      points = [];
    }
    points.push(point);
  }
  if (points.length) flush(points[0].state);
  return paths;
}

/** A small line of the worst score for a list; `svg` has a fixed size in px. */
export function sparkline(svg, samples, now) {
  const [width, height] = [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))];
  const worst = samples.map(({ at, state, faces }) => {
    const scores = faces.map(({ score }) => score).filter(Number.isFinite);
    return { at, state, faces: scores.length ? [{ id: 0, score: Math.max(...scores), state }] : [] };
  });
  const x = (at) => width - 3 - ((now - at) / SECONDS) * (width - 6);
  const y = (score) => height - 3 - score * (height - 6);
  const parts = [drawing("path", { d: `M3 ${height - 3}H${width - 3}`, class: "grid" })];
  for (const run of runsOf(worst).get(0) ?? []) parts.push(...coloured(run, x, y));
  svg.replaceChildren(...parts);
}

