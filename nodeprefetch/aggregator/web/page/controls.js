// The controls above the map, and their connection to the URL.

/** @typedef {import("./filters.js").Filters} Filters */

import { byId, element } from "./elements.js";
import { format, parse } from "./filters.js";
import { printable } from "./words.js";

const FIELDS = /** @type {const} */ (["node", "image", "state", "group", "view", "instance"]);

export class Controls {
  filters = parse(location.hash);
  #instances = "";

  /** @param {() => void} onChange the filters are others now */
  constructor(onChange) {
    this.onChange = onChange;
    for (const name of FIELDS) {
      const field = this.#field(name);
      const isText = name === "node" || name === "image";
      let isBegun = false; // one step of the history for each stay in a field, not for each letter
      field.addEventListener("focus", () => (isBegun = false));
      field.addEventListener("input", () => {
        this.set({ [name]: field.value }, isText && isBegun);
        isBegun = true;
      });
    }
    byId("reset").addEventListener("click", () => this.set({ node: "", image: "", state: "" }));
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    addEventListener("popstate", () => this.#read());
    this.#write();
  }

  /**
   * @param {Partial<Filters>} changed
   * @param {boolean} [isMinor] the back button skips it
   */
  set(changed, isMinor = false) {
    this.filters = { ...this.filters, ...changed };
    const url = format(this.filters) || location.pathname + location.search;
    if (isMinor) history.replaceState(null, "", url);
    else if (url !== (location.hash || location.pathname + location.search)) history.pushState(null, "", url);
    this.#write();
    this.onChange();
  }

  /**
   * @param {string[]} instances
   * @param {string} instance the one that is shown
   */
  offer(instances, instance) {
    const text = JSON.stringify([instances, instance]);
    if (text === this.#instances) return;
    this.#instances = text;
    const field = this.#field("instance");
    field.replaceChildren(...instances.map((name) => element("option", { value: name }, [printable(name) || "(no name)"])));
    field.value = instance;
    byId("instance-label").hidden = instances.length < 2;
  }

  focus() {
    this.#field("node").focus();
  }

  #read() {
    this.filters = parse(location.hash);
    this.#write();
    this.onChange();
  }

  #write() {
    for (const name of FIELDS) {
      const field = this.#field(name);
      const value = this.filters[name];
      if (value !== null && field.value !== value) field.value = value; // null: the instance, if the aggregator chooses
    }
    const { node, image, state } = this.filters;
    byId("reset").hidden = !(node || image || state);
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLInputElement | HTMLSelectElement} */ (byId(name));
  }
}
