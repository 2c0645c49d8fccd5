/** The list of alerts, newest first: one row an alert, however many events it has. */

import { element, say } from "./dom.js";
import { clock, duration, percent } from "./format.js";
import { sign } from "./states.js";

const MOST = 200; // alerts kept
const SHOWN = 50; // rows
const FORGOTTEN = "forgotten"; // of an alert whose relay was restarted

export class Alerts {
  #body;
  #alerts = new Map(); // id -> alert, oldest first
  #rows = new Map();

  /** body: a tbody with the columns stream, face, start, end, peak. */
  constructor(body) {
    this.#body = body;
  }

  /** How many are open now. */
  get open() {
    return [...this.#alerts.values()].filter(isOpen).length;
  }

  get size() {
    return this.#alerts.size;
  }

  /** Take one event; true if it opened an alert that was not known. */
  add(event) {
    const known = this.#alerts.get(event.id);
    if (known?.phase === "closed") return false;
    this.#alerts.set(event.id, { ...event, began: known?.began ?? beganAt(event) });
    if (this.#alerts.size > MOST) this.#alerts.delete(this.#alerts.keys().next().value);
    return !known && event.phase !== "closed";
  }

  /** Take all that the relay remembers; of open alerts that it does not know (any more) nobody will tell the end. */
  replace(events) {
    for (const event of events) this.add(event);
    const told = new Set(events.map(({ id }) => id));
    for (const alert of this.#alerts.values()) if (isOpen(alert) && !told.has(alert.id)) alert.phase = FORGOTTEN;
  }

  /** Bring the table on the screen up to date. */
  draw() {
    const shown = [...this.#alerts.values()].slice(-SHOWN).reverse();
    const wanted = new Set(shown.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      row.line.remove();
      this.#rows.delete(id);
    }
    for (const alert of shown.toReversed()) {
      let row = this.#rows.get(alert.id);
      if (!row) {
        row = newRow(alert);
        this.#rows.set(alert.id, row);
        this.#body.prepend(row.line);
      }
      drawRow(row, alert);
    }
  }
}

const isOpen = ({ phase }) => phase !== "closed" && phase !== FORGOTTEN;

/** When an alert began by the wall clock: its event was made at `wall_time`, about when it had reached `end`. */
function beganAt({ phase, wall_time: told, start, end }) {
  const made = Date.parse(told);
  if (!Number.isFinite(made) || phase === "closed") return null;
  return new Date(made - Math.max(end - start, 0) * 1000);
}

function newRow({ id, stream, source }) {
  const cells = Object.fromEntries(["face", "start", "end", "peak"].map((name) => [name, twoLines(name)]));
  const name = element("th", { scope: "row" }, sign("ALERT"), element("span", {}, stream ?? source));
  const line = element("tr", { "data-alert": id }, name, ...Object.values(cells).map(({ cell }) => cell));
  return { ...cells, line };
}

function twoLines(name) {
  const [first, second] = [element("span"), element("small")];
  return { cell: element("td", { class: name }, first, second), first, second };
}

function write({ first, second }, words, more = "") {
  say(first, words);
  say(second, more);
}

function drawRow(row, { track, start, end, peak, phase, began }) {
  const lasted = Math.max(end - start, 0);
  const at = `at ${duration(start)} of the stream`;
  row.line.dataset.phase = phase;
  write(row.face, `face ${track}`);
  write(row.start, began ? clock(began) : at, began ? at : "");
  write(row.peak, percent(peak));
  if (phase === FORGOTTEN) write(row.end, "not known", "the relay was restarted");
  else if (phase !== "closed") write(row.end, "still open", `${duration(lasted)} so far`);
  else if (began) write(row.end, clock(new Date(began.getTime() + lasted * 1000)), `after ${duration(lasted)}`);
  else write(row.end, `at ${duration(end)}`, `after ${duration(lasted)}`);
}
