// Proves that each check can fail: a page that is right, and the same page broken in one way at a time.

import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { agrees } from "./figures.mjs";
import { each, look, pieces } from "./look.mjs";

const DOCUMENT = { memory: { peak_bytes: 16106127360 }, load_s: 12.5, "a/b~c": [{ wait_ms: 3 }] };

const STYLE = `:root{--page:#fff;--ink:#111;--bar:#2563b8}:root[data-theme=dark]{--page:#111;--ink:#eee;--bar:#1d4f94}
@media (prefers-color-scheme:dark){:root:not([data-theme=light]){--page:#111;--ink:#eee;--bar:#1d4f94}}
@media print{:root,:root[data-theme=dark],:root:not([data-theme=light]){--page:#fff;--ink:#111;--bar:#2563b8}}
body{background:var(--page);color:var(--ink);font:1rem sans-serif}figure{margin:0}svg{min-width:300px;width:100%;max-width:600px;font:14px sans-serif}
text{fill:var(--ink)}.bar{fill:var(--bar)}.on{fill:#fff}.scroll{overflow-x:auto}`;

const SCRIPT = `const root = document.documentElement, button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const show = () => { button.textContent = dark() ? "Light" : "Dark"; };
button.hidden = false; show(); system.addEventListener("change", show);
button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; show(); });`;

const BODY = `<main><h1>A page</h1><p>It has words enough to say what stands in its document, which is not much at all, but some.</p>
<table><caption>Figures</caption><thead><tr><th scope="col">what</th><th scope="col">figure</th></tr></thead><tbody>
<tr><th scope="row">peak</th><td data-figure="0:/memory/peak_bytes" data-value="16106127360">15.00 GiB</td></tr>
<tr><th scope="row">load</th><td data-figure="0:/load_s" data-value="12.5">12.5 s</td></tr>
<tr><th scope="row">wait</th><td data-figure="0:/a~1b~0c/0/wait_ms" data-value="3">3 ms</td></tr></tbody></table>
<figure><figcaption id="c">A bar.</figcaption><div class="scroll" tabindex="0" role="region" aria-labelledby="c">
<svg viewBox="0 0 600 60" role="img" aria-labelledby="c"><rect x="100" y="10" width="300" height="30" class="bar"/>
<text x="10" y="30">peak</text><text x="110" y="30" class="on">15.00 GiB</text></svg></div></figure></main>`;

// A chart over time that does as little as one must: two rows, a strip with a brush, and what is read out.
const CHART = `<figure class="time"><figcaption id="t">Over time.</figcaption><div class="rows" tabindex="0" role="group" aria-label="Chart">
<div class="row"><div class="u-over"><i class="u-cursor-x"></i></div></div><div class="row"><div class="u-over"><i class="u-cursor-x"></i></div></div>
<div class="row over"><i class="brush"></i></div></div><p class="said">Nothing yet.</p><button type="button">All of the time</button>
<svg width="50" height="50"></svg><canvas></canvas></figure>`;
const CHART_STYLE = `${STYLE}.row,.u-over{position:relative;width:600px;max-width:100%;height:40px}.u-over i,.row i{position:absolute;height:100%;width:2px}canvas{width:20px;height:20px}.time svg{min-width:0}`;
const CHART_SCRIPT = `${SCRIPT}
const figure = document.querySelector("figure.time"), overs = [...figure.querySelectorAll(".u-over")], brush = figure.querySelector(".brush");
let from = 0, to = 1, at = 0.5, start;
const draw = () => { brush.style.left = from * 100 + "%"; brush.style.width = (to - from) * 100 + "%"; };
const view = (a, b) => { const span = Math.min(1, b - a); from = Math.min(Math.max(0, a), 1 - span); to = from + span; draw(); };
const point = (x) => { at = x; for (const one of overs) one.firstChild.style.left = x * 100 + "%"; figure.querySelector(".said").textContent = "at " + x; };
const share = (event) => (event.clientX - overs[0].getBoundingClientRect().left) / overs[0].clientWidth;
overs[0].addEventListener("mousedown", (event) => { start = { at: share(event), from, to, shift: event.shiftKey }; event.preventDefault(); });
addEventListener("mousemove", (event) => { point(share(event)); if (start?.shift) view(start.from + start.at - at, start.to + start.at - at); });
addEventListener("mouseup", (event) => { if (start && !start.shift && event.target !== brush) view(Math.min(start.at, at), Math.max(start.at, at)); start = undefined; });
figure.querySelector("button").addEventListener("click", () => view(0, 1));
figure.addEventListener("keydown", ({ key }) => {
  if (key === "ArrowRight") point(at + 0.01);
  if (key === "+") view(0.25, 0.75);
  if (key === "PageDown") view(from + 0.2, to + 0.2);
  if (key === "Home") view(0, 1);
});
draw();`;
// Every frame from the first move on: how many moves a browser gives a page that is busy is its own affair.
const SLOWLY = `point(share(event)); if (start?.shift && !window.slow) { window.slow = true; const frame = () => {
  for (const end = performance.now() + 400; performance.now() < end; ); requestAnimationFrame(frame); }; requestAnimationFrame(frame); }`;
