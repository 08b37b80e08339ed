// A cell, a row or a column in words.

/**
 * @typedef {import("./board.js").BoardImage} BoardImage
 * @typedef {import("./board.js").BoardNode} BoardNode
 * @typedef {import("./rows.js").GroupRow} GroupRow
 * @typedef {import("./rows.js").Row} Row
 */

import { PULLING, STATES, stateOfCell } from "./board.js";
import { number, printable, size } from "./words.js";

/**
 * `failed`, `pulling 45 %`, `not in its list`.
 * @param {BoardNode} node
 * @param {number} column index of the image
 */
export function cellText(node, column) {
  const cell = node.cells[column];
  if (cell === PULLING) return `pulling ${share(node, column)} %`;
  return stateOfCell(cell) || "not in its list";
}

/**
 * Percent of a pull's bytes that are on the node.
 * @param {BoardNode} node
 * @param {number} column index of the image
 */
export function share(node, column) {
  return Math.min(100, Math.max(0, Number(node.shares?.[column] ?? 0)));
}

/** @param {GroupRow} row */
export function groupText(row) {
  const counts = STATES.filter((state) => row.counts[state]).map((state) => `${number(row.counts[state])} ${state}`);
  return `${printable(row.name)}: ${counts.join(", ")}`;
}

/** @param {BoardNode} node */
export function marksOf(node) {
  const marks = [];
  if (node.gave_up) marks.push("gave up");
  if (node.list_rejected) marks.push("list rejected");
  return marks;
}

/** @param {BoardImage} image */
export function imageText(image) {
  const parts = [printable(image.image)];
  if (image.size) parts.push(size(image.size));
  if (image.missing) parts.push(`missing on ${number(image.missing)}`);
  if ((image.digests ?? 0) > 1) parts.push(`${image.digests} different digests`);
  return parts.join(", ");
}

/**
 * @param {Row} row
 * @param {BoardImage | undefined} image undefined: the row itself
 * @param {number} column index of the image
 */
export function placeText(row, image, column) {
  if (row.kind === "group") return groupText(row);
  const node = [printable(row.node.node), ...marksOf(row.node)].join(", ");
  if (!image) return `${node}: ${row.state}${row.missing ? `, ${number(row.missing)} missing` : ""}`;
  return `${node}: ${cellText(row.node, column)}: ${imageText(image)}`;
}
