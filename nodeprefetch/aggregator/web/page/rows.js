// Which rows and columns are shown, and in which order: pure, from the board and the filters.

/**
 * @typedef {import("./board.js").Board} Board
 * @typedef {import("./board.js").BoardNode} BoardNode
 * @typedef {import("./filters.js").Filters} Filters
 * @typedef {{kind: "node", key: string, node: BoardNode, state: string, missing: number}} NodeRow
 * @typedef {{kind: "group", key: string, name: string, isClosed: boolean, counts: Record<string, number>}} GroupRow
 * @typedef {NodeRow | GroupRow} Row
 */

import { STATES, stateOfCell, stateOfNode } from "./board.js";

const AGES = /** @type {[number, string][]} */ ([
  [600, "up to 10 minutes old"],
  [3600, "up to 1 hour old"],
  [86400, "up to 1 day old"],
  [604800, "up to 1 week old"],
  [Infinity, "older than 1 week"],
]);
const AGE_UNKNOWN = "age unknown";

/**
 * @param {Board} board
 * @param {Filters} filters
 * @returns {number[]} indices of `board.images`
 */
export function columns(board, filters) {
  const matches = matcher(filters.image);
  return board.images.flatMap(({ image }, index) => (matches(image) ? [index] : []));
}

/**
 * @param {Board} board
 * @param {Filters} filters
 * @param {number[]} shown the columns
 * @returns {Row[]} the worst first, in groups if there are any
 */
export function rows(board, filters, shown) {
  const found = nodeRows(board, filters, shown);
  if (!filters.group) return found;
  /** @type {Map<string, NodeRow[]>} */
  const groups = new Map();
  for (const row of found) {
    const name = groupOf(row.node, filters.group, board.at);
    const members = groups.get(name);
    if (members) members.push(row);
    else groups.set(name, [row]);
  }
  const names = [...groups.keys()].sort(filters.group === "age" ? byAge : undefined);
  return names.flatMap((name) => {
    const members = groups.get(name) ?? [];
    const isClosed = filters.closed.includes(name);
    return [/** @type {Row} */ ({ kind: "group", key: `g:${name}`, name, isClosed, counts: countsOf(members) })].concat(
      isClosed ? [] : members,
    );
  });
}

/**
 * @param {Board} board
 * @param {Filters} filters
 * @param {number[]} shown
 */
function nodeRows(board, filters, shown) {
  const matches = matcher(filters.node);
  const isWhole = shown.length === board.images.length;
  /** @type {NodeRow[]} */
  const found = [];
  for (const node of board.nodes.values()) {
    if (!matches(node.node)) continue;
    const row = rowOf(node, isWhole, shown);
    if (!filters.state || (filters.state === "gave-up" ? node.gave_up : row.state === filters.state)) found.push(row);
  }
  return found.sort((a, b) => rank(a) - rank(b) || b.missing - a.missing || place(board, a) - place(board, b));
}

/** @param {NodeRow} row */
function rank(row) {
  return STATES.indexOf(row.state);
}

/**
 * @param {Board} board
 * @param {NodeRow} row
 */
function place(board, row) {
  return board.order.get(row.node.node) ?? 0;
}

/**
 * @param {BoardNode} node
 * @param {boolean} isWhole all its images are shown
 * @param {number[]} shown
 * @returns {NodeRow}
 */
function rowOf(node, isWhole, shown) {
  let missing = 0;
  let worst = STATES.length - 1;
  for (const column of shown) {
    const state = stateOfCell(node.cells[column]);
    if (state === "" || state === "warm") continue;
    missing += 1;
    worst = Math.min(worst, STATES.indexOf(state));
  }
  return { kind: "node", key: `n:${node.node}`, node, state: isWhole ? stateOfNode(node.state) : STATES[worst], missing };
}

/**
 * @param {BoardNode} node
 * @param {string} group
 * @param {number} now Unix seconds
 */
function groupOf(node, group, now) {
  if (group === "zone") return node.zone || "zone unknown";
  if (group === "pool") return node.pool || "pool unknown";
  if (!node.created) return AGE_UNKNOWN;
  const age = now - node.created;
  return AGES.find(([limit]) => age <= limit)?.[1] ?? AGE_UNKNOWN;
}

/**
 * @param {string} a
 * @param {string} b
 */
function byAge(a, b) {
  const place = (/** @type {string} */ name) => AGES.findIndex(([, each]) => each === name) >>> 0;
  return place(a) - place(b);
}

/** @param {NodeRow[]} members */
function countsOf(members) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { state } of members) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

/**
 * All words have to be in a name; with `=` in front it has to be that name.
 * @param {string} wanted
 * @returns {(name: string) => boolean}
 */
function matcher(wanted) {
  if (wanted.startsWith("=")) return (name) => name === wanted.slice(1);
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  return (name) => words.every((word) => name.toLowerCase().includes(word));
}
