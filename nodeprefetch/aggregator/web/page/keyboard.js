// What keys and the pointer do on the map.

/**
 * @typedef {import("./map.js").NodeMap} NodeMap
 * @typedef {import("./map.js").Place} Place
 */

import { ROW } from "./grid.js";

/**
 * @param {NodeMap} map
 * @param {{
 *   onOpen: (place: Place) => void,
 *   onToggle: (group: string) => void,
 *   onPlace: (place: Place | null, isSpoken: boolean) => void,
 *   onHeading: (column: number) => void,
 * }} to
 */
export function listen(map, to) {
  const { scroller } = map;
  const act = (/** @type {Place} */ place) => (place.row.kind === "group" ? to.onToggle(place.row.name) : to.onOpen(place));
  const go = (/** @type {Place} */ place) => {
    map.moveTo(place);
    to.onPlace(place, true);
  };

  scroller.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const here = map.place;
    if ((event.key === "Enter" || event.key === " ") && here) {
      event.preventDefault();
      act(here);
      return;
    }
    const page = Math.max(1, Math.floor((scroller.clientHeight - map.grid.header) / ROW) - 1);
    const next = map.grid.step(here, event.key, page);
    if (!next) return;
    event.preventDefault();
    go(next);
  });

  scroller.addEventListener("focus", () => {
    if (!map.place && map.grid.rows.length) map.cursor = { row: map.grid.rows[0].key, column: -1 };
    to.onPlace(map.place, true);
    map.redraw();
  });
  scroller.addEventListener("blur", () => map.redraw());

  scroller.addEventListener("click", (event) => {
    const place = map.at(event.clientX, event.clientY);
    if (!place) return;
    go(place);
    act(place);
  });

  scroller.addEventListener("pointermove", (event) => {
    const box = map.canvas.getBoundingClientRect();
    const heading = map.grid.headingAt(event.clientX - box.left, event.clientY - box.top, scroller.scrollLeft);
    if (heading === undefined) to.onPlace(map.at(event.clientX, event.clientY), false);
    else to.onHeading(heading);
  });
}
