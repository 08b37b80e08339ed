// The map: nodes × images on one canvas, of which only what is in view is drawn.

/**
 * @typedef {import("./board.js").Board} Board
 * @typedef {import("./rows.js").Row} Row
 * @typedef {import("./glyphs.js").Colors} Colors
 * @typedef {{row: Row, column: number}} Place `column`: index of the image; -1: the row itself
 */

import { stateOfCell } from "./board.js";
import { groupText, marksOf, share } from "./celltext.js";
import { drawGlyph } from "./glyphs.js";
import { Grid, ROW } from "./grid.js";
import { printable, shortImage, shortSize } from "./words.js";

const FONT = "13px system-ui, sans-serif";
const SMALL = "10px system-ui, sans-serif";
const NAMES = /** @type {const} */ (["paper", "ink", "quiet", "line", "failed", "pulling", "waiting", "warm", "focus"]);

export class NodeMap {
  grid = new Grid();
  cursor = /** @type {{row: string, column: number} | null} */ (null); // the key of a row, and the index of an image
  #board = /** @type {Board | null} */ (null);
  #colors = /** @type {Colors} */ ({});
  #fitted = /** @type {Map<string, string>} */ (new Map());
  #frame = 0;
  #failing = /** @type {Set<string>} */ (new Set()); // names of images
  #isDrawn = false;
  #longest = 0; // width of the images' names

  /** @param {HTMLElement} scroller has the spacer, which has the canvas */
  constructor(scroller) {
    this.scroller = scroller;
    this.spacer = /** @type {HTMLElement} */ (scroller.firstElementChild);
    this.canvas = /** @type {HTMLCanvasElement} */ (scroller.querySelector("canvas"));
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    scroller.addEventListener("scroll", () => this.redraw(), { passive: true });
    new ResizeObserver(() => this.#resize()).observe(scroller);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#recolor());
    this.#recolor();
  }

  /**
   * @param {Board} board
   * @param {Row[]} rows
   * @param {number[]} columns indices of the board's images
   */
  show(board, rows, columns) {
    this.#board = board;
    this.#failing = new Set(board.causes.map((cause) => cause.image));
    this.grid.rows = rows;
    this.grid.columns = columns;
    this.#longest = this.#measure(columns.map((column) => heading(board.images[column])));
    this.#resize();
  }

  /** Draw with the next frame. */
  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  /**
   * @param {number} clientX
   * @param {number} clientY
   * @returns {Place | null} what is there
   */
  at(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    return this.grid.at(clientX - box.left, clientY - box.top, this.scroller.scrollLeft, this.scroller.scrollTop);
  }

  /** @returns {Place | null} where the cursor is; null if that is not shown any more */
  get place() {
    if (!this.cursor) return null;
    const row = this.grid.rows.find((each) => each.key === this.cursor?.row);
    return row ? { row, column: this.grid.columns.includes(this.cursor.column) ? this.cursor.column : -1 } : null;
  }

  /**
   * Put the cursor somewhere, and scroll there.
   * @param {Place | null} place
   */
  moveTo(place) {
    this.cursor = place && { row: place.row.key, column: place.column };
    if (place) {
      const { scrollTop, scrollLeft, clientHeight, clientWidth } = this.scroller;
      const to = this.grid.reveal(place, scrollLeft, scrollTop, clientWidth, clientHeight);
      this.scroller.scrollTo({ left: to.left, top: to.top, behavior: "instant" });
    }
    this.redraw();
  }

  #resize() {
    const { grid, scroller } = this;
    const width = scroller.clientWidth;
    grid.fit(width, this.#longest);
    this.spacer.style.width = `${grid.width}px`;
    this.spacer.style.height = `${grid.height}px`;
    const scale = devicePixelRatio || 1;
    const height = scroller.clientHeight;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    this.redraw();
  }

  #recolor() {
    const style = getComputedStyle(document.documentElement);
    for (const name of NAMES) this.#colors[name] = style.getPropertyValue(`--${name}`).trim();
    this.redraw();
  }