const INK = `const canvas = figure.querySelector("canvas"); canvas.width = canvas.height = 200;
const ink = canvas.getContext("2d"); ink.fillStyle = "#eee"; ink.fillRect(0, 0, 200, 200); let from = 0`;
const chart = (from, to) => html({ body: BODY.replace("</main>", `${CHART}</main>`), style: CHART_STYLE,
  script: from === undefined ? CHART_SCRIPT : changed(CHART_SCRIPT, from, to) });

const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

function html({ style = STYLE, script = SCRIPT, body = BODY, policy } = {}) {
  const strict = `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; img-src data:`;
  const meta = policy === "" ? "" : `<meta http-equiv="Content-Security-Policy" content="${policy ?? strict}">`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8">${meta}<title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><style>${style}</style></head>
<body>${body}<button type="button" id="theme" hidden>Dark</button><script>${script}</script></body></html>`;
}

const body = (from, to) => html({ body: changed(BODY, from, to) });
const style = (from, to) => html({ style: changed(STYLE, from, to) });

/** A text with something in place of what must be in it. */
function changed(text, from, to) {
  if (!text.includes(from)) throw new Error(`the right page has no ${from}`);
  return text.replace(from, to);
}

/** Pages with what must be found in them. */
const BROKEN = [
  ["a message", html({ script: `${SCRIPT}console.log("here")` }), "console: log: here"],
  ["a warning of the browser", body("</main>", "<img alt='x' src='https://example.org/x.png'></main>"), "console: error"],
  ["an error", html({ script: `${SCRIPT}nothing()` }), "error: ReferenceError"],
  ["a foreign script", html({ policy: "", script: `${SCRIPT}alert(1)` }), "a foreign script ran"],
  ["an image of elsewhere", html({ policy: "", body: BODY + "<img alt='x' src='https://example.org/x.png'>" }), "it asked for https"],
  ["no policy", html({ policy: "" }), "no policy"],
  ["an open policy", html({ policy: "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'" }), "policy is open"],
  ["a figure of another value", body('value="12.5"', 'value="12.6"'), "its document says 12.5"],
  ["a figure shown wrongly", body(">12.5 s", ">13.5 s"), "is shown as"],
  ["a figure of another unit", body(">12.5 s", ">12.5 ms"), "is shown as"],
  ["a figure of no place", body("0:/load_s", "0:/load_ms"), "stands nowhere"],
  ["a figure of no document", body("0:/load_s", "1:/load_s"), "of no document"],
  ["a figure too few", body(' data-figure="0:/load_s"', ""), "at least 3 are due"],
  ["no picture", body("<figure>", "<div>"), "at least 1 are due"],
  ["an empty picture", style(".bar{", "svg{display:none}.bar{"), "a picture is empty"],
  ["a picture of scripts alone", html({ style: changed(STYLE, ".bar{", "figure svg{display:none}figure.on svg{display:block}.bar{"),
    script: `${SCRIPT}document.querySelector("figure").classList.add("on")` }), "without scripts a picture is empty"],
  ["no button", html({ script: "" }).replace(/<button.*button>/, ""), "there is no button"],
  ["a button that does nothing", html({ script: changed(SCRIPT, "root.dataset.theme = ", "") }), "does not change the theme"],
  ["a dark theme of the button alone", style("@media (prefers-color-scheme:dark)", "@media (width < 1px)"), "is not that of the button"],
  ["a button without a script", html().replace('id="theme" hidden', 'id="theme"'), "a button that does nothing"],
  ["a nameless image", body("</main>", "<img src='data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'></main>"), "axe: image-alt"],
  ["faint words", style("body{", "p{color:#aaa}body{"), "light: axe: color-contrast"],
  ["faint words in the dark", style("body{", "[data-theme=dark] p{color:#555}body{"), "dark: axe: color-contrast"],
  ["faint words in a picture", style(".on{fill:#fff}", ".on{fill:#4a80c8}"), "light: contrast"],
  ["a page that is too wide", style("body{", "p{min-width:500px}body{"), "at 390 px: the page is"],
  ["words that are cut off", style("body{", "p{white-space:nowrap;overflow:hidden}body{"), "text is cut off"],
  ["words outside of a picture", body('x="10" y="30"', 'x="-20" y="30"'), "text leaves its picture"],
  ["words on words", body('x="10" y="30"', 'x="100" y="30"'), "lie on each other"],
  ["tiny words", body('viewBox="0 0 600 60"', 'viewBox="0 0 1600 160"'), "px in a picture"],
  ["white on white on paper", html({ style: `${STYLE}@media print{:root[data-theme=dark]{--ink:#eee}}` }), "printed: contrast"],
  ["dark paper", html({ style: STYLE.replace(/@media print.*/, "") }), "printed on a dark ground"],
];

/** The same of charts over time. */
const BROKEN_CHARTS = [
  ["a picture that is moved to be seen", style("min-width:300px", "min-width:450px"), "a picture is wider than its place"],
  ["a caption that scrolls away", body("<table>", '<table class="scroll">'), "a caption scrolls away with its table"],
  ["a chart without a script", html({ body: BODY.replace("</main>", "<figure class='time'><svg width='50' height='50'></svg></figure></main>") }), "no chart over time"],
  ["a cursor that says nothing", chart('textContent = "at " + x', 'textContent = "Nothing yet."'), "pointing at a chart reads nothing out"],
  ["cursors apart", chart("for (const one of overs)", "for (const one of overs.slice(1))"), "cursors of their own"],
  ["no arrow keys", chart('"ArrowRight"', '"x"'), "an arrow key does not move"],
  ["no key to zoom", chart('key === "+"', 'key === "x"'), "the key + changes nothing"],
  ["a key that zooms out", chart("view(0.25, 0.75)", "view(0, 1)"), "the key + does not zoom in"],
  ["no key to move", chart('"PageDown"', '"x"'), "the key Page Down changes nothing"],
  ["no way home", chart('"Home"', '"x"'), "the key Home does not show all"],
  ["no dragging", chart("start && !start.shift", "false"), "dragging changes nothing"],
  ["dragging elsewhere", chart("Math.min(start.at, at)", "start.at / 2"), "dragging over 30 % shows"],
  ["no moving", chart("start?.shift", "false"), "dragging with Shift changes nothing"],
  ["a button that shows no more", chart('"click", () => view(0, 1)', '"click", () => view(0, 0.9)'), "the button does not show all"],
  ["slow frames", chart("point(share(event));", SLOWLY), "frames of a pan take up to"],
  ["light ink on paper", chart("let from = 0", INK), "a chart is printed with light ink"],
];

/** Texts with the number behind them, and whether they agree. */
const SHOWN = [
  ["15.00 GiB", 16106127360, "/peak_bytes", true],
  ["15.00\u00a0GiB", 16106127360, "/peak_bytes", true],
  ["15.01 GiB", 16106127360, "/peak_bytes", false],
  ["-1.50 MiB", -1572864, "/residual_bytes", true],
  ["1.5 MiB", -1572864, "/residual_bytes", false],
  ["1,234,567", 1234567, "/tokens", true],
  ["5.1 %", 0.051, "/busy_share", true],
  ["5.1 %", 5.1, "/busy_share", false],
  ["5.1 %", 5.1, "/util_pct", true],
  ["1.20e-5", 0.000012, "/x", true],
  ["2.5 s", 2500000000, "/busy_ns", true],
  ["2.5 s", 2.5, "/busy_ns", false],
  ["2.5 s", 2500, "/ttft_ms/p50", true],
  ["12 ms", 12.49, "/ttft_ms/p50", true],
  ["12.4 ms", 12.49, "/ttft_ms/p50", false],
  ["–", 3, "/x", false],
];

/** Heights of pages, with those of the pieces in which they are taken. */
const PIECES = [
  [300, [300]],
  [8000, [8000]],
  [8001, [8000, 1]],
  [90_000, [8000, 8000, 8000, 8000, 8000]],
];

export async function selfTest(browser, work) {
  const folder = join(work.folder, "self-test");
  mkdirSync(folder, { recursive: true });
  const wrong = [];
  for (const [text, value, pointer, right] of SHOWN) {
    if (agrees(text, value, pointer) !== right) wrong.push(`"${text}" for ${value} at ${pointer} is ${right ? "right" : "wrong"}`);
  }
  for (const [whole, due] of PIECES) {
    const found = pieces(whole);
    const follow = found.every(({ y }, place) => y === found.slice(0, place).reduce((sum, { height }) => sum + height, 0));
    const heights = found.map(({ height }) => height);
    if (!follow || String(heights) !== String(due)) wrong.push(`a page of ${whole} px is taken in pieces of ${heights}`);
  }
  const document = join(folder, "document.json");
  writeFileSync(document, JSON.stringify(DOCUMENT));
  const still = [["nothing", html(), undefined], ...BROKEN].map((one) => [...one, false]);
  const moving = [["nothing of a chart", chart(), undefined], ...BROKEN_CHARTS].map((one) => [...one, true]);
  const cases = [...still, ...moving].map(([name, text, due, time], place) => ({ name, text, due, time, place }));
  await each(cases, 2 * work.at_once, async ({ name, text, due, time, place }) => {
    const page = join(folder, `${place}.html`);
    writeFileSync(page, text);
    // What costs time is done where it is to find something.
    const options = { accessible: !due || due.includes("axe"), scriptless: !due || /script|does nothing/.test(due) };
    const found = (await look(browser, { name, page, documents: [document], figures: 3, pictures: 1, time }, options)).wrong;
    if (due === undefined) wrong.push(...found.map((one) => `on a page that is right: ${one}`));
    else if (!found.some((one) => one.includes(due))) wrong.push(`${name} is not found; what is: ${found.join("; ") || "nothing"}`);
  });
  wrong.forEach((one) => console.log(`self-test: WRONG: ${one}`));
  console.log(`self-test: ${BROKEN.length + BROKEN_CHARTS.length} broken pages, ${wrong.length} not found`);
  return wrong.length === 0;
}
