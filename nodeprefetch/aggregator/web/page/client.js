// Asks the aggregator: follows the board, and fetches details. URLs are relative, so any path prefix works.

import { messages } from "./sse.js";

const FIRST_DELAY = 1000; // milliseconds
const LAST_DELAY = 30000;
const SILENCE = 45000; // the aggregator says something every 15 s

/** What the aggregator answered in place of what was wanted. */
export class RefusedError extends Error {
  /**
   * @param {number} status
   * @param {string} text
   */
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export class Client {
  #token = ""; // in memory only

  /** @param {string} token */
  useToken(token) {
    this.#token = token;
  }

  /**
   * @param {string} path
   * @param {Record<string, string | null>} query without those that are null
   * @param {AbortSignal} signal
   * @returns {Promise<any>}
   * @throws {RefusedError} the answer is an error
   */
  async ask(path, query, signal) {
    const response = await this.#fetch(path, query, "application/json", signal);
    return response.json();
  }

  /**
   * Follow the board until aborted; connects again after failures, with growing delays.
   * @param {string | null} instance null: the aggregator chooses
   * @param {AbortSignal} signal
   * @param {{
   *   onMessage: (name: string, data: any) => void,
   *   onLost: (reason: string) => void,
   *   onTokenNeeded: (text: string) => void,
   * }} to where news go; after `onTokenNeeded` nothing follows
   */
  async follow(instance, signal, to) {
    let delay = FIRST_DELAY;
    while (!signal.aborted) {
      try {
        await this.#followOnce(instance, signal, (name, data) => {
          delay = FIRST_DELAY;
          to.onMessage(name, data);
        });
        to.onLost("the aggregator ended the connection");
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof RefusedError && error.status === 401) {
          to.onTokenNeeded(this.#token ? error.message : "");
          return;
        }
        to.onLost(error instanceof RefusedError ? error.message : "the aggregator cannot be reached");
      }
      await pause(delay * (0.8 + 0.4 * Math.random()), signal);
      delay = Math.min(2 * delay, LAST_DELAY);
    }
  }

  /**
   * @param {string | null} instance null: the aggregator chooses
   * @param {AbortSignal} signal
   * @param {(name: string, data: any) => void} onMessage
   */
  async #followOnce(instance, signal, onMessage) {
    const silence = new Watch(SILENCE);
    try {
      const either = AbortSignal.any([signal, silence.signal]);
      const response = await this.#fetch("v1/board", { instance }, "text/event-stream", either);
      if (!response.body) throw new TypeError("no body");
      for await (const { name, data } of messages(response.body)) {
        silence.restart();
        if (name === "board" || name === "change") onMessage(name, JSON.parse(data));
      }
    } finally {
      silence.stop();
    }
  }

  /**
   * @param {string} path
   * @param {Record<string, string | null>} query
   * @param {string} accept
   * @param {AbortSignal} signal
   */
  async #fetch(path, query, accept, signal) {
    const named = Object.entries(query).flatMap(([name, value]) => (value === null ? [] : [[name, value]]));
    const url = named.length ? `${path}?${new URLSearchParams(named)}` : path;
    /** @type {Record<string, string>} */
    const headers = { Accept: accept };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const response = await fetch(url, { headers, signal, cache: "no-store" });
    if (!response.ok) throw new RefusedError(response.status, await errorOf(response));
    return response;
  }
}

/** Aborts its signal if it is not restarted in time. */
class Watch {
  #controller = new AbortController();
  #timer = 0;

  /** @param {number} patience milliseconds */
  constructor(patience) {
    this.patience = patience;
    this.restart();
  }

  get signal() {
    return this.#controller.signal;
  }

  restart() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), this.patience);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** @param {Response} response */
async function errorOf(response) {
  const text = await response.text();
  try {
    const { error, message } = JSON.parse(text); // `message`: of a proxy that is the API server
    return String(error || message || `status ${response.status}`);
  } catch {
    return `status ${response.status}`;
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} signal ends the pause
 */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve(undefined)), { once: true });
  });
}
