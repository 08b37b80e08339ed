// Where the rows and columns of the map are, in CSS pixels: arithmetic alone.

/**
 * @typedef {import("./rows.js").Row} Row
 * @typedef {import("./map.js").Place} Place
 */

export const ROW = 20;
const NARROW = 24; // of a column
const WIDE = 140;
const READABLE = 80; // columns of this width have names that are not turned
const GAP = 2;

export class Grid {
  rows = /** @type {Row[]} */ ([]);
  columns = /** @type {number[]} */ ([]); // indices of images
  names = 220; // width of the nodes' names
  header = 160; // height
  cell = NARROW; // width

  get isUpright() {
    return this.cell < READABLE;
  }

  get width() {
    return this.names + this.columns.length * this.cell;
  }

  get height() {
    return this.header + this.rows.length * ROW;
  }

  /**
   * @param {number} width that there is
   * @param {number} longest width of the images' names
   */
  fit(width, longest) {
    this.names = width < 600 ? 120 : 220;
    const each = Math.floor((width - this.names) / Math.max(1, this.columns.length));
    this.cell = Math.min(WIDE, Math.max(NARROW, each));
    this.header = this.isUpright ? Math.min(160, Math.ceil(longest) + 30) : 44;
  }

  /**
   * @param {number} scrollTop
   * @param {number} height of the view
   * @returns {[number, number]} the first row in view, and the one after the last
   */
  visible(scrollTop, height) {
    const first = Math.max(0, Math.floor(scrollTop / ROW));
    return [first, Math.min(this.rows.length, Math.ceil((scrollTop + height - this.header) / ROW))];
  }

  /**
   * @param {number} index of a row
   * @param {number} scrollTop
   */
  top(index, scrollTop) {
    return this.header + index * ROW - scrollTop;
  }

  /**
   * @param {number} column index of an image
   * @param {number} scrollLeft
   */
  left(column, scrollLeft) {
    return this.names + this.#placeOf(column) * this.cell - scrollLeft;
  }

  /**
   * @param {number} index of a row
   * @param {number} column index of an image
   * @param {number} scrollLeft
   * @param {number} scrollTop
   */
  box(index, column, scrollLeft, scrollTop) {
    const x = this.left(column, scrollLeft) + GAP;
    const y = this.top(index, scrollTop) + GAP;
    return { x, y, width: this.cell - 2 * GAP, height: ROW - 2 * GAP };
  }

  /**
   * @param {number} x in the view
   * @param {number} y
   * @param {number} scrollLeft
   * @param {number} scrollTop
   * @returns {Place | null}
   */
  at(x, y, scrollLeft, scrollTop) {
    if (y < this.header) return null;
    const row = this.rows[Math.floor((y - this.header + scrollTop) / ROW)];
    if (!row) return null;
    const column = x < this.names ? -1 : this.columns[Math.floor((x - this.names + scrollLeft) / this.cell)];
    return { row, column: row.kind === "group" ? -1 : (column ?? -1) };
  }

  /**
   * The image whose column heading is there.
   * @param {number} x in the view
   * @param {number} y
   * @param {number} scrollLeft
   * @returns {number | undefined}
   */
  headingAt(x, y, scrollLeft) {
    if (y >= this.header || x < this.names) return undefined;
    return this.columns[Math.floor((x - this.names + scrollLeft) / this.cell)];
  }

  /**
   * The neighbour of a place, by a key of the keyboard.
   * @param {Place | null} from
   * @param {string} key
   * @param {number} page rows
   * @returns {Place | null} null: the key does not move
   */
  step(from, key, page) {
    const [down, right] = STEPS[key] ?? [0, 0];
    if ((!down && !right) || !this.rows.length) return null;
    if (!from) return { row: this.rows[0], column: -1 };
    const index = this.rows.indexOf(from.row) + (Math.abs(down) === 2 ? (down / 2) * page : down);
    const row = this.rows[clamp(index, this.rows.length)];
    const place = clamp(this.#placeOf(from.column) + 1 + right, this.columns.length + 1) - 1;
    return { row, column: row.kind === "group" && right ? -1 : (this.columns[place] ?? -1) };
  }

  /**
   * Where to scroll so that a place is in view.
   * @param {Place} place
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   */
  reveal(place, left, top, width, height) {
    const y = this.rows.indexOf(place.row) * ROW;
    const room = Math.max(ROW, height - this.header - ROW);
    const to = { left, top: Math.min(y, Math.max(top, y - room)) };
    if (place.column >= 0) {
      const x = this.#placeOf(place.column) * this.cell;
      to.left = Math.min(x, Math.max(left, x - Math.max(0, width - this.names - this.cell)));
    }
    return to;
  }

  /** @param {number} column */
  #placeOf(column) {
    const { columns } = this;
    return columns[column] === column ? column : columns.indexOf(column); // usually all are shown
  }
}

const FAR = 1e6;
/** @type {Record<string, [number, number]>} rows down (2: a page), columns to the right */
const STEPS = {
  ArrowDown: [1, 0],
  ArrowUp: [-1, 0],
  ArrowRight: [0, 1],
  ArrowLeft: [0, -1],
  PageDown: [2, 0],
  PageUp: [-2, 0],
  Home: [-FAR, 0],
  End: [FAR, 0],
};

/**
 * @param {number} index
 * @param {number} length
 */
function clamp(index, length) {
  return Math.min(length - 1, Math.max(0, index));
}
