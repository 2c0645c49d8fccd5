/** Building the document: elements from words and children, never from markup. */

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new HTML element. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** A new SVG element. */
export function drawing(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Set a node's text if it differs: a live region must not speak twice, a selection must not be lost. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Have a screen reader say a line; lines that come at once are all said. */
export function speak(words) {
  const region = byId("spoken");
  region.append(element("p", {}, words));
  while (region.childElementCount > 5) region.firstElementChild.remove();
}

/** Run `draw` at most once every `ms`, always once more after the last call. */
export function calmly(draw, ms) {
  let timer = 0;
  let last = -ms;
  return () => {
    if (timer) return;
    timer = setTimeout(
      () => {
        timer = 0;
        last = performance.now();
        draw();
      },
      Math.max(0, last + ms - performance.now()),
    );
  };
}
