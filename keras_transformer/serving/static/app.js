// The server's page: translation as you type, which words belong together, where the model looked,
// what else beam search found.
//
// It speaks the REST API of its own origin and nothing else. Whatever the user or the server wrote
// reaches the document as text nodes, so it can never become markup; of rich text a few kinds of
// elements are made anew.

const TYPING_PAUSE = 250; // milliseconds without a keystroke before the text is sent
const WORDS_PAUSE = 100; // more of them before the words that belong together are asked for
const BEAM_PAUSE = 300; // and before the costlier beam search is
const OTHER_WORDS = 8; // at most, in the menu of a word of the translation
const MOST_TRIES = 8; // of a request that a busy server turned away
const LONGEST_WAIT = 30; // seconds between two tries
const MAP_LIMIT = 80; // tokens a side; every pair is a table cell, and too many make typing stutter
const READOUT_WEIGHTS = 6;
const NO_HYPOTHESIS = -1e8; // beam search pads with -1e9 where it found fewer than asked for

const MOST_MARKUP = 2 ** 21; // letters of pasted markup; what has more is taken as plain text
const MOST_NESTED = 32; // elements in one another; those further inside leave their text alone
const MOST_ELEMENTS = 10_000; // of a rich text, likewise

const element = (id) => document.getElementById(id);
const textBox = element("text");
const richBox = element("rich"); // takes the place of the text box while the source is rich text

let config = null; // what page/config.json says, once it has arrived
// {text, score, sentences, chosen, words, attention: {source, target, heads}}; `words` is what the
// server said of them, with `shown`, its sentences as the user has changed them.
let answer = null;
let view = null; // the attention as it is drawn: {source, target, maps, shown}
let chosenHead = 0; // index into view.maps; 0 is the average

// ---------------------------------------------------------------------------------------- server

const API_KEY = "api-key"; // of the tab's storage, which ends with the tab
const BUSY = [429, 503]; // statuses that tell when to ask again

/**
 * What the server said instead of an answer: its `status`, if it said one, and `retryAfter`
 * (seconds) where it was only busy.
 */
class AnswerError extends Error {
  constructor(message, status = 0, retryAfter = null) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** What to tell the user; anything but the server's word is a surprise and goes to the console. */
function messageOf(error) {
  if (error instanceof AnswerError) return error.message;
  console.error(error);
  return `The answer cannot be shown: ${error.message}`;
}

/** Runs one task at a time: a new one, or `stop`, aborts the one before and its waiting. */
class Newest {
  stop() {
    this.controller?.abort();
  }

  async start(delay, task) {
    this.stop();
    const controller = new AbortController();
    this.controller = controller;
    try {
      await pause(delay, controller.signal);
      await task(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}

async function fetchJson(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (options.signal.aborted) throw error;
    throw new AnswerError("The server cannot be reached; is it still running?");
  }
  const body = await response.text();
  let value = null;
  try {
    value = JSON.parse(body);
  } catch {
    if (response.ok) throw new AnswerError("The server's answer is not JSON.");
  }
  if (response.ok) return value;
  const reason = `The server answered ${response.status} ${response.statusText}`.trim();
  const message = typeof value?.error === "string" ? value.error : `${reason}.`;
  const wait = BUSY.includes(response.status) ? waitingTime(response) : null;
  throw new AnswerError(message, response.status, wait);
}

/** Seconds that Retry-After asks for, as a number or a date; one where it says nothing. */
function waitingTime(response) {
  const header = response.headers.get("Retry-After") ?? "1";
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0.2), LONGEST_WAIT) : 1;
}

/** Repeats `request` while the server is busy; `onBusy(seconds)` hears of each wait. */
async function untilFree(request, signal, onBusy) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await request();
    } catch (error) {
      if (!(error.retryAfter > 0) || tries === MOST_TRIES) throw error;
      onBusy(error.retryAfter);
      await pause(error.retryAfter * 1000, signal);
    }
  }
}

let refusedToGiveKey = false;

/** Whether an error asks for an API key; the route of rich text does so with other statuses. */
function wantsKey({ status, message }) {
  return status === 401 || ([400, 403].includes(status) && /\bAPI key\b/.test(message));
}

/** Sends `request(headers)` with the user's API key, and asks for it where the server wants one. */
async function withKey(request) {
  for (;;) {
    const key = sessionStorage.getItem(API_KEY);
    try {
      return await request(key === null ? {} : { Authorization: `Bearer ${key}` });
    } catch (error) {
      if (!wantsKey(error) || refusedToGiveKey) throw error;
      if (sessionStorage.getItem(API_KEY) !== key) continue; // given meanwhile
      const given = window.prompt("This server asks for an API key:")?.trim();
      // A header holds no other characters.
      if (!given || !/^[\x21-\x7e]+$/.test(given)) {
        refusedToGiveKey = true;
        throw error;
      }
      sessionStorage.setItem(API_KEY, given);
    }
  }
}

/** What the server answers to `content`, as soon as it is free. */
async function post(path, content, signal, onBusy) {
  const request = (headers) => fetchJson(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(content),
    signal,
  });
  const value = await untilFree(() => withKey(request), signal, onBusy);
  signal.throwIfAborted();
  return value;
}

/** The first (and only) row of each named output of a signature. */
async function predict(signature, inputs, names, signal, onBusy) {
  const path = `v1/models/${encodeURIComponent(config.model)}:predict`;
  const outputs = (await post(path, { signature_name: signature, inputs }, signal, onBusy))?.outputs;
  for (const name of names) {
    if (!Array.isArray(outputs?.[name])) {
      const reason = `The signature “${signature}” gave no “${name}”`;
      throw new AnswerError(`${reason}; export the model again.`);
    }
  }
  return Object.fromEntries(names.map((name) => [name, outputs[name][0]]));
}

// ------------------------------------------------------------------------------------- sentences

/** Whether the model may find several sentences: what parts them is punctuation or a line end. */
function mayHaveSentences(text) {
  const fromLetter = text.slice(text.search(/\p{L}/u));
  const mark = fromLetter.search(/[\p{P}\n\v\f\r\u0085\u2028\u2029]/u);
  return mark >= 0 && /\p{L}/u.test(fromLetter.slice(mark));
}

/**
 * A text by its sentences: {source, target, gaps, tail, score}, the gaps and sentences in turn and
 * then the tail being the whole; null where there is one, or the model does not tell them.
 */
async function translatedSentences(text, signal) {
  if (!offers("sentences") || !mayHaveSentences(text)) return null;
  const names = ["score", "source_sentences", "target_sentences", "gaps", "tail"];
  const found = await predict("sentences", { text: [text] }, names, signal, sayBusy);
  const count = withoutPadding(found.source_sentences).length;
  return count < 2 ? null : {
    source: found.source_sentences.slice(0, count),
    target: found.target_sentences.slice(0, count),
    gaps: found.gaps.slice(0, count),
    tail: found.tail,
    score: found.score,
  };
}

