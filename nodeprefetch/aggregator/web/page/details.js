// The details of a node, or of an image on it: what it is, its run, and all attempts that are kept.

/**
 * @typedef {import("./board.js").Board} Board
 * @typedef {import("./board.js").BoardNode} BoardNode
 * @typedef {import("./client.js").Client} Client
 * @typedef {{
 *   node: string, image: string, attempt: number, started_at: number, duration: number, limit?: number, run_id?: string,
 *   size?: number, digest?: string, credential?: string, error?: string, error_class?: string, reason?: string,
 * }} Attempt as in nodeprefetch/board.py
 */

import { stateOfNode } from "./board.js";
import { cellText, marksOf } from "./celltext.js";
import { byId, element, foreign, setText } from "./elements.js";
import { duration, plural, roughly, size, time } from "./words.js";

const LIMIT = 200; // attempts
const PAUSE = 5000; // milliseconds between two times of asking

export class Details {
  #node = "";
  #image = "";
  #instance = "";
  #heard = -1;
  #asking = /** @type {AbortController | null} */ (null);
  #timer = 0;
  #run = /** @type {any} */ ({}); // as in /v1/status, like the next
  #state = /** @type {any} */ ({}); // of the image on the node

  /**
   * @param {Client} client
   * @param {() => void} onMore more is known than the board has
   */
  constructor(client, onMore) {
    this.client = client;
    this.onMore = onMore;
    this.section = byId("details");
    this.title = byId("details-title");
    this.facts = byId("facts");
    this.attempts = byId("attempts");
    this.note = byId("details-note");
  }

  get isOpen() {
    return !this.section.hidden;
  }

  /**
   * @param {string} instance
   * @param {string} node empty: close
   * @param {string} image empty: all
   */
  open(instance, node, image) {
    if (node === this.#node && image === this.#image && instance === this.#instance) return;
    [this.#instance, this.#node, this.#image] = [instance, node, image];
    this.#heard = -1;
    this.#run = {};
    this.#state = {};
    this.#asking?.abort();
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.section.hidden = node === "";
    if (!node) return;
    this.title.replaceChildren(foreign(node), ...(image ? [": ", foreign(image)] : []));
    this.attempts.replaceChildren();
    setText(this.note, "Loading attempts …");
    this.title.focus({ preventScroll: false });
  }

  /** @param {Board} board */
  show(board) {
    if (!this.#node) return;
    const node = board.nodes.get(this.#node);
    this.#showFacts(board, node);
    if (node?.heard !== this.#heard || this.#heard === -1) this.#askSoon(node?.heard ?? 0);
  }

  /**
   * @param {Board} board
   * @param {BoardNode | undefined} node
   */
  #showFacts(board, node) {
    const facts = node ? this.#factsOf(board, node) : [["State", "the aggregator knows nothing of this node"]];
    const texts = JSON.stringify(facts);
    if (this.facts.dataset.texts === texts) return;
    this.facts.dataset.texts = texts;
    this.facts.replaceChildren(...definitions(facts));
  }

  /**
   * @param {Board} board
   * @param {BoardNode} node
   * @returns {string[][]}
   */
  #factsOf(board, node) {
    const column = board.images.findIndex(({ image }) => image === this.#image);
    const bytes = node.total_bytes ? `${size(node.done_bytes) || "0 B"} of ${size(node.total_bytes)}` : size(node.done_bytes);
    return [
      ["Image", column >= 0 ? cellText(node, column) : ""],
      ["Error", [this.#state.error_class, this.#state.reason, this.#state.error].filter(Boolean).join(", ")],
      ["Digest of the image", this.#state.digest ?? ""],
      [this.#image ? "Node" : "State", [stateOfNode(node.state), ...marksOf(node)].join(", ")],
      ["List rejected", node.list_rejected ?? ""],
      ["Pulled", [bytes, node.rate ? `${size(node.rate)}/s` : ""].filter(Boolean).join(", ")],
      ["Last news", time(node.heard)],
      ["Run started", time(node.run_started)],
      ["Run ended", node.run_started ? node.run_end || "not yet" : ""],
      ["Run", this.#run.run_id ?? ""],
      ["Version", this.#run.version ?? ""],
      ["Runtime", this.#run.runtime ?? ""],
      ["Digest of the list", node.list_digest ?? ""],
      ["Zone", node.zone ?? ""],
      ["Pool", node.pool ?? ""],
      ["Age", node.created ? roughly(Math.max(0, board.at - node.created)) : ""],
    ];
  }

  /** @param {number} heard */
  #askSoon(heard) {
    this.#heard = heard;
    if (this.#timer) return; // then it asks for that too
    this.#ask();
  }

  async #ask() {
    const heard = this.#heard;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (this.#heard !== heard) this.#ask();
    }, PAUSE);
    this.#asking?.abort();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const where = { instance: this.#instance, node: this.#node, image: this.#image || null };
    try {
      const [attempts, status] = await Promise.all([
        this.client.ask("v1/attempts", { ...where, limit: String(LIMIT) }, signal),
        this.client.ask("v1/status", { ...where, limit: "1" }, signal),
      ]);
      if (signal.aborted) return;
      const [known] = status.instances?.[0]?.nodes ?? [];
      this.#run = known?.run ?? {};
      this.#state = this.#image ? (known?.images?.[0] ?? {}) : {};
      this.#showAttempts(attempts);
      this.onMore();
    } catch (error) {
      if (!signal.aborted) setText(this.note, `Attempts cannot be read: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {{attempts: Attempt[], more: boolean}} answer */
  #showAttempts({ attempts, more }) {
    if (!attempts.length) {
      this.attempts.replaceChildren();
      setText(this.note, "No attempts are known: the images were there, nothing was tried yet, or it was long ago.");
      return;
    }
    const rest = more ? ", older ones are left out" : "";
    setText(this.note, `${plural(attempts.length, "attempt")}, the newest first${rest}.`);
    this.attempts.replaceChildren(...attempts.map((attempt) => element("li", {}, partsOf(attempt, this.#image === ""))));
  }
}

/**
 * @param {Attempt} attempt
 * @param {boolean} isNamed whether to say which image
 */
function partsOf(attempt, isNamed) {
  const { error, error_class, reason } = attempt;
  const kind = [error_class, reason].filter(Boolean).join(", ") || "failed";
  const result = error ? element("strong", { class: "bad" }, [foreign(kind)]) : element("strong", {}, ["succeeded"]);
  const limit = attempt.limit ? ` of at most ${duration(attempt.limit)}` : "";
  const facts = [
    ["Took", `${duration(attempt.duration)}${limit}`],
    ["Size", size(attempt.size)],
    ["Credential", attempt.credential || "none"],
    ["Digest", attempt.digest ?? ""],
    ["Run", attempt.run_id ?? ""],
  ];
  return [
    element("p", {}, [`${time(attempt.started_at)}, attempt ${attempt.attempt}: `, result]),
    ...(isNamed ? [element("p", {}, [foreign(attempt.image)])] : []),
    ...(error ? [element("p", { class: "error" }, [foreign(error)])] : []),
    element("dl", { class: "facts" }, definitions(facts)),
  ];
}

/** @param {string[][]} facts names and texts; those without a text are left out */
function definitions(facts) {
  const known = facts.filter(([, text]) => text);
  return known.map(([name, text]) => element("div", {}, [element("dt", {}, [name]), element("dd", {}, [foreign(text)])]));
}
