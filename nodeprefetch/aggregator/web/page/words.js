// Numbers, sizes, times and foreign names as people read them.

const numbers = new Intl.NumberFormat("en-US");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;

/** @param {number} count */
export function number(count) {
  return numbers.format(count);
}

/**
 * `1 node`, `1,000 nodes`.
 * @param {number} count
 * @param {string} one
 * @param {string} many
 */
export function plural(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/**
 * Escapes characters that are not visible or change the direction of writing, as `\x1b` or `\u202e`.
 * Also shortens: what comes after the first 1,000 characters helps nobody.
 * @param {string} text
 */
export function printable(text) {
  const short = text.length > 1000 ? `${text.slice(0, 1000)}…` : text;
  return short.replace(/[\p{C}\p{Z}]/gu, (char) => (char === " " ? char : escaped(char.codePointAt(0) ?? 0)));
}

/** @param {number} code */
function escaped(code) {
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}

/**
 * `1.5 GiB`; empty if unknown.
 * @param {number} [bytes]
 */
export function size(bytes = 0) {
  if (!(bytes > 0)) return "";
  const [amount, unit] = scaled(bytes);
  return `${amount.toFixed(unit === 0 ? 0 : 1)} ${UNITS[unit]}`;
}

/**
 * `1.5G`, for narrow columns; empty if unknown.
 * @param {number} [bytes]
 */
export function shortSize(bytes = 0) {
  if (!(bytes > 0)) return "";
  const [amount, unit] = scaled(bytes);
  return `${amount.toFixed(amount < 10 && unit > 0 ? 1 : 0)}${UNITS[unit][0]}`;
}

/**
 * @param {number} bytes
 * @returns {[number, number]} the amount, and the index of its unit
 */
function scaled(bytes) {
  let unit = 0;
  let amount = bytes;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return [amount, unit];
}

/**
 * `less than a minute`, `4 min`, `2 h 10 min`, `3 days`.
 * @param {number} seconds
 */
export function roughly(seconds) {
  if (seconds < MINUTE) return "less than a minute";
  const minutes = Math.round(seconds / MINUTE);
  if (minutes < 60) return `${minutes} min`;
  if (seconds >= 2 * DAY) return plural(Math.round(seconds / DAY), "day");
  const rest = minutes % 60;
  return `${Math.floor(minutes / 60)} h${rest ? ` ${rest} min` : ""}`;
}

/**
 * `1.5 s`, `2 min 5 s`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (Math.round(seconds) < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds >= HOUR) return roughly(seconds);
  const whole = Math.round(seconds);
  return `${Math.floor(whole / MINUTE)} min${whole % MINUTE ? ` ${whole % MINUTE} s` : ""}`;
}

/**
 * `14:05:12`, with the day in front if that is not today's; empty if unknown.
 * @param {number} [seconds] Unix time
 */
export function time(seconds = 0) {
  if (!(seconds > 0)) return "";
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "";
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`;
}

/**
 * The last part of an image's name: `nginx:1.27`, `app@3f2a91c0`.
 * @param {string} image
 */
export function shortImage(image) {
  const [name, digest] = image.split("@sha256:", 2);
  const last = name.slice(name.lastIndexOf("/") + 1) || name;
  return printable(digest && !last.includes(":") ? `${last}@${digest.slice(0, 8)}` : last);
}