// ----------------------------------------------------------------------------------------- words

const offers = (signature) => config?.signatures?.includes(signature) ?? false;

/** The lines of the glossary box as the server takes them: a tab after the term. */
function glossaryLines() {
  if (!offers("glossary")) return "";
  const lines = element("terms").value.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => (line.includes("\t") ? line : line.replace("=", "\t"))).join("\n");
}

/**
 * A text with the words that belong together: {translation, score, sentences, tail}, a sentence
 * being {gap, source, target, links}; both sides of it are lists of parts, words and what stands
 * between them, and a link is the numbers of two parts.
 */
async function linkedWords(text, glossary, signal, onBusy) {
  const found = await post("page/words", { text, glossary }, signal, onBusy);
  if (!Array.isArray(found?.sentences)) throw new AnswerError("The server told no words.");
  return found;
}

// ------------------------------------------------------------------------------------- rich text

const RICH = "b, strong, i, em, u, s, code, a, ul, ol, li, h1, h2, h3, h4, h5, h6, blockquote";
const ALLOWED = new Set([...RICH.split(", "), "p", "br"]);
const AS = { strike: "s", del: "s", ins: "u", kbd: "code", samp: "code", tt: "code" };
const BLOCKS = "p, ul, ol, li, h1, h2, h3, h4, h5, h6, blockquote";
const BOXES = "div, section, article, main, header, footer, figure, table, tr, pre, dt, dd";
const NO_TEXT = `script, style, template, noscript, iframe, object, embed, title, textarea, select,
  svg, math, audio, video, canvas`;

/**
 * Foreign markup as what this page shows of it; parsing it runs and loads nothing. Styles are read
 * as data, for the page's policy would have the browser complain of each.
 */
function sanitised(markup) {
  const withoutStyles = markup.replace(/<[a-z][^<>]*>/gi, (tag) => {
    return tag.replace(/\sstyle(?=\s*=)/gi, " data-style");
  });
  return allowedCopy(new DOMParser().parseFromString(withoutStyles, "text/html").body);
}

/** Allowed elements inside a node, made anew, and all text; without recursion, however deep. */
function allowedCopy(root) {
  const copy = document.createDocumentFragment();
  const waiting = [];
  let count = 0;
  const later = (node, parent, depth) => {
    for (let child = node.lastChild; child; child = child.previousSibling) {
      waiting.push([child, parent, depth]);
    }
  };
  later(root, copy, 0);
  while (waiting.length > 0) {
    const [node, parent, depth] = waiting.pop();
    if (node.nodeType === Node.TEXT_NODE) {
      parent.append(node.data.replace(/[ \t\r\n\f]+/g, " "));
    } else if (node.nodeType === Node.ELEMENT_NODE && !node.matches(NO_TEXT)) {
      const hasRoom = depth < MOST_NESTED && count < MOST_ELEMENTS;
      const own = hasRoom ? allowedElement(node) : null;
      count += own ? 1 : 0;
      if (own) parent.append(own);
      else if (node.matches("td, th")) parent.append(" ");
      later(node, own ?? parent, own ? depth + 1 : depth);
    }
  }
  return copy;
}

/** A new element for one of a foreign document, with no attribute but a link; null for none. */
function allowedElement(node) {
  const style = node.getAttribute("data-style") ?? "";
  const name = AS[node.localName] ?? node.localName;
  if (name === "a") {
    const link = linkOf(node);
    return link && make("a", { href: link });
  }
  if (name === "b" && /font-weight:\s*(normal|400)/.test(style)) return null; // of word processors
  if (name === "span") {
    if (/font-weight:\s*(bold|[6-9]00)/.test(style)) return make("b");
    return /font-style:\s*italic/.test(style) ? make("i") : null;
  }
  if (node.matches(BOXES)) return node.querySelector(`${BLOCKS}, ${BOXES}`) ? null : make("p");
  return ALLOWED.has(name) ? make(name) : null;
}

/** Where a link of a foreign document leads, if that is a page or an address. */
function linkOf(node) {
  try {
    const { protocol, href } = new URL(node.getAttribute("href"));
    return ["http:", "https:", "mailto:"].includes(protocol) ? href : null;
  } catch {
    return null; // relative to a page that is not known
  }
}

/** The markup of what is allowed inside a node. */
function markupOf(node) {
  return make("div", {}, allowedCopy(node)).innerHTML;
}

const isRich = () => !richBox.hidden;
const canBeRich = () => config?.source_language && config.target_language;
const sourceText = () => (isRich() ? markupOf(richBox) : textBox.value);

/** What was pasted or dropped, as nodes, if it is rich text that this page can translate. */
function richTextOf(data) {
  const markup = data?.getData("text/html") ?? "";
  if (!canBeRich() || markup === "" || markup.length > MOST_MARKUP) return null;
  const content = sanitised(markup);
  const fits = make("div", {}, content.cloneNode(true)).innerHTML.length <= config.max_characters;
  return fits && content.querySelector(RICH) ? content : null;
}

/** Plain text as nodes, a line break for each line end. */
function linesOf(text) {
  return text.split(/\r?\n/).flatMap((line, index) => (index ? [make("br"), line] : [line]));
}

/** Rich text that is pasted into the text box turns all of it into rich text. */
function takeRichText(event, data) {
  const content = richTextOf(data);
  if (!content) return; // the browser pastes plain text
  event.preventDefault();
  const { value, selectionStart: begin, selectionEnd: end } = textBox;
  richBox.replaceChildren(...linesOf(value.slice(0, begin)), content, ...linesOf(value.slice(end)));
  showSource(true);
  getSelection().selectAllChildren(richBox);
  getSelection().collapseToEnd();
  translateSoon(0);
}

/** Rich and plain text that is pasted into rich text; too much of it is left out, and said so. */
function addToRichText(event, data) {
  event.preventDefault();
  const text = data?.getData("text/plain") ?? "";
  const content = richTextOf(data);
  if (!content && text.length > config.max_characters) {
    setState("too-long", "What was pasted is too long.");
    return;
  }
  const range = getSelection().rangeCount ? getSelection().getRangeAt(0) : null;
  if (!range || !richBox.contains(range.commonAncestorContainer)) return;
  range.deleteContents();
  const parts = document.createDocumentFragment();
  parts.append(...(content?.childNodes ?? linesOf(text)));
  range.insertNode(parts);
  range.collapse(false);
  translateSoon();
}

/** Shows the box of rich or of plain text. */
function showSource(rich) {
  richBox.hidden = !rich;
  textBox.hidden = rich;
  element("plain").hidden = !rich;
  if (!rich) richBox.replaceChildren();
  (rich ? richBox : textBox).focus();
}

