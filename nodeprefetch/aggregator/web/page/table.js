// The map as a table: what screen readers find behind the canvas, and what is printed; or shown in its place.

/**
 * @typedef {import("./board.js").Board} Board
 * @typedef {import("./rows.js").Row} Row
 * @typedef {import("./rows.js").NodeRow} NodeRow
 */

import { cellText, groupText, imageText, marksOf } from "./celltext.js";
import { byId, element, foreign, setText } from "./elements.js";
import { number, plural } from "./words.js";

const PAGE = 50; // rows
const PRINTED = 500;

export class NodeTable {
  #page = 0;
  #size = PAGE;
  #heading = "";
  #rows = /** @type {Row[]} */ ([]);

  /** @param {{onOpen: (node: string) => void}} to */
  constructor(to) {
    this.to = to;
    this.caption = byId("caption");
    this.head = byId("head");
    this.body = byId("body");
    this.pager = byId("pager");
    byId("previous").addEventListener("click", () => this.#turn(-1));
    byId("next").addEventListener("click", () => this.#turn(1));
    addEventListener("beforeprint", () => this.#resize(PRINTED));
    addEventListener("afterprint", () => this.#resize(PAGE));
  }

  /**
   * @param {Board} board
   * @param {Row[]} rows
   * @param {number[]} columns
   * @param {boolean} isVisible whether it is shown in place of the map
   */
  show(board, rows, columns, isVisible) {
    this.board = board;
    this.columns = columns;
    this.isVisible = isVisible;
    this.#rows = rows;
    this.#draw();
  }

  /** Show the first page: other rows than before are meant. */
  restart() {
    this.#page = 0;
  }

  /** @param {number} by pages */
  #turn(by) {
    this.#page += by;
    this.#draw();
  }

  /** @param {number} rows */
  #resize(rows) {
    this.#size = rows;
    this.#page = 0;
    this.#draw();
  }

  #draw() {
    const pages = Math.max(1, Math.ceil(this.#rows.length / this.#size));
    this.#page = Math.min(Math.max(0, this.#page), pages - 1);
    const first = this.#page * this.#size;
    const shown = this.#rows.slice(first, first + this.#size);
    this.#drawCaption(first, shown.length);
    this.#drawHead();
    this.pager.hidden = !this.isVisible || pages === 1;
    /** @type {HTMLButtonElement} */ (byId("previous")).disabled = this.#page === 0;
    /** @type {HTMLButtonElement} */ (byId("next")).disabled = this.#page === pages - 1;
    while (this.body.children.length > shown.length) this.body.lastElementChild?.remove();
    shown.forEach((row, index) => this.#drawRow(row, index));
  }

  /**
   * @param {number} first
   * @param {number} count
   */
  #drawCaption(first, count) {
    const all = this.#rows.length;
    const part = count < all ? `Rows ${number(first + 1)} to ${number(first + count)} of ${number(all)}` : plural(all, "row");
    setText(this.caption, `${part}, the worst first. One column for each image.`);
  }

  #drawHead() {
    const images = (this.columns ?? []).map((column) => imageText(this.board?.images[column] ?? { image: "" }));
    const heading = JSON.stringify(images);
    if (heading === this.#heading) return;
    this.#heading = heading;
    const cells = images.map((text) => element("th", { scope: "col" }, [foreign(text)]));
    this.head.replaceChildren(element("th", { scope: "col" }, ["Node"]), element("th", { scope: "col" }, ["State"]), ...cells);
  }

  /**
   * Draw a row where it stands, changing only what differs.
   * @param {Row} row
   * @param {number} index
   */
  #drawRow(row, index) {
    const columns = this.columns ?? [];
    const shape = `${row.key} ${columns.length} ${this.isVisible}`;
    const known = /** @type {HTMLElement | undefined} */ (this.body.children[index]);
    if (row.kind === "group") {
      const text = groupText(row);
      if (known?.dataset.shape === `${shape} ${text}`) return;
      const heading = element("th", { scope: "rowgroup", colspan: String(columns.length + 2) }, [foreign(text)]);
      this.#place(element("tr", { "data-shape": `${shape} ${text}` }, [heading]), known);
      return;
    }
    const made = known?.dataset.shape === shape ? known : this.#place(this.#emptyRow(row, shape, columns.length), known);
    setText(made.children[1], [row.state, ...marksOf(row.node)].join(", "));
    columns.forEach((column, at) => {
      const cell = /** @type {HTMLElement} */ (made.children[at + 2]);
      const text = cellText(row.node, column);
      setText(cell, text);
      cell.className = text.split(" ", 1)[0];
    });
  }

  /**
   * @param {NodeRow} row
   * @param {string} shape
   * @param {number} columns
   */
  #emptyRow(row, shape, columns) {
    const name = foreign(row.node.node);
    const heading = element("th", { scope: "row" }, [this.isVisible ? this.#button(row, name) : name]);
    const cells = Array.from({ length: columns + 1 }, () => element("td"));
    return element("tr", { "data-shape": shape }, [heading, ...cells]);
  }

  /**
   * @param {NodeRow} row
   * @param {Node} name
   */
  #button(row, name) {
    const button = element("button", { type: "button", class: "link" }, [name]);
    button.addEventListener("click", () => this.to.onOpen(row.node.node));
    return button;
  }

  /**
   * @param {HTMLElement} made
   * @param {HTMLElement | undefined} known
   */
  #place(made, known) {
    if (known) known.replaceWith(made);
    else this.body.append(made);
    return made;
  }
}
