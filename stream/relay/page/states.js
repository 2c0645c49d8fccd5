/** The five states and their signs: each has a word, a shape and a colour of its own. */

import { drawing, element } from "./dom.js";

export const STATES = ["NO FACE", "UNCERTAIN", "CLEAR", "SUSPICIOUS", "ALERT"];
export const NO_SIGNAL = "NO SIGNAL";

// The signs that stream/overlay_text.py draws into the picture.
const SHAPES = {
  "NO FACE": () => [drawing("path", { d: "M4 4h16v16H4z", class: "stroke" })],
  UNCERTAIN: () => [drawing("circle", { cx: 12, cy: 12, r: 9, class: "stroke" })],
  CLEAR: () => [drawing("path", { d: "M3 13l6 6L21 5", class: "stroke" })],
  SUSPICIOUS: () => [drawing("path", { d: "M12 1 23 12 12 23 1 12z", class: "solid" })],
  ALERT: () => [
    drawing("path", { d: "M12 2.5 23 21.5H1z", class: "solid" }),
    drawing("path", { d: "M12 9.5v5.5M12 17.6v.9", class: "mark" }),
  ],
  "NO SIGNAL": () => [
    drawing("rect", { x: 4, y: 4, width: 16, height: 16, class: "stroke" }),
    drawing("path", { d: "M4 20 20 4", class: "stroke" }),
  ],
};

/** The class that carries a state's colour. */
export const classOf = (state) => `state-${(SHAPES[state] ? state : "NO FACE").toLowerCase().replace(" ", "-")}`;

/** The shapes of a state in a 24 x 24 box, to be put into an SVG. */
export const shapesOf = (state) => (SHAPES[state] ?? SHAPES["NO FACE"])();

/** The sign alone; words stand beside it. */
export const sign = (state) =>
  drawing("svg", { viewBox: "0 0 24 24", class: "sign", "aria-hidden": "true" }, ...shapesOf(state));

/** Sign and word. */
export const chip = (state) => element("span", { class: `chip ${classOf(state)}` }, sign(state), state);

/** Show `state` in a place, if it is not shown there yet. */
export function showChip(place, state) {
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.replaceChildren(chip(state));
}