async function translateRich(markup, signal) {
  const glossary = glossaryLines();
  const content = {
    q: markup, source: config.source_language, target: config.target_language, format: "html",
    ...(glossary ? { glossary } : {}),
  };
  const found = await post("translate", content, signal, sayBusy);
  if (typeof found?.translatedText !== "string") {
    throw new AnswerError("The server gave no translation.");
  }
  forgetAnswer();
  element("translation").classList.add("rich-text");
  element("translation").replaceChildren(sanitised(found.translatedText));
  for (const link of element("translation").querySelectorAll("a")) {
    Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  }
  element("copy").disabled = element("translation").textContent === "";
  setState("ready");
}

/** Copies rich text as this page means it, without its fonts and colours. */
function copyRich(event) {
  const selection = getSelection();
  const box = [element("translation"), richBox].find((node) => {
    return node.matches(".rich-text") && node.contains(selection.anchorNode);
  });
  if (!box || selection.isCollapsed) return;
  event.preventDefault();
  const content = selection.getRangeAt(0).cloneContents();
  event.clipboardData.setData("text/html", markupOf(content));
  event.clipboardData.setData("text/plain", selection.toString());
}

// ---------------------------------------------------------------------------------- other words

const SPACE = /^\s+$/;
// What the server parts texts into, and what is between: words, other signs one by one, and so the
// characters of scripts without spaces.
const UNSPACED = String.raw`\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff`
  + String.raw`\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff`
  + String.raw`\uff66-\uff9f\u{20000}-\u{2ffff}`;
const PART = new RegExp(
  String.raw`[${UNSPACED}]|(?:(?![${UNSPACED}])[\p{L}\p{M}\p{N}_])+|\s+|.`, "gsu");
const NEXT_WORD = /^\s*([\p{L}\p{M}\p{N}]+|.?)(.*)$/su;

/** Whether words of the translation have menus of others; these know no glossary. */
const hasMenus = () => offers("alternatives") && glossaryLines() === "";

const isChanged = (index) => {
  const { sentences, shown } = answer?.words ?? {};
  return sentences !== undefined && sentences[index] !== shown[index];
};

/** Opens the menu of what else could stand in the place of a word of the translation. */
function openMenu(word) {
  const menu = element("other-words");
  const index = Number(word.closest(".sentence").dataset.index);
  const part = Number(word.dataset.part);
  const { source, target } = answer.words.shown[index];
  const inputs = {
    text: [source.join("")],
    prefix: target.slice(0, part).join(""),
    count: OTHER_WORDS,
  };
  sayInMenu("Searching…");
  menu.showPopover();
  placeMenu(word);
  offering.start(0, async (signal) => {
    const onBusy = (seconds) => sayInMenu(busyText(seconds));
    try {
      const names = ["translations", "scores"];
      const found = await predict("alternatives", inputs, names, signal, onBusy);
      fillMenu(found, inputs.prefix.trimEnd(), { index, part });
    } catch (error) {
      if (signal.aborted) return;
      sayInMenu(messageOf(error));
    }
    placeMenu(word);
  });
}

function closeMenu() {
  element("other-words").hidePopover(); // which tells `offering` to stop
}

/** Below the word where there is room, else above it, within the window. */
function placeMenu(word) {
  const menu = element("other-words");
  const place = word.getBoundingClientRect();
  const [width, height] = [menu.offsetWidth, menu.offsetHeight];
  const below = place.bottom + 4;
  const top = below + height <= innerHeight ? below : Math.max(place.top - height - 4, 4);
  menu.style.top = `${top}px`;
  menu.style.left = `${Math.max(Math.min(place.left, innerWidth - width - 8), 8)}px`;
}

function sayInMenu(message) {
  element("other-words").removeAttribute("role");
  element("other-words").replaceChildren(make("p", { className: "note", role: "status" }, message));
}

/** Fills the menu: of each translation what comes after `prefix`, which all have. */
function fillMenu({ translations, scores }, prefix, { index, part }) {
  const shown = answer.words.shown[index].target.join("");
  const options = translations.flatMap((text, i) => {
    if (scores[i] < NO_HYPOTHESIS || !text.startsWith(prefix)) return [];
    const [, word, rest] = text.slice(prefix.length).match(NEXT_WORD);
    const option = make("div", { role: "option", tabIndex: -1, dir: "auto" },
      make("b", { textContent: word }), make("span", { textContent: rest }));
    option.ariaSelected = String(text === shown);
    option.lang = config.target_language ?? "";
    const choose = () => goOn(index, part, prefix, text, scores[i]);
    option.addEventListener("click", choose);
    option.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
    return [option];
  });
  if (options.length === 0) {
    sayInMenu("Nothing else was found.");
    return;
  }
  element("other-words").role = "listbox";
  element("other-words").replaceChildren(...options);
  (options.find((option) => option.ariaSelected === "true") ?? options[0]).focus();
}

/** Lets a sentence of the translation go on otherwise from a part of it. */
function goOn(index, part, prefix, text, score) {
  closeMenu();
  const { sentences, shown } = answer.words;
  const kept = shown[index].target.slice(0, part);
  while (kept.length > 0 && SPACE.test(kept.at(-1))) kept.pop();
  const next = shown.slice();
  next[index] = text === sentences[index].target.join("") ? sentences[index] : {
    ...shown[index],
    target: [...kept, ...text.slice(prefix.length).match(PART) ?? []],
    links: shown[index].links.filter(([, target]) => target < kept.length),
  };
  answer.words.shown = next;
  drawWords();
  const changed = next.some((_, each) => isChanged(each));
  const ofAll = changed && next.length > 1 ? null : score; // scores of sentences are not told
  showScore(changed ? ofAll : answer.score);
  const first = element(wordId("target", index, part)) ?? element(`target-sentence-${index}`);
  first.focus();
  showAttention(index);
}

// ------------------------------------------------------------------------------------- attention

/** Shows the attention of the translation; of a sentence that the user changed there is none. */
function showAttention(index) {
  if (answer.sentences) {
    choose(index);
  } else if (isChanged(0)) {
    hideAttention();
  } else if (answer.attention) {
    drawAttention();
  }
}

function withoutPadding(texts) {
  return texts.slice(0, texts.findLastIndex((text) => text !== "") + 1);
}

/** Tokens and weights without padding; the target loses its start token, which nothing wrote. */
function trimmedAttention({ source_tokens, target_tokens, attention }) {
  const source = withoutPadding(source_tokens);
  const target = withoutPadding(target_tokens).slice(1);
  const heads = attention.map((head) => {
    return head.slice(0, target.length).map((row) => row.slice(0, source.length));
  });
  return { source, target, heads };
}

