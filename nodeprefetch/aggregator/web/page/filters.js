// What is shown, as it stands in the URL behind `#`: so it can be shared, and the back button undoes it.

/**
 * @typedef {{
 *   instance: string | null, node: string, image: string, state: string, group: string, view: string,
 *   open: string, cell: string, closed: string[],
 * }} Filters `instance`: null if the aggregator chooses, `open`: the node whose details are open, `cell`: the image of which, `closed`: names of groups
 */

export const NODE_STATES = ["failed", "pulling", "waiting", "warm", "gave-up"];
export const GROUPS = ["zone", "pool", "age"];

const TEXTS = /** @type {const} */ (["node", "image", "open", "cell"]);
const CHOICES = { state: NODE_STATES, group: GROUPS, view: ["table"] };

/**
 * @param {string} hash `#node=gpu&state=failed`; what is unknown in it is ignored
 * @returns {Filters}
 */
export function parse(hash) {
  const query = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {any} */
  const filters = { instance: query.get("instance"), closed: query.getAll("closed") };
  for (const name of TEXTS) filters[name] = query.get(name) ?? "";
  for (const [name, known] of Object.entries(CHOICES)) {
    const value = query.get(name) ?? "";
    filters[name] = known.includes(value) ? value : "";
  }
  return filters;
}

/**
 * @param {Filters} filters
 * @returns {string} empty if everything is shown, otherwise with `#`
 */
export function format(filters) {
  const query = new URLSearchParams();
  if (filters.instance !== null) query.set("instance", filters.instance);
  for (const name of [...TEXTS, .../** @type {const} */ (["state", "group", "view"])]) {
    if (filters[name]) query.set(name, filters[name]);
  }
  for (const name of filters.closed) query.append("closed", name);
  const text = query.toString();
  return text ? `#${text}` : "";
}
