// Server-sent events from a fetched body: EventSource cannot send a token.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

/**
 * Yields the messages of a stream, and an empty name for each sign of life without a message.
 * @param {ReadableStream<any>} body
 * @returns {AsyncGenerator<{name: string, data: string}>}
 */
export async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new Parser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield { name: "", data: "" };
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {}); // it is broken already
  }
}

export class Parser {
  #parts = /** @type {string[]} */ ([]); // of the line that is not complete
  #name = "";
  #data = /** @type {string[]} */ ([]);

  /**
   * @param {string} text in any parts
   * @returns {{name: string, data: string}[]} messages that are complete now
   */
  feed(text) {
    const lines = text.split("\n");
    const rest = lines.pop() ?? "";
    const found = [];
    for (const line of lines) {
      this.#parts.push(line);
      const message = this.#take(this.#parts.join("").replace(/\r$/, ""));
      this.#parts = [];
      if (message) found.push(message);
    }
    if (rest) this.#parts.push(rest);
    return found;
  }

  /** @param {string} line */
  #take(line) {
    if (line === "") {
      const message = this.#data.length ? { name: this.#name || "message", data: this.#data.join("\n") } : null;
      this.#name = "";
      this.#data = [];
      return message;
    }
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line) ?? ["", "", ""];
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    return null;
  }
}
