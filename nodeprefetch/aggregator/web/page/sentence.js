// The one sentence that says how it stands.

/** @typedef {import("./board.js").Board} Board */

import { STATES } from "./board.js";
import { number, plural, roughly } from "./words.js";

/**
 * `962 of 1,000 nodes warm; 31 pulling, about 4 min left; 7 failed: 2 images, 1 cause`.
 * @param {Board} board
 */
export function sentence(board) {
  const [failed, pulling, waiting, warm] = STATES.map((state) => board.count(state));
  const total = failed + pulling + waiting + warm;
  const gone = board.summary.gone ?? 0;
  if (total === 0) return gone ? `No nodes; ${gone} gone` : "No nodes yet";
  const parts = [`${number(warm)} of ${plural(total, "node")} warm`];
  if (pulling) parts.push(`${number(pulling)} pulling${timeLeft(board)}`);
  if (waiting) parts.push(`${number(waiting)} waiting`);
  if (failed) parts.push(`${number(failed)} failed${whatFailed(board)}`);
  else if (board.causes.length) parts.push(`errors${whatFailed(board)}, retrying`);
  const nodes = [...board.nodes.values()];
  const gaveUp = nodes.filter((node) => node.gave_up).length;
  if (gaveUp) parts.push(`${number(gaveUp)} gave up and ${gaveUp === 1 ? "takes" : "take"} pods without all images`);
  const rejecting = nodes.filter((node) => node.list_rejected).length;
  if (rejecting) parts.push(`${number(rejecting)} cannot use ${rejecting === 1 ? "its" : "their"} newest list`);
  if (gone) parts.push(`${number(gone)} gone`);
  return parts.join("; ");
}

/** @param {Board} board */
function timeLeft(board) {
  const seconds = board.summary.seconds_left;
  if (seconds === undefined || seconds === null) return "";
  return seconds < 60 ? ", less than a minute left" : `, about ${roughly(seconds)} left`;
}

/** @param {Board} board */
function whatFailed(board) {
  if (!board.causes.length) return "";
  const images = new Set(board.causes.map((cause) => cause.image)).size;
  const causes = new Set(board.causes.map((cause) => `${cause.error_class} ${cause.reason}`)).size;
  return `: ${plural(images, "image")}, ${plural(causes, "cause")}`;
}
