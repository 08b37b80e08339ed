// What to do about an error, in a few words, and where the documentation says more.

import { BY_CLASS, GUIDE, REMEDIES } from "./remedies.js";

/**
 * @param {string} errorClass
 * @param {string} reason
 * @returns {{text: string, guide: string}}
 */
export function adviceFor(errorClass, reason) {
  const known = Object.hasOwn(REMEDIES, reason) ? reason : Object.hasOwn(BY_CLASS, errorClass) ? BY_CLASS[errorClass] : "unknown";
  const [text, section] = REMEDIES[known];
  return { text: `${text[0].toUpperCase()}${text.slice(1)}.`, guide: `${GUIDE}#${section}` };
}