  #draw() {
    if (!this.#board) return;
    const { context, grid, scroller } = this;
    const scale = devicePixelRatio || 1;
    const width = scroller.clientWidth;
    const height = scroller.clientHeight;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.direction = "ltr";
    context.textBaseline = "middle";
    context.fillStyle = this.#colors.paper;
    context.fillRect(0, 0, width, height);
    const [first, last] = grid.visible(scroller.scrollTop, height);
    this.#clipped(grid.names, grid.header, width, height, () => this.#drawCells(first, last));
    this.#clipped(0, grid.header, width, height, () => this.#drawNames(first, last));
    this.#clipped(grid.names, 0, width, grid.header, () => this.#drawHeader());
    this.#clipped(0, grid.header, width, height, () => this.#drawCursor());
    if (!this.#isDrawn) performance.mark("map drawn"); // for who measures the page
    this.#isDrawn = true;
  }

  /**
   * @param {number} left
   * @param {number} top
   * @param {number} right
   * @param {number} bottom
   * @param {() => void} draw
   */
  #clipped(left, top, right, bottom, draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(left, top, right - left, bottom - top);
    this.context.clip();
    draw();
    this.context.restore();
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  #drawCells(first, last) {
    const { context, grid } = this;
    const { scrollLeft, scrollTop } = this.scroller;
    for (let index = first; index < last; index += 1) {
      const row = grid.rows[index];
      if (row.kind === "group") continue;
      for (const column of grid.columns) {
        const box = grid.box(index, column, scrollLeft, scrollTop);
        const state = stateOfCell(row.node.cells[column]);
        drawGlyph(context, this.#colors, state, share(row.node, column), box);
      }
    }
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  #drawNames(first, last) {
    const { context, grid } = this;
    context.font = FONT;
    for (let index = first; index < last; index += 1) {
      const row = grid.rows[index];
      const middle = grid.top(index, this.scroller.scrollTop) + ROW / 2;
      if (row.kind === "group") {
        context.fillStyle = this.#colors.ink;
        const mark = row.isClosed ? "▸" : "▾";
        context.fillText(this.#fit(`${mark} ${groupText(row)}`, this.scroller.clientWidth - 8), 4, middle);
      } else {
        const marks = marksOf(row.node).length ? "! " : "";
        context.fillStyle = marks ? this.#colors.failed : this.#colors.ink;
        context.fillText(this.#fit(marks + printable(row.node.node), grid.names - 12), 4, middle);
      }
    }
  }

  #drawHeader() {
    const { context, grid } = this;
    for (const column of grid.columns) {
      const image = this.#board?.images[column];
      if (!image) continue;
      const left = grid.left(column, this.scroller.scrollLeft);
      context.font = FONT;
      context.fillStyle = this.#failing.has(image.image) ? this.#colors.failed : this.#colors.ink;
      if (grid.isUpright) {
        context.save();
        context.translate(left + grid.cell / 2, grid.header - 20);
        context.rotate(-Math.PI / 2);
        context.fillText(this.#fit(heading(image), grid.header - 24), 0, 0);
        context.restore();
      } else {
        context.fillText(this.#fit(heading(image), grid.cell - 6), left + 2, 12);
      }
      context.font = SMALL;
      context.fillStyle = this.#colors.quiet;
      context.fillText(this.#fit(shortSize(image.size), grid.cell, SMALL), left + 1, grid.header - 9);
    }
  }

  /** @param {string[]} texts */
  #measure(texts) {
    this.context.font = FONT;
    return Math.max(0, ...texts.map((text) => this.context.measureText(text.slice(0, 50)).width));
  }

  #drawCursor() {
    const place = this.place;
    if (!place || document.activeElement !== this.scroller) return;
    const { grid, context } = this;
    const index = grid.rows.indexOf(place.row);
    const { scrollLeft, scrollTop, clientWidth } = this.scroller;
    const top = grid.top(index, scrollTop);
    context.strokeStyle = this.#colors.focus;
    context.lineWidth = 2;
    if (place.column < 0 || place.row.kind === "group") context.strokeRect(1, top + 1, clientWidth - 2, ROW - 2);
    else context.strokeRect(grid.left(place.column, scrollLeft), top + 1, grid.cell - 1, ROW - 2);
  }

  /**
   * Shorten a text to a width.
   * @param {string} text
   * @param {number} width
   * @param {string} font the current one
   */
  #fit(text, width, font = FONT) {
    const key = `${font} ${width} ${text}`;
    const known = this.#fitted.get(key);
    if (known !== undefined) return known;
    if (this.#fitted.size > 20000) this.#fitted.clear();
    const chars = [...text].slice(0, 300);
    let short = chars.join("");
    if (this.context.measureText(short).width > width || chars.length === 300) {
      let low = 0;
      let high = chars.length;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (this.context.measureText(`${chars.slice(0, middle).join("")}…`).width <= width) low = middle;
        else high = middle - 1;
      }
      short = `${chars.slice(0, low).join("")}…`;
    }
    this.#fitted.set(key, short);
    return short;
  }
}

/** @param {import("./board.js").BoardImage} image */
function heading(image) {
  return `${(image.digests ?? 0) > 1 ? "≠ " : ""}${shortImage(image.image)}`;
}
