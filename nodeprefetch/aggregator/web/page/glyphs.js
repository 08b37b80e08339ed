// Draws the state of a cell. Each has a shape of its own: colors alone would leave some people out.

/** @typedef {Record<"paper" | "ink" | "quiet" | "line" | "failed" | "pulling" | "waiting" | "warm" | "focus", string>} Colors */

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Colors} colors
 * @param {string} state one of `STATES`, or empty
 * @param {number} share percent of a pull
 * @param {{x: number, y: number, width: number, height: number}} box
 */
export function drawGlyph(context, colors, state, share, { x, y, width, height }) {
  if (state === "warm") {
    context.fillStyle = colors.warm;
    context.fillRect(x, y, width, height);
  } else if (state === "failed") {
    context.fillStyle = colors.failed;
    context.fillRect(x, y, width, height);
    cross(context, colors.paper, x + width / 2, y + height / 2);
  } else if (state === "pulling") {
    const done = Math.round((width * share) / 100);
    context.fillStyle = colors.pulling;
    context.fillRect(x, y, done, height);
    outline(context, colors.pulling, x, y, width, height);
  } else if (state === "waiting") {
    outline(context, colors.waiting, x + width / 2 - 4, y + height / 2 - 4, 8, 8);
  } else {
    context.fillStyle = colors.line;
    context.fillRect(x + width / 2 - 3, y + height / 2, 6, 1);
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} color
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
function outline(context, color, x, y, width, height) {
  context.strokeStyle = color;
  context.lineWidth = 1.5;
  context.strokeRect(x + 0.75, y + 0.75, width - 1.5, height - 1.5);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {string} color
 * @param {number} x of its middle
 * @param {number} y
 */
function cross(context, color, x, y) {
  context.strokeStyle = color;
  context.lineWidth = 2;
  context.beginPath();
  context.moveTo(x - 4, y - 4);
  context.lineTo(x + 4, y + 4);
  context.moveTo(x + 4, y - 4);
  context.lineTo(x - 4, y + 4);
  context.stroke();
}

/** The legend of the map, as pairs of a state and its meaning. */
export const LEGEND = [
  ["warm", "on the node"],
  ["pulling", "pulling"],
  ["waiting", "waiting"],
  ["failed", "failed"],
  ["", "not in its list"],
];