function averageOf(heads) {
  return heads[0].map((row, i) => row.map((_, j) => mean(heads.map((head) => head[i][j]))));
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const mean = (values) => sum(values) / values.length;

/** Pieces by word: [{text, pieces: [indices]}]. `##` continues a word, `▁` begins one. */
function wordsOf(tokens) {
  const isEdge = (token) => token === "[START]" || token === "[END]";
  const marksBeginnings = tokens.some((token) => token.startsWith("▁"));
  const words = [];
  tokens.forEach((token, index) => {
    const previous = tokens[index - 1];
    const continues = index > 0 && !isEdge(token) && !isEdge(previous)
      && (marksBeginnings ? !token.startsWith("▁") : token.startsWith("##"));
    const text = token.replace(marksBeginnings ? /^▁/ : /^##(?=.)/, "");
    if (continues) {
      words.at(-1).text += text;
      words.at(-1).pieces.push(index);
    } else {
      words.push({ text, pieces: [index] });
    }
  });
  return words;
}

const piecesOf = (tokens) => tokens.map((text, index) => ({ text, pieces: [index] }));

/** Sums over the pieces of a source unit, averages over those of a target unit. */
function joined(map, source, target) {
  return target.map((unit) => source.map((column) => {
    return mean(unit.pieces.map((i) => sum(column.pieces.map((j) => map[i][j]))));
  }));
}

/** What is drawn of an attention: at most MAP_LIMIT units a side, the average before the heads. */
function viewOf({ source, target, heads }) {
  const unitsOf = unitsAreWords() ? wordsOf : piecesOf;
  const units = { source: unitsOf(source), target: unitsOf(target) };
  const columns = units.source.slice(0, MAP_LIMIT);
  const rows = units.target.slice(0, MAP_LIMIT);
  const maps = heads.map((head) => joined(head, columns, rows));
  return {
    source: columns.map((unit) => unit.text),
    target: rows.map((unit) => unit.text),
    maps: [averageOf(maps), ...maps],
    lengths: { source: units.source.length, target: units.target.length },
  };
}

const unitsAreWords = () => document.querySelector("input[name=units]:checked").value === "words";
const shownMap = () => view.maps[chosenHead];
const headName = (index) => (index === 0 ? "Average" : `Head ${index}`);

// ------------------------------------------------------------------------------ numbers, colours

const shortWeight = (weight) => weight.toFixed(2);
const exactWeight = (weight) => weight.toFixed(3);
const scoreText = (score) => (score === null ? "–" : score.toFixed(3).replace("-", "−"));

let ramp = null; // the colours of weights none and all, [red, green, blue] each

function readRamp() {
  const style = getComputedStyle(document.documentElement);
  ramp = ["--map-low", "--map-high"].map((name) => {
    const digits = style.getPropertyValue(name).trim().slice(1);
    return [0, 2, 4].map((start) => Number.parseInt(digits.slice(start, start + 2), 16));
  });
}

function mixed(share) {
  const [low, high] = ramp;
  return low.map((channel, index) => Math.round(channel + share * (high[index] - channel)));
}

/** Relative luminance of WCAG 2. */
function luminance(colour) {
  const [red, green, blue] = colour.map((channel) => {
    const value = channel / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Paints `share` (0 to 1) behind a node; black or white on it always reaches a contrast of 4.5. */
function paint(node, share) {
  const colour = mixed(share);
  node.style.backgroundColor = `rgb(${colour.join(" ")})`;
  node.style.color = luminance(colour) > 0.179 ? "#000" : "#fff";
}

function unpaint(node) {
  node.style.backgroundColor = "";
  node.style.color = "";
}

// --------------------------------------------------------------------------------------- drawing

/** A node with properties; strings among the children become text nodes. */
function make(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function setState(state, message = "") {
  element("translator").dataset.state = state;
  element("translation").setAttribute("aria-busy", String(state === "translating"));
  element("state").textContent = message;
  element("retry").hidden = state !== "failed";
}

/** Shows a translation: its text, or its sentences beside those of the source. */
function showTranslation(text, score, sentences = null) {
  const shown = sentences ? sentenceList("target", sentences) : text;
  element("translation").setAttribute("aria-live", "polite");
  element("translation").classList.remove("rich-text");
  element("translation").replaceChildren(shown);
  const withWords = text !== "" && offers("alignment");
  const source = sentences ? sentenceList("source", sentences) : answer?.text ?? "";
  element("source-sentences").replaceChildren(source);
  element("mirror").hidden = !sentences && !withWords;
  element("mirror-title").textContent = sentences ? "Sentences" : "Words";
  element("mirror").dataset.several = Boolean(sentences);
  element("mirror").dataset.pointing = withWords ? "words" : "sentences";
  element("mirror").dataset.menus = String(withWords && hasMenus());
  element("mirror").setAttribute("aria-busy", String(withWords));
  element("attention-sentence").hidden = !sentences;
  Object.assign(pointedSentence, { hover: null, focus: null });
  Object.assign(pointedWord, { hover: null, focus: null });
  showScore(score);
  element("copy").disabled = element("translation").textContent === "";
}

function showScore(score) {
  element("score").textContent = score === null ? "" : `log-probability ${scoreText(score)}`;
}

const SIDES = {
  source: {
    partner: "target", name: "Sentences of the text", words: "Words of the text",
  },
  target: {
    partner: "source", name: "Sentences of the translation", words: "Words of the translation",
  },
};

/** One side of a text, in its own shape; its sentences are options, so that keys can choose one. */
function sentenceList(side, sentences) {
  const parts = sentences[side].flatMap((text, index) => {
    return [sentences.gaps[index], sentenceNode(side, text, index)];
  });
  const list = make("span", { role: "listbox", ariaLabel: SIDES[side].name }, ...parts,
    sentences.tail);
  const first = list.querySelector("[role=option]");
  if (first) first.tabIndex = 0;
  return list;
}

function sentenceNode(side, text, index) {
  const id = `${side}-sentence-${index}`;
  const node = make("span", { id, className: "sentence", textContent: text });
  node.dataset.index = index;
  if (text === "") return node; // nothing to point at
  Object.assign(node, { role: "option", ariaSelected: "false", tabIndex: -1 });
  node.setAttribute("aria-describedby", `${SIDES[side].partner}-sentence-${index}`);
  return node;
}

/** Puts the words of both sides in the place of the text that is shown, which stays the same. */
function showWords(words) {
  answer.words = { ...words, shown: words.sentences };
  drawWords();
  markChosen();
  drawPointedSentence(null);
  element("mirror").setAttribute("aria-busy", "false");
}

function drawWords() {
  const { shown: sentences, tail } = answer.words;
  const parts = { source: element("source-sentences"), target: element("translation") };
  for (const [side, box] of Object.entries(parts)) {
    const focused = box.contains(document.activeElement)
      ? Number(document.activeElement.closest(".sentence").dataset.index) : null;
    const nodes = sentences.flatMap((sentence, index) => {
      return [sentence.gap, wordsNode(side, sentences, index)];
    });
    const list = make("span", { role: "listbox", ariaLabel: SIDES[side].words }, ...nodes, tail);
    const first = list.querySelector("[role=option]");
    if (first) first.tabIndex = 0;
    else list.removeAttribute("role");
    box.setAttribute("aria-live", "off"); // it has been read out
    box.replaceChildren(list);
    if (focused !== null) {
      box.querySelector(`[data-index="${focused}"] [role=option]`)?.focus();
    }
  }
}

/** The words of a sentence; those that can be pointed at are options. */
function wordsNode(side, sentences, index) {
  const partners = partnersOf(side, sentences[index].links);
  const id = `${side}-sentence-${index}`;
  const node = make("span", { id, className: "sentence" });
  node.dataset.index = index;
  if (sentences.length > 1) {
    Object.assign(node, { role: "group", ariaLabel: `Sentence ${index + 1}` });
  }
  const haveMenus = side === "target" && hasMenus();
  node.append(...sentences[index][side].map((text, part) => {
    const others = partners.get(part) ?? [];
    const hasMenu = haveMenus && /[\p{L}\p{N}]/u.test(text);
    if (others.length === 0 && !hasMenu) return text;
    const word = make("span", { id: wordId(side, index, part), className: "word" }, text);
    Object.assign(word, { role: "option", ariaSelected: "false", tabIndex: -1 });
    word.dataset.part = part;
    if (hasMenu) word.ariaHasPopup = "listbox";
    const ids = others.map((other) => wordId(SIDES[side].partner, index, other));
    if (ids.length > 0) word.setAttribute("aria-describedby", ids.join(" "));
    return word;
  }));
  return node;
}

const wordId = (side, sentence, part) => `${side}-word-${sentence}-${part}`;

/** By the number of each part of a side that has any, the parts of the other that belong to it. */
function partnersOf(side, links) {
  const partners = new Map();
  for (const [source, target] of links) {
    const [part, other] = side === "source" ? [source, target] : [target, source];
    partners.set(part, [...partners.get(part) ?? [], other]);
  }
  return partners;
}

function forgetAnswer() {
  closeMenu();
  answer = null;
  showTranslation("", null);
  hideAttention();
  element("alternatives").hidden = true;
  element("beams").hidden = true;
}

function hideAttention() {
  view = null;
  element("attention").hidden = true;
}

function drawAttention() {
  const usable = answer.attention.heads.length > 0 && answer.attention.target.length > 0;
  element("attention").hidden = !usable;
  element("attention").setAttribute("aria-busy", "false");
  if (!usable) return;
  view = viewOf(answer.attention);
  chosenHead = Math.min(chosenHead, view.maps.length - 1);
  Object.assign(pointed, { hover: null, focus: null });
  drawTokens("source");
  drawTokens("target");
  drawHeads();
  drawMap();
  drawLimit();
  drawPointed();
}

function drawTokens(side) {
  const options = view[side].map((text, index) => {
    const option = make("li", { className: "token", tabIndex: index === 0 ? 0 : -1 },
      make("span", { className: "token-text", textContent: text }),
      make("span", { className: "token-weight" }));
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    option.classList.toggle("edge", text === "[START]" || text === "[END]");
    return option;
  });
  element(`${side}-tokens`).replaceChildren(...options);
}

function drawLimit() {
  const { source, target } = view.lengths;
  const cut = Math.max(source, target) > MAP_LIMIT;
  element("limit").hidden = !cut;
  element("limit").textContent = cut
    ? `This text is long: tokens and map show the first ${MAP_LIMIT} of ${source} source and `
      + `${target} target tokens. The translation above is complete.`
    : "";
}

function drawHeads() {
  const box = element("heads");
  if (box.children.length !== view.maps.length) {
    box.replaceChildren(...view.maps.map((_, index) => make("label", { className: "head" },
      make("input", { type: "radio", name: "head", value: String(index) }),
      make("canvas", { ariaHidden: "true" }),
      make("span", { textContent: headName(index) }))));
  }
  view.maps.forEach((map, index) => {
    const label = box.children[index];
    label.querySelector("input").checked = index === chosenHead;
    drawThumbnail(label.querySelector("canvas"), map);
  });
}

/** One pixel a weight; the style sheet enlarges it without smoothing. */
function drawThumbnail(canvas, map) {
  canvas.height = map.length;
  canvas.width = map[0].length;
  const context = canvas.getContext("2d");
  const top = largest(map);
  map.forEach((row, i) => row.forEach((weight, j) => {
    context.fillStyle = `rgb(${mixed(weight / top).join(" ")})`;
    context.fillRect(j, i, 1, 1);
  }));
}

const largest = (map) => Math.max(Number.EPSILON, ...map.map((row) => Math.max(...row)));

function drawMap() {
  const map = shownMap();
  const top = largest(map);
  const header = (text, scope) => {
    return make("th", { scope }, make("span", { textContent: text }));
  };
  const rows = map.map((weights, i) => make("tr", {}, header(view.target[i], "row"),
    ...weights.map((weight) => {
      const cell = make("td", {}, make("span", { textContent: shortWeight(weight) }));
      paint(cell, weight / top);
      return cell;
    })));
  const table = element("map");
  const corner = make("td", { className: "corner" });
  table.tHead.replaceChildren(make("tr", {}, corner,
    ...view.source.map((text) => header(text, "col"))));
  table.tBodies[0].replaceChildren(...rows);
  const heads = view.maps.length - 1;
  table.caption.textContent = chosenHead === 0
    ? `Average of ${heads} ${heads === 1 ? "head" : "heads"}: target down, source across`
    : `${headName(chosenHead)} of ${heads}: target down, source across`;
  element("legend-top").textContent = shortWeight(top);
}

// --------------------------------------------------------------------------- pointing at a token

// Each is {row, column} with null for "all", or null. The pointer wins over the keyboard's focus.
const pointed = { hover: null, focus: null };

function drawPointed() {
  if (!view) return;
  const { row = null, column = null } = pointed.hover ?? pointed.focus ?? {};
  const map = shownMap();
  const columnWeights = column === null ? null : map.map((weights) => weights[column]);
  weighTokens("source", row === null ? null : map[row], column);
  weighTokens("target", row === null ? columnWeights : null, row);
  const table = element("map");
  for (const node of table.querySelectorAll(".in-row, .in-column")) {
    node.classList.remove("in-row", "in-column");
  }
  if (row !== null) table.tBodies[0].rows[row].classList.add("in-row");
  if (column !== null) {
    for (const line of table.rows) line.cells[column + 1].classList.add("in-column");
  }
  element("readout").replaceChildren(...readoutOf(row, column));
  element("readout-hint").hidden = row !== null || column !== null;
}

/** Shades the tokens of a side by `weights` and writes them below; null clears. */
function weighTokens(side, weights, chosen) {
  const top = weights && Math.max(Number.EPSILON, ...weights);
  [...element(`${side}-tokens`).children].forEach((option, index) => {
    option.lastChild.textContent = weights ? shortWeight(weights[index]) : "";
    if (weights) paint(option, weights[index] / top);
    else unpaint(option);
    option.classList.toggle("chosen", index === chosen);
  });
}

/** Nodes that say in words and numbers what is pointed at. */
function readoutOf(row, column) {
  const strong = (text) => make("bdi", { textContent: text });
  if (row === null && column === null) return [];
  if (row !== null && column !== null) {
    const weight = exactWeight(shownMap()[row][column]);
    return [strong(view.target[row]), " looks at ", strong(view.source[column]),
      " with weight ", make("b", { textContent: weight })];
  }
  const [name, verb, others, weights] = row !== null
    ? [view.target[row], " looks at", view.source, shownMap()[row]]
    : [view.source[column], " is looked at by", view.target, shownMap().map((r) => r[column])];
  const order = weights.map((_, index) => index).sort((a, b) => weights[b] - weights[a]);
  const parts = order.slice(0, READOUT_WEIGHTS).flatMap((index, place) => [
    place ? " · " : " ", strong(others[index]), " ",
    make("b", { textContent: exactWeight(weights[index]) }),
  ]);
  return [strong(name), verb, ...parts, order.length > READOUT_WEIGHTS ? " · …" : ""];
}

/** Scrolls the map within its box to the largest weight of a row or column. */
function reveal({ row, column }) {
  const map = shownMap();
  const weights = row === null ? map.map((line) => line[column]) : map[row];
  const best = weights.indexOf(Math.max(...weights));
  const table = element("map");
  const line = table.tBodies[0].rows[row ?? best];
  const cell = line.cells[(column ?? best) + 1].getBoundingClientRect();
  const corner = table.tHead.rows[0].cells[0].getBoundingClientRect();
  const box = element("map-box");
  const frame = box.getBoundingClientRect();
  const before = { left: cell.left - corner.right, top: cell.top - corner.bottom };
  const after = { left: cell.right - frame.right, top: cell.bottom - frame.bottom };
  const move = (side) => Math.min(before[side], 0) + Math.max(after[side], 0);
  box.scrollBy(move("left"), move("top"));
}

/**
 * One tab stop a list of options; arrow keys, Home and End move within it. Where options are in
 * groups, up and down lead to the group before and after.
 */
function moveByKeys(list) {
  const optionsOf = () => [...list.querySelectorAll("[role=option]")];
  list.addEventListener("focusin", (event) => {
    for (const option of optionsOf()) option.tabIndex = option === event.target ? 0 : -1;
  });
  list.addEventListener("keydown", (event) => {
    const options = optionsOf();
    const here = options.indexOf(document.activeElement);
    const step = getComputedStyle(list).direction === "rtl" ? -1 : 1;
    const target = {
      ArrowRight: here + step, ArrowDown: inGroup(options, here, 1),
      ArrowLeft: here - step, ArrowUp: inGroup(options, here, -1),
      Home: 0, End: options.length - 1,
    }[event.key];
    if (here < 0 || target === undefined) return;
    event.preventDefault();
    options[Math.min(Math.max(target, 0), options.length - 1)].focus();
  });
}

/** Where up or down leads to from an option: the first option of the next group, if there are any. */
function inGroup(options, here, step) {
  const groups = options.map((option) => option.closest("[role=group]"));
  const next = [...new Set(groups)];
  const group = next[next.indexOf(groups[here]) + step];
  if (!groups[here] || !group) return groups[here] ? here : here + step;
  return groups.indexOf(group);
}

/** Focus and pointer point at a token. */
function followTokens(side) {
  const list = element(`${side}-tokens`);
  moveByKeys(list);
  const placeOf = (event) => {
    const index = [...list.children].indexOf(event.target.closest("[role=option]"));
    if (index < 0) return null;
    return side === "source" ? { row: null, column: index } : { row: index, column: null };
  };
  list.addEventListener("pointerover", (event) => {
    const place = placeOf(event);
    point("hover", place);
    if (place) reveal(place);
  });
  list.addEventListener("pointerleave", () => point("hover", null));
  list.addEventListener("focusin", (event) => {
    const place = placeOf(event);
    for (const option of list.children) {
      option.setAttribute("aria-selected", String(option === event.target));
    }
    point("focus", place);
    reveal(place);
    const words = readoutOf(place.row, place.column).map((part) => part.textContent ?? part);
    event.target.setAttribute("aria-label", words.join(""));
  });
  list.addEventListener("focusout", (event) => {
    event.target.setAttribute("aria-selected", "false");
    event.target.removeAttribute("aria-label"); // its weights are those of the head shown now
    point("focus", null);
  });
}

function followMap() {
  const table = element("map");
  table.addEventListener("pointerover", (event) => {
    const cell = event.target.closest("td, th");
    if (!cell || cell.className === "corner") return;
    const inHead = cell.parentNode.parentNode === table.tHead;
    const row = inHead ? null : cell.parentNode.sectionRowIndex;
    point("hover", { row, column: cell.cellIndex === 0 ? null : cell.cellIndex - 1 });
  });
  table.addEventListener("pointerleave", () => point("hover", null));
}

function point(by, place) {
  pointed[by] = place;
  drawPointed();
}

// ---------------------------------------------------------------- pointing at a sentence or word

const pointedSentence = { hover: null, focus: null }; // numbers; the pointer wins over the focus
const pointedWord = { hover: null, focus: null }; // nodes, likewise

/** Focus and pointer show the partner of a sentence; a click, Enter and the space bar choose it. */
function followSentences(box) {
  moveByKeys(box);
  const numberOf = (event) => {
    const option = event?.target.closest(".sentence[role=option], .sentence[role=group]");
    return option ? Number(option.dataset.index) : null;
  };
  const pointAt = (by, event) => {
    pointedSentence[by] = numberOf(event);
    pointedWord[by] = event?.target.closest(".word") ?? null;
    drawPointedSentence(box);
  };
  box.addEventListener("pointerover", (event) => pointAt("hover", event));
  box.addEventListener("pointerleave", () => pointAt("hover", null));
  box.addEventListener("focusin", (event) => pointAt("focus", event));
  box.addEventListener("focusout", (event) => {
    if (!element("other-words").contains(event.relatedTarget)) pointAt("focus", null);
  });
  const act = (event) => {
    choose(numberOf(event));
    const word = event.target.closest(".word");
    if (word?.ariaHasPopup === "listbox") openMenu(word);
  };
  box.addEventListener("click", (event) => {
    if (getSelection().isCollapsed) act(event);
  });
  box.addEventListener("keydown", (event) => {
    const isOption = event.target.closest("[role=option]");
    if (!isOption || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    act(event);
  });
}

/** Marks what is pointed at and its partner, which a long source may have to be scrolled to. */
function drawPointedSentence(from) {
  const index = pointedSentence.hover ?? pointedSentence.focus;
  for (const node of document.querySelectorAll(".sentence")) {
    node.classList.toggle("pointed", Number(node.dataset.index) === index);
  }
  const word = pointedWord.hover ?? pointedWord.focus;
  const partners = word?.getAttribute("aria-describedby")?.split(" ") ?? [];
  for (const node of document.querySelectorAll(".word")) {
    node.classList.toggle("pointed", node === word || partners.includes(node.id));
  }
  const box = element("source-sentences");
  const node = element(partners[0] ?? `source-sentence-${index}`);
  if ((index === null && !word) || !node || from === box) return;
  const [frame, place] = [box, node].map((each) => each.getBoundingClientRect());
  const above = Math.min(place.top - frame.top, 0);
  box.scrollTop += above || Math.max(place.bottom - frame.bottom, 0);
}

/** Makes a sentence the one whose attention is shown. */
function choose(index) {
  const sentences = answer?.sentences;
  if (index === null || !sentences) return;
  answer.chosen = index;
  markChosen();
  const place = `Sentence ${index + 1} of ${sentences.source.length}.`;
  if (element("attention-sentence").textContent !== place) {
    element("attention-sentence").textContent = place;
  }
  if (isChanged(index)) {
    looking.stop();
    hideAttention();
    return;
  }
  element("attention").setAttribute("aria-busy", "true");
  looking.start(0, (signal) => look(sentences.source[index], signal));
}

function markChosen() {
  for (const node of document.querySelectorAll(".sentence[role]")) {
    const isChosen = Number(node.dataset.index) === answer.chosen;
    if (node.role === "option") node.ariaSelected = String(isChosen);
    else node.ariaCurrent = String(isChosen);
  }
}

async function look(sentence, signal) {
  const names = ["source_tokens", "target_tokens", "attention"];
  try {
    const outputs = await predict("attention", { text: [sentence] }, names, signal, sayBusy);
    answer.attention = trimmedAttention(outputs);
    setState("ready");
    drawAttention();
  } catch (error) {
    if (signal.aborted) return;
    answer.attention = null;
    hideAttention();
    setState("failed", messageOf(error));
  }
}

// ----------------------------------------------------------------------------------- translating

const translating = new Newest();
const linking = new Newest();
const looking = new Newest();
const offering = new Newest();
const searching = new Newest();

/** Starts over from what the text box holds now. */
function translateSoon(delay = TYPING_PAUSE) {
  translating.stop();
  linking.stop();
  looking.stop();
  searching.stop();
  closeMenu();
  const text = sourceText();
  const length = [...text].length;
  const limit = config?.max_characters ?? Infinity;
  showLength(length, limit);
  setGlossaryState();
  if ((isRich() ? richBox.textContent : text).trim() === "") {
    forgetAnswer();
    setState("idle");
    if (!config) open();
  } else if (length > limit) {
    forgetAnswer();
    const excess = (length - limit).toLocaleString("en");
    const what = isRich() ? "text with its markup" : "text";
    setState("too-long", `The ${what} is too long by ${excess} characters.`);
  } else {
    setState("translating", "Translating…");
    translating.start(delay, (signal) => translate(text, signal));
  }
}

function showLength(length, limit) {
  const most = Number.isFinite(limit) ? ` / ${limit.toLocaleString("en")}` : "";
  element("count").textContent = length ? `${length.toLocaleString("en")}${most}` : "";
  textBox.setAttribute("aria-invalid", String(length > limit));
  element("clear").disabled = length === 0;
}

async function translate(text, signal) {
  try {
    if (!config) await loadConfig(signal);
    if (isRich()) {
      await translateRich(text, signal);
      return;
    }
    const glossary = glossaryLines();
    if (glossary) {
      await translateWithTerms(text, glossary, signal);
      return;
    }
    const sentences = await translatedSentences(text, signal);
    if (sentences) {
      const before = answer?.sentences?.source[answer.chosen];
      answer = { text, score: sentences.score, sentences, chosen: null, attention: null };
      showTranslation(null, sentences.score, sentences);
      setState("ready");
      choose(Math.max(sentences.source.indexOf(before), 0));
    } else {
      const names = ["translation", "score", "source_tokens", "target_tokens", "attention"];
      const outputs = await predict("attention", { text: [text] }, names, signal, sayBusy);
      const { score } = outputs;
      answer = { text, score, sentences, chosen: null, attention: trimmedAttention(outputs) };
      showTranslation(outputs.translation, score);
      setState("ready");
      drawAttention();
    }
    element("alternatives").hidden = false;
    if (offers("alignment")) linking.start(WORDS_PAUSE, link);
    searchSoon(BEAM_PAUSE);
  } catch (error) {
    if (signal.aborted) return;
    forgetAnswer();
    setState("failed", setGlossaryState(error) ? "The glossary has a mistake." : messageOf(error));
  }
}

/** Translates by a glossary, which attention and beam search know nothing of. */
async function translateWithTerms(text, glossary, signal) {
  const words = await linkedWords(text, glossary, signal, sayBusy);
  forgetAnswer();
  answer = { text, score: words.score, sentences: null, chosen: null, attention: null };
  showTranslation(words.translation, words.score);
  setState("ready");
  showWords(words);
}

/** Learns which words of what is shown belong together; without them it is shown as before. */
async function link(signal) {
  const { text, sentences } = answer;
  try {
    const words = await linkedWords(text, "", signal, () => {});
    const isSame = words.translation === element("translation").textContent;
    if (isSame && (!sentences || sentences.source.length === words.sentences.length)) {
      showWords(words);
    }
  } catch (error) {
    if (!signal.aborted && !(error instanceof AnswerError)) console.error(error);
  } finally {
    if (!signal.aborted) element("mirror").setAttribute("aria-busy", "false");
  }
}

/** Says beside the glossary what is wrong with it; gives whether an error was about it. */
function setGlossaryState(error = null) {
  const [, message] = error?.message.match(/^(?:Invalid request: )?(glossary\b.*)$/s) ?? [];
  element("terms").setAttribute("aria-invalid", String(message !== undefined));
  element("glossary-state").textContent = message ? message[0].toUpperCase() + message.slice(1) : "";
  const count = glossaryLines() ? glossaryLines().split("\n").length : 0;
  element("glossary-count").textContent = count ? `${count} ${count === 1 ? "line" : "lines"}` : "";
  if (message) element("glossary").open = true;
  return message !== undefined;
}

function sayBusy(seconds) {
  setState("busy", busyText(seconds));
}

const busyText = (seconds) => `The server is busy; trying again in ${Math.ceil(seconds)} s.`;

function searchSoon(delay) {
  searching.stop();
  const penalty = element("length-penalty");
  const usable = penalty.validity.valid && penalty.value !== "";
  setBeamState(usable ? "" : "Length penalty: a number from 0 to 5, with one decimal.");
  if (!answer || !element("alternatives").open || !usable) return;
  const inputs = {
    text: [answer.text],
    beam_size: Number(element("beam-size").value),
    length_penalty: Number(penalty.value),
    max_length: 0,
  };
  element("beams").setAttribute("aria-busy", "true");
  searching.start(delay, (signal) => search(inputs, signal));
}

async function search(inputs, signal) {
  const names = ["translations", "scores", "normalized_scores"];
  const onBusy = (seconds) => setBeamState(busyText(seconds));
  try {
    setBeamState("Searching…");
    drawAlternatives(await predict("translate_beam", inputs, names, signal, onBusy));
    setBeamState("");
  } catch (error) {
    if (signal.aborted) return;
    element("beams").hidden = true;
    setBeamState(messageOf(error), true);
  }
}

function setBeamState(message, failed = false) {
  element("beam-state").textContent = message;
  element("beam-retry").hidden = !failed;
}

function drawAlternatives({ translations, scores, normalized_scores }) {
  const rows = translations.flatMap((text, index) => (scores[index] < NO_HYPOTHESIS ? [] : [
    make("tr", {},
      make("th", { scope: "row", textContent: String(index + 1) }),
      make("td", { dir: "auto", lang: config.target_language ?? "", textContent: text }),
      make("td", { className: "number", textContent: scoreText(normalized_scores[index]) }),
      make("td", { className: "number", textContent: scoreText(scores[index]) })),
  ]));
  element("beams").tBodies[0].replaceChildren(...rows);
  element("beams").hidden = false;
  element("beams").setAttribute("aria-busy", "false");
}

async function copyTranslation() {
  const box = element("translation");
  let copied = false;
  try {
    if (box.matches(".rich-text")) {
      const parts = { "text/html": markupOf(box), "text/plain": box.innerText };
      const blobs = Object.entries(parts).map(([type, text]) => [type, new Blob([text], { type })]);
      await navigator.clipboard.write([new ClipboardItem(Object.fromEntries(blobs))]);
    } else {
      await navigator.clipboard.writeText(box.textContent);
    }
    copied = true;
  } catch {
    copied = copySelected(element("translation")); // plain http gives no clipboard object
  }
  element("state").textContent = copied
    ? "Copied." : "The browser did not allow copying; select the text instead.";
}

function copySelected(node) {
  const selection = getSelection();
  selection.selectAllChildren(node);
  const copied = document.execCommand("copy");
  selection.removeAllRanges();
  return copied;
}

function replaceText(text) {
  textBox.value = text;
  showSource(false);
  translateSoon(0);
}

// --------------------------------------------------------------------------------------- opening

async function loadConfig(signal) {
  config = await untilFree(() => fetchJson("page/config.json", { signal }), signal, sayBusy);
  const { model, source_language: source, target_language: target } = config;
  const names = source && target ? `${languageName(source)} → ${languageName(target)}` : "";
  element("model").replaceChildren(make("span", { textContent: names }),
    make("code", { textContent: model }));
  document.title = `${model} · Keras Transformer`;
  if (source) nameLanguage("source-label", source, textBox);
  richBox.lang = source ?? "";
  if (target) nameLanguage("target-label", target, element("translation"));
  element("glossary").hidden = !offers("glossary");
  const examples = config.examples ?? [];
  element("examples").hidden = examples.length === 0;
  element("example-list").replaceChildren(...examples.map((text) => {
    const button = make("button", { type: "button", dir: "auto", textContent: text });
    button.lang = source ?? "";
    button.addEventListener("click", () => replaceText(text));
    return make("li", {}, button);
  }));
}

function languageName(code) {
  try {
    return new Intl.DisplayNames("en", { type: "language" }).of(code);
  } catch {
    return code; // not a language tag, such as the file ending of one's own pairs
  }
}

function nameLanguage(labelId, code, node) {
  element(labelId).textContent = languageName(code);
  node.lang = code;
}

function listen() {
  textBox.addEventListener("input", () => translateSoon());
  textBox.addEventListener("paste", (event) => takeRichText(event, event.clipboardData));
  textBox.addEventListener("drop", (event) => takeRichText(event, event.dataTransfer));
  richBox.addEventListener("paste", (event) => addToRichText(event, event.clipboardData));
  richBox.addEventListener("drop", (event) => addToRichText(event, event.dataTransfer));
  richBox.addEventListener("input", () => {
    if (richBox.textContent.trim() === "") replaceText("");
    else translateSoon();
  });
  document.addEventListener("copy", copyRich);
  element("plain").addEventListener("click", () => replaceText(richBox.innerText));
  element("terms").addEventListener("input", () => translateSoon());
  element("clear").addEventListener("click", () => replaceText(""));
  element("copy").addEventListener("click", copyTranslation);
  element("retry").addEventListener("click", open);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing || event.target === element("terms")) return;
    if (element("other-words").matches(":popover-open")) return; // which the browser closes
    replaceText("");
  });
  for (const radio of document.querySelectorAll("input[name=units]")) {
    radio.addEventListener("change", () => {
      element("unit-note").hidden = !unitsAreWords();
      if (answer?.attention) drawAttention();
    });
  }
  element("numbers").addEventListener("change", (event) => {
    element("map").classList.toggle("numbers", event.target.checked);
  });
  element("heads").addEventListener("change", (event) => {
    chosenHead = Number(event.target.value);
    drawMap();
    drawPointed();
  });
  followTokens("source");
  followTokens("target");
  followMap();
  followSentences(element("source-sentences"));
  followSentences(element("translation"));
  moveByKeys(element("other-words"));
  element("other-words").addEventListener("toggle", (event) => {
    if (event.newState !== "closed") return;
    offering.stop();
    if (element("translation").contains(document.activeElement)) return;
    Object.assign(pointedSentence, { focus: null });
    Object.assign(pointedWord, { focus: null });
    drawPointedSentence(null);
  });
  document.addEventListener("scroll", closeMenu, { passive: true });
  element("beam-size").addEventListener("change", () => searchSoon(0));
  element("length-penalty").addEventListener("input", () => searchSoon(BEAM_PAUSE));
  element("beam-retry").addEventListener("click", () => searchSoon(0));
  element("alternatives").addEventListener("toggle", () => searchSoon(0));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    readRamp();
    if (answer?.attention) drawAttention();
  });
}

/** Learns what is served, then translates what a reload may have left in the text box. */
function open() {
  translating.start(0, async (signal) => {
    try {
      await loadConfig(signal);
      translateSoon(0);
    } catch (error) {
      if (!signal.aborted) setState("failed", messageOf(error));
    }
  });
}

readRamp();
listen();
open();
