// What the aggregator has said about an installation (nodeprefetch/board.py), kept up to date by changes.

/**
 * @typedef {{image: string, size?: number, missing?: number, digests?: number}} BoardImage
 * @typedef {{
 *   node: string, state: string, cells: string, shares?: Record<string, number>, list_digest?: string,
 *   heard?: number, run_started?: number, run_end?: string, done_bytes?: number, total_bytes?: number, rate?: number,
 *   gave_up?: boolean, list_rejected?: string, zone?: string, pool?: string, created?: number,
 * }} BoardNode
 * @typedef {{
 *   image: string, error_class: string, reason: string, error: string, nodes: number,
 *   examples?: string[], is_final?: boolean,
 * }} BoardCause
 * @typedef {{
 *   nodes?: Record<string, number>, gone?: number, done_bytes?: number, total_bytes?: number, rate?: number,
 *   seconds_left?: number | null,
 * }} BoardSummary
 */

export const WAITING = "w";
export const PULLING = "p";
export const FAILED = "f";
export const UNLISTED = "-";

/** Cells and nodes from the worst to the best. */
export const STATES = ["failed", "pulling", "waiting", "warm"];

/**
 * @param {string} cell a character of `BoardNode.cells`
 * @returns {string} one of `STATES`; empty if the image is not in the node's list
 */
export function stateOfCell(cell) {
  if (cell === FAILED) return "failed";
  if (cell === PULLING) return "pulling";
  if (cell === WAITING) return "waiting";
  return cell === UNLISTED || cell === undefined ? "" : "warm";
}

/**
 * @param {string} state as in `/v1/status`
 * @returns {string} one of `STATES`
 */
export function stateOfNode(state) {
  return state === "succeeded" || state === "present" ? "warm" : state;
}

export class Board {
  at = 0;
  instance = "";
  instances = /** @type {string[]} */ ([]);
  summary = /** @type {BoardSummary} */ ({});
  images = /** @type {BoardImage[]} */ ([]);
  imagesLeftOut = 0;
  causes = /** @type {BoardCause[]} */ ([]);
  nodes = /** @type {Map<string, BoardNode>} */ (new Map());
  #order = /** @type {Map<string, number> | null} */ (null);

  /** @param {any} message `board` */
  replace(message) {
    this.instance = message.instance;
    this.instances = message.instances;
    this.imagesLeftOut = message.images_left_out ?? 0;
    this.nodes.clear();
    this.#order = null;
    this.change({ ...message, images: message.images, causes: message.causes });
  }

  /** @param {any} message `change` */
  change(message) {
    this.at = message.at;
    this.summary = message.summary;
    this.images = message.images ?? this.images;
    this.causes = message.causes ?? this.causes;
    for (const name of message.removed ?? []) this.nodes.delete(name);
    for (const node of message.nodes ?? []) {
      if (!this.nodes.has(node.node)) this.#order = null;
      this.nodes.set(node.node, node);
    }
  }

  /** Places of nodes in the order of their names, `node-2` before `node-10`. */
  get order() {
    if (!this.#order) {
      const compare = new Intl.Collator("en", { numeric: true }).compare;
      const names = [...this.nodes.keys()].sort(compare);
      this.#order = new Map(names.map((name, place) => [name, place]));
    }
    return this.#order;
  }

  /**
   * @param {string} state one of `STATES`
   * @returns {number} of nodes
   */
  count(state) {
    const counts = Object.entries(this.summary.nodes ?? {});
    return counts.reduce((sum, [name, count]) => sum + (stateOfNode(name) === state ? count : 0), 0);
  }
}
