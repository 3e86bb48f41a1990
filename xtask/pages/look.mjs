// Looks at pages in Chromium, as people would: on screens of several widths, in both themes, on paper, without scripts.
// node look.mjs WORK.json looks at the pages that the file lists; node look.mjs --self-test WORK.json, at broken ones.

import { readFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

import axe from "axe-core";
import { chromium } from "playwright-core";

import { wrongFigures } from "./figures.mjs";
import { wrongFlames } from "./flame.mjs";
import * as inside from "./inside.mjs";
import { selfTest } from "./self-test.mjs";
import { settled, wrongTimes } from "./time.mjs";

const WIDTHS = [390, 800, 1600];
const HEIGHT = 1000;
/** A longer page is taken in pieces of this height: no viewer shows more of it at once. */
const TALLEST = 8000;
/** What is below this is not taken: it is as long as the document. */
const LONGEST = 40_000;
/** A bound that only what hangs exceeds: how fast a page is, is printed. */
const PATIENCE_MS = 30_000;
/** How long the first picture may take on a busy machine of two cores. */
const FIRST_PICTURE_MS = 5000;

/** Looks at one page. Gives what is wrong, and what is to be told. */
export async function look(browser, page, options) {
  const wrong = [];
  const told = [];
  const documents = page.documents.map((file) => JSON.parse(readFileSync(file, "utf8")));
  const address = pathToFileURL(page.page).href;
  const { accessible = true, scriptless = true } = options;
  const context = await browser.newContext({ viewport: { width: WIDTHS.at(-1), height: HEIGHT }, colorScheme: "light" });
  try {
    const tab = await opened(context, address, wrong, page.time);
    if (page.time) await ready(tab, wrong, told);
    await content(tab, page, documents, wrong);
    const shot = async (theme, width) => {
      const whole = await tab.evaluate(() => document.documentElement.scrollHeight);
      const name = `${page.name}-${theme}-${width}`;
      for (const { y, height, end } of pieces(whole)) {
        const path = `${options.folder}/${name}${end}.png`;
        await tab.screenshot({ path, fullPage: true, clip: { x: 0, y, width, height } });
      }
      if (whole > LONGEST) told.push(`${name}: the last ${whole - LONGEST} of ${whole} px are in no screenshot`);
    };
    const ends = WIDTHS.at(-1);
    if (options.folder) await shot("light", ends);
    if (page.time) await wrongTimes(tab, page, wrong, told);
    await wrongFlames(tab, wrong);
    await tab.evaluate(inside.unfold);
    if (accessible) await violations(tab, "light", undefined, wrong);
    await themes(tab, wrong);
    if (accessible) await violations(tab, "dark", ["color-contrast"], wrong);
    wrong.push(...(await tab.evaluate(inside.faint, false)).map((one) => `dark: ${one}`));
    for (const width of WIDTHS) {
      await tab.setViewportSize({ width, height: HEIGHT });
      await settled(tab);
      wrong.push(...(await tab.evaluate(inside.misfits)).map((one) => `at ${width} px: ${one}`));
      if (options.screenshots) await shot("dark", width);
    }
    await printed(tab, wrong);
    if (options.screenshots) {
      await tab.evaluate(() => (document.documentElement.dataset.theme = "light"));
      for (const width of WIDTHS.slice(0, -1)) {
        await tab.setViewportSize({ width, height: HEIGHT });
        await settled(tab);
        await shot("light", width);
      }
    }
  } catch (error) {
    wrong.push(`looking at it failed: ${error.message.split("\n")[0]}`);
  } finally {
    await context.close();
  }
  try {
    if (scriptless) await withoutScript(browser, address, page, wrong);
  } catch (error) {
    wrong.push(`looking at it without scripts failed: ${error.message.split("\n")[0]}`);
  }
  // The same at each width is one thing to mend.
  return { wrong: [...new Set(wrong)], told };
}

/** Where each screenshot of a page of this height begins, how high it is, and how its name ends: nothing, `-2`, `-3`. */
export function pieces(whole) {
  const bottom = Math.min(whole, LONGEST);
  const count = Math.max(Math.ceil(bottom / TALLEST), 1);
  return Array.from({ length: count }, (_, place) => {
    const y = place * TALLEST;
    return { y, height: Math.min(bottom - y, TALLEST), end: place === 0 ? "" : `-${place + 1}` };
  });
}

/** Opens a page, and hears of all that it says and asks for from then on. */
async function opened(context, address, wrong, time) {
  await context.route("**/*", (route) => (route.request().url() === address ? route.continue() : route.abort()));
  const tab = await context.newPage();
  tab.setDefaultTimeout(PATIENCE_MS);
  tab.on("console", (message) => wrong.push(`console: ${message.type()}: ${message.text().slice(0, 200)}`));
  tab.on("pageerror", (error) => wrong.push(`error: ${String(error).slice(0, 200)}`));
  tab.on("dialog", async (dialog) => {
    wrong.push(`a foreign script ran: it opened ${dialog.type()} "${dialog.message().slice(0, 60)}"`);
    await dialog.dismiss();
  });
  tab.on("popup", () => wrong.push("it opened a window"));
  tab.on("websocket", (socket) => wrong.push(`it asked for ${socket.url().slice(0, 200)}`));
  context.on("request", (request) => {
    if (request.url() !== address) wrong.push(`it asked for ${request.url().slice(0, 200)}`);
  });
  if (time) await tab.addInitScript(inside.noteFirstPicture);
  await tab.goto(address, { waitUntil: "load" });
  return tab;
}

/** When the first picture was there. */
async function ready(tab, wrong, told) {
  await tab.waitForFunction(() => window.firstPicture !== undefined);
  const first = await tab.evaluate(() => window.firstPicture);
  told.push(`first picture after ${first.toFixed(0)} ms`);
  if (first > FIRST_PICTURE_MS) wrong.push(`the first picture takes ${first.toFixed(0)} ms`);
}

/** Its policy, its figures, its pictures. */
async function content(tab, page, documents, wrong) {
  const policy = await tab.evaluate(inside.policy);
  if (!policy.includes("default-src 'none'")) wrong.push("it has no policy that lets nothing be loaded");
  if (/unsafe|https?:|script-src[^;]*(data:|blob:|\*)/.test(policy)) wrong.push(`its policy is open: ${policy.slice(0, 200)}`);
  const figures = await tab.evaluate(inside.figures);
  if (figures.length < page.figures) wrong.push(`it has ${figures.length} figures, at least ${page.figures} are due`);
  const differ = wrongFigures(figures, documents);
  wrong.push(...differ.slice(0, 8));
  if (differ.length > 8) wrong.push(`and ${differ.length - 8} further figures are wrong`);
  const { empty, figures: pictures } = await tab.evaluate(inside.pictures);
  wrong.push(...empty.map((caption) => `a picture is empty: ${caption}`));
  if (pictures < page.pictures) wrong.push(`it has ${pictures} pictures, at least ${page.pictures} are due`);
}

/** The system's dark theme, and the button's: both are dark, and the button changes one into the other. */
async function themes(tab, wrong) {
  const light = await tab.evaluate(inside.theme);
  if (!light.button) {
    wrong.push("there is no button for the theme");
    return;
  }
  wrong.push(...(await tab.evaluate(inside.faint, false)).map((one) => `light: ${one}`));
  await tab.emulateMedia({ colorScheme: "dark" });
  const system = await tab.evaluate(inside.theme);
  await tab.emulateMedia({ colorScheme: "light" });
  await tab.click("#theme");
  const dark = await tab.evaluate(inside.theme);
  if (dark.ground === light.ground || dark.ink === light.ink) wrong.push("the button does not change the theme");
  if (dark.button === light.button) wrong.push("the button does not say which theme comes next");
  if (system.ground !== dark.ground || system.ink !== dark.ink) wrong.push("the system's dark theme is not that of the button");
  await tab.click("#theme");
  if ((await tab.evaluate(inside.theme)).ground !== light.ground) wrong.push("the button does not change the theme back");
  await tab.click("#theme");
}

/** What axe-core finds of a page, by the rules named or by all. The page's policy does not bind what the debugger runs. */
async function violations(tab, theme, rules, wrong) {
  if (!(await tab.evaluate(() => "axe" in window))) await tab.evaluate(axe.source);
  const found = await tab.evaluate(async (rules) => {
    const only = rules ? { runOnly: { type: "rule", values: rules } } : {};
    const { violations } = await window.axe.run(document, { ...only, resultTypes: ["violations"] });
    const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    return grave.map(({ id, help, nodes }) => `${id} (${nodes.length}): ${help}: ${nodes[0].html.slice(0, 120)}`);
  }, rules);
  wrong.push(...found.map((one) => `${theme}: axe: ${one}`));
}

/** Printed from the dark theme, it is dark on white. */
async function printed(tab, wrong) {
  await tab.emulateMedia({ media: "print", colorScheme: "dark" });
  // A real printer's driver says so, an emulated one does not.
  await tab.evaluate(() => window.dispatchEvent(new Event("beforeprint")));
  await settled(tab);
  wrong.push(...(await tab.evaluate(inside.faint, true)).map((one) => `printed: ${one}`));
  await tab.evaluate(() => window.dispatchEvent(new Event("afterprint")));
  await tab.emulateMedia({ media: "screen", colorScheme: "light" });
}

/** Without scripts everything is there but what moves. */
async function withoutScript(browser, address, page, wrong) {
  const context = await browser.newContext({ viewport: { width: 800, height: HEIGHT }, javaScriptEnabled: false });
  try {
    const tab = await opened(context, address, wrong, false);
    const bare = await tab.evaluate(inside.pictures);
    wrong.push(...bare.empty.map((caption) => `without scripts a picture is empty: ${caption}`));
    if (bare.figures < page.pictures) wrong.push(`without scripts it has ${bare.figures} pictures`);
    if (page.figures > 0 && bare.tables === 0) wrong.push("without scripts it has no table");
    if (bare.words < 100) wrong.push("without scripts it says nothing");
    if (bare.button) wrong.push("without scripts it shows a button that does nothing");
  } finally {
    await context.close();
  }
}

/** Starts the browser, which reaches nothing: names resolve to nothing. */
export function started(path) {
  const args = ["--host-resolver-rules=MAP * ~NOTFOUND", "--force-color-profile=srgb"];
  return chromium.launch({ executablePath: path, args, chromiumSandbox: false });
}

/** Some at once, as many as the machine has cores. What comes of each is told in the order in which it ends. */
export async function each(items, atOnce, work) {
  const rest = [...items];
  const worker = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

async function main() {
  const words = process.argv.slice(2);
  const test = words[0] === "--self-test";
  const work = JSON.parse(readFileSync(words.at(-1), "utf8"));
  const browser = await started(work.chromium);
  try {
    if (test) return await selfTest(browser, work);
    let failed = 0;
    const began = performance.now();
    const timed = work.pages.filter((page) => page.alone);
    const report = async (page) => {
      const begun = performance.now();
      const { wrong, told } = await look(browser, page, work);
      wrong.forEach((one) => console.log(`${page.name}: WRONG: ${one}`));
      told.forEach((one) => console.log(`${page.name}: ${one}`));
      if (wrong.length > 0) failed += 1;
      else console.log(`${page.name}: right, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    };
    await each(work.pages.filter((page) => !page.alone), work.at_once, report);
    // Those whose frames are timed have the machine for themselves.
    await each(timed, 1, report);
    const took = ((performance.now() - began) / 1000).toFixed(0);
    console.log(`pages: ${work.pages.length} looked at in ${took} s, ${failed} with something wrong`);
    return failed === 0;
  } finally {
    await browser.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = (await main()) ? 0 : 1;
}
