// Asks for the token that the aggregator wants. It stays in the client's memory, and nowhere else.

import { byId, setText } from "./elements.js";

export class TokenPrompt {
  /** @param {(token: string) => void} onToken */
  constructor(onToken) {
    this.form = byId("token-form");
    this.field = /** @type {HTMLInputElement} */ (byId("token"));
    this.problem = byId("token-problem");
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = this.field.value.trim();
      this.field.value = "";
      if (!token) return;
      this.form.hidden = true;
      onToken(token);
    });
  }

  /** @param {string} problem with the previous token; empty if there was none */
  ask(problem) {
    setText(this.problem, problem ? `Not accepted: ${problem}` : "");
    this.form.hidden = false;
    this.field.focus();
  }
}
