/** The five states and their signs: each has a word, a shape and a colour of its own. */

import { drawing, element } from "./dom.js";

export const STATES = ["NO FACE", "UNCERTAIN", "CLEAR", "SUSPICIOUS", "ALERT"];
export const NO_SIGNAL = "NO SIGNAL";

const OCTAGON = "M7.5 2h9L22 7.5v9L16.5 22h-9L2 16.5v-9z";
const SHAPES = {
  "NO FACE": () => [drawing("path", { d: "M4 12h16", class: "stroke" })],
  UNCERTAIN: () => [drawing("circle", { cx: 12, cy: 12, r: 9, class: "stroke dashed" })],
  CLEAR: () => [drawing("circle", { cx: 12, cy: 12, r: 10, class: "solid" })],
  SUSPICIOUS: () => [
    drawing("path", { d: "M12 2.5 23 21.5H1z", class: "solid" }),
    drawing("path", { d: "M12 9.5v5.5M12 17.6v.9", class: "mark" }),
  ],
  ALERT: () => [
    drawing("path", { d: OCTAGON, class: "solid" }),
    drawing("path", { d: "M12 6.5v7M12 16.4v1.1", class: "mark" }),
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
