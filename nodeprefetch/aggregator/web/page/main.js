// Starts the page: news from the aggregator and what people do both end in one redraw.

/** @typedef {import("./map.js").Place} Place */

import { Board } from "./board.js";
import { Causes } from "./causes.js";
import { imageText, placeText } from "./celltext.js";
import { Client } from "./client.js";
import { Controls } from "./controls.js";
import { Details } from "./details.js";
import { byId, element, setText } from "./elements.js";
import { LEGEND } from "./glyphs.js";
import { listen } from "./keyboard.js";
import { NodeMap } from "./map.js";
import { columns, rows } from "./rows.js";
import { sentence } from "./sentence.js";
import { NodeTable } from "./table.js";
import { TokenPrompt } from "./token.js";
import { plural, time } from "./words.js";

const REDRAW = 1000; // milliseconds between two redraws for news
const ANNOUNCE = 30000; // between two announcements by a screen reader
const RELIST = 5000; // between two updates of the table while the map is in front of it

const board = new Board();
const client = new Client();
const map = new NodeMap(byId("map"));
const details = new Details(client, () => details.show(board));
const controls = new Controls(onFilters);
const prompt = new TokenPrompt(onToken);
const table = new NodeTable({ onOpen: (node) => open(node, "") });
const causes = new Causes(byId("causes"), {
  onFilter: (cause) => controls.set({ node: "", image: `=${cause.image}`, state: "failed" }),
  onNode: open,
});

let following = new AbortController();
let asked = controls.filters.instance;
let isKnown = false; // a board has come
let lost = "";
let drawnAt = -REDRAW;
let listedAt = -RELIST;
let listTimer = 0;
let announcedAt = 0;
let timer = 0;
let shownFilters = "";

function follow() {
  following.abort();
  following = new AbortController();
  asked = controls.filters.instance;
  client.follow(asked, following.signal, { onMessage, onLost, onTokenNeeded });
}

/**
 * @param {string} name
 * @param {any} data
 */
function onMessage(name, data) {
  if (name === "board") board.replace(data);
  else board.change(data);
  isKnown = true;
  setLost("");
  drawSoon();
}

/** @param {string} reason */
function onLost(reason) {
  setLost(isKnown ? `Connection lost (${reason}). Last news: ${time(board.at)}. Trying again.` : `No connection: ${reason}. Trying again.`);
}

/** @param {string} problem */
function onTokenNeeded(problem) {
  setLost("This aggregator wants a token.");
  prompt.ask(problem);
}

/** @param {string} token */
function onToken(token) {
  client.useToken(token);
  setLost("");
  follow();
}

/** @param {string} text */
function setLost(text) {
  if (text === lost) return;
  lost = text;
  byId("connection").hidden = !text;
  setText(byId("connection"), text);
  document.body.classList.toggle("lost", text !== "");
  showTitle();
}

/** Draw news at most once a second, and none while nobody looks. */
function drawSoon() {
  if (timer || document.hidden) return;
  timer = setTimeout(() => {
    timer = 0;
    draw();
  }, Math.max(0, drawnAt + REDRAW - performance.now()));
}

function draw() {
  if (!isKnown) return;
  drawnAt = performance.now();
  document.body.classList.add("known");
  const { filters } = controls;
  const shown = columns(board, filters);
  const found = rows(board, filters, shown);
  setText(byId("sentence"), sentence(board));
  showTitle();
  announce();
  causes.show(board.causes);
  controls.offer(board.instances, board.instance);
  byId("empty").hidden = found.length > 0;
  setText(byId("empty"), board.nodes.size ? "No node matches these filters." : "No node has reported yet.");
  byId("left-out").hidden = board.imagesLeftOut === 0;
  setText(byId("left-out"), `${plural(board.imagesLeftOut, "more image")} of other lists not shown`);
  byId("nodes").dataset.view = filters.view || "map";
  byId("map").hidden = found.length === 0 || filters.view === "table";
  map.show(board, found, shown);
  clearTimeout(listTimer);
  const list = () => {
    listedAt = performance.now();
    table.show(board, found, shown, filters.view === "table");
  };
  const isAsked = filters.view === "table" || JSON.stringify(filters) !== shownFilters;
  if (isAsked || drawnAt >= listedAt + RELIST) list();
  else listTimer = setTimeout(list, listedAt + RELIST - drawnAt);
  shownFilters = JSON.stringify(filters);
  details.open(board.instance, filters.open, filters.cell);
  details.show(board);
}

function showTitle() {
  const text = isKnown ? sentence(board) : lost;
  document.title = [isKnown && lost ? `Connection lost: ${text}` : text, "nodeprefetch"].filter(Boolean).join(" - ");
}

/** Have a screen reader announce the sentence, but not each second. */
function announce() {
  const text = sentence(board);
  if (drawnAt < announcedAt + ANNOUNCE && announcedAt > 0) return;
  announcedAt = drawnAt;
  setText(byId("told"), text);
}

function onFilters() {
  if (controls.filters.instance !== asked) follow();
  const { node, image, state, group } = controls.filters;
  const before = shownFilters ? JSON.parse(shownFilters) : {};
  if (node !== before.node || image !== before.image || state !== before.state || group !== before.group) table.restart();
  draw();
}

/**
 * @param {string} node
 * @param {string} image empty: all
 */
function open(node, image) {
  controls.set({ open: node, cell: image });
}

function close() {
  if (!controls.filters.open) return;
  controls.set({ open: "", cell: "" });
  byId(controls.filters.view === "table" ? "nodes" : "map").focus();
}

/** @param {Place | null} place */
function textAt(place) {
  if (!place) return "";
  return placeText(place.row, board.images[place.column], place.column);
}

listen(map, {
  onOpen: ({ row, column }) => row.kind === "node" && open(row.node.node, board.images[column]?.image ?? ""),
  onToggle: (name) => {
    const { closed } = controls.filters;
    controls.set({ closed: closed.includes(name) ? closed.filter((each) => each !== name) : [...closed, name] }, true);
  },
  onPlace: (place, isSpoken) => {
    setText(byId("place"), textAt(place));
    if (isSpoken) setText(byId("spoken"), textAt(place));
  },
  onHeading: (column) => setText(byId("place"), imageText(board.images[column])),
});

addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLElement && event.target.matches("input, select, textarea");
  if (event.key === "Escape") close();
  else if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    controls.focus();
  }
});
byId("close").addEventListener("click", close);
document.addEventListener("visibilitychange", () => drawSoon());
addEventListener("offline", () => onLost("this computer is offline"));

for (const [state, meaning] of LEGEND) {
  byId("legend").append(element("li", { class: `key ${state || "unlisted"}` }, [meaning]));
}
follow();
