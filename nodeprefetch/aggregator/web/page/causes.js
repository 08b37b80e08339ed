// The list of causes: why images are missing, the most nodes first.

/** @typedef {import("./board.js").BoardCause} BoardCause */

import { adviceFor } from "./advice.js";
import { byId, element, foreign, setText } from "./elements.js";
import { plural } from "./words.js";

const FEW = 5; // as in the style sheet

export class Causes {
  #shown = "";

  /**
   * @param {HTMLElement} section
   * @param {{onFilter: (cause: BoardCause) => void, onNode: (node: string, image: string) => void}} to
   */
  constructor(section, to) {
    this.section = section;
    this.list = /** @type {HTMLElement} */ (section.querySelector("ol"));
    this.more = byId("more-causes");
    this.more.addEventListener("click", () => {
      this.list.classList.remove("few");
      this.more.remove();
    });
    this.to = to;
  }

  /** @param {BoardCause[]} causes */
  show(causes) {
    const text = JSON.stringify(causes);
    if (text === this.#shown) return;
    this.#shown = text;
    this.section.hidden = causes.length === 0;
    const focused = this.#focused();
    this.list.replaceChildren(...causes.map((cause) => this.#item(cause)));
    this.more.hidden = causes.length <= FEW;
    setText(this.more, `Show all ${causes.length} causes`);
    if (focused) this.#focus(focused);
  }

  /** @param {BoardCause} cause */
  #item(cause) {
    const { text, guide } = adviceFor(cause.error_class, cause.reason);
    const name = `${cause.image} ${cause.reason}`;
    const filter = element("button", { type: "button", "data-key": name }, [
      element("strong", {}, [plural(cause.nodes, "node")]),
      " ",
      foreign(cause.image),
      ": ",
      foreign(cause.reason || cause.error_class),
    ]);
    filter.addEventListener("click", () => this.to.onFilter(cause));
    const state = cause.is_final
      ? element("span", { class: "tag failed" }, ["not retried"])
      : element("span", { class: "tag" }, ["retrying"]);
    return element("li", {}, [
      element("div", { class: "cause" }, [filter, " ", state]),
      element("p", { class: "error" }, [foreign(cause.error)]),
      element("p", {}, [text, " ", element("span", { class: "quiet" }, [`More: ${guide}`])]),
      this.#examples(cause, name),
    ]);
  }

  /**
   * @param {BoardCause} cause
   * @param {string} key
   */
  #examples(cause, key) {
    const examples = cause.examples ?? [];
    const buttons = examples.flatMap((node) => {
      const button = element("button", { type: "button", class: "link", "data-key": `${key} ${node}` }, [foreign(node)]);
      button.addEventListener("click", () => this.to.onNode(node, cause.image));
      return [" ", button];
    });
    const others = cause.nodes - examples.length;
    return element("p", { class: "examples" }, ["On", ...buttons, others > 0 ? ` and ${plural(others, "other")}` : ""]);
  }

  #focused() {
    const active = document.activeElement;
    return this.list.contains(active) ? active?.getAttribute("data-key") : null;
  }

  /** @param {string} key */
  #focus(key) {
    const buttons = [...this.list.querySelectorAll("button")];
    buttons.find((button) => button.getAttribute("data-key") === key)?.focus();
  }
}
