// Charts over time are moved as people move them: by dragging, by keys, by their buttons. How long frames take is told.

import { inview } from "./inside.mjs";

/** A chart that people pan with fewer frames than this stands still. */
const FEWEST_FRAMES = 10;
/** Nine of ten frames of a pan are faster than this even on a busy machine of two cores without a GPU. */
const FRAME_MS = 300;

/** What is wrong with the charts of a page. The first of them is moved. */
export async function wrongTimes(tab, page, wrong, told) {
  const view = () => tab.evaluate(inview);
  const whole = await view();
  if (whole === undefined) {
    wrong.push("it has no chart over time that a script has taken");
    return;
  }
  const figure = tab.locator("figure.time").first();
  const stage = figure.locator(".rows");
  const changed = async (act, what) => {
    const before = await view();
    await act();
    await settled(tab);
    const after = await view();
    if (after.left === before.left && after.width === before.width) wrong.push(`${what} changes nothing`);
    return after;
  };
  const all = async (act, what) => {
    await act();
    await settled(tab);
    const after = await view();
    if (Math.abs(after.width - whole.width) > 1) wrong.push(`${what} does not show all of the time again`);
  };

  // The cursor is one for all rows, and what is there is read out.
  const plot = figure.locator(".u-over").first();
  // Where it is now: what is read out, and what is focused, may have moved the page.
  const place = async () => {
    await plot.scrollIntoViewIfNeeded();
    const box = await plot.boundingBox();
    return { at: (share) => box.x + box.width * share, middle: box.y + box.height / 2 };
  };
  const { at, middle } = await place();
  await tab.mouse.move(at(0.4), middle);
  await settled(tab);
  const pointed = await view();
  if (pointed.said === whole.said) wrong.push("pointing at a chart reads nothing out");
  const apart = pointed.cursors.filter((place) => Math.abs(place - pointed.cursors[0]) > 1);
  if (apart.length > 0) wrong.push("the charts have cursors of their own");
  const elsewhere = pointed.others.filter((other) => Math.abs(other.cursor - pointed.cursors[0]) > 1);
  if (elsewhere.length > 0) wrong.push("charts on one clock have cursors of their own");

  await stage.focus();
  await tab.keyboard.press("ArrowRight");
  await tab.keyboard.press("ArrowRight");
  await settled(tab);
  if ((await view()).said === pointed.said) wrong.push("an arrow key does not move the cursor");
  const near = await changed(() => tab.keyboard.press("+"), "the key +");
  if (near.width >= whole.width) wrong.push("the key + does not zoom in");
  if (near.others.some((other) => Math.abs(other.width - near.width) > 1)) wrong.push("charts on one clock show other spans");
  if (near.others.length > 0) told.push(`${near.others.length + 1} charts on one clock move together`);
  await changed(() => tab.keyboard.press("PageDown"), "the key Page Down");
  await all(() => tab.keyboard.press("Home"), "the key Home");

  const drag = async (from, to, steps, key) => {
    const { at, middle } = await place();
    if (key) await tab.keyboard.down(key);
    await tab.mouse.move(at(from), middle);
    await tab.mouse.down();
    await tab.mouse.move(at(to), middle, { steps });
    await tab.mouse.up();
    if (key) await tab.keyboard.up(key);
  };
  const dragged = await changed(() => drag(0.3, 0.6, 5), "dragging");
  const share = dragged.width / whole.width;
  if (share > 0.35 || share < 0.25) wrong.push(`dragging over 30 % shows ${(share * 100).toFixed(0)} % of the time`);
  const frames = await during(tab, () => changed(() => drag(0.6, 0.2, page.alone ? 60 : 8, "Shift"), "dragging with Shift"));
  await all(() => figure.getByRole("button", { name: /all of the time/i }).click(), "the button");
  const within = (share) => frames[Math.min(frames.length - 1, Math.floor(frames.length * share))];
  if (page.alone) {
    const quick = [0.5, 0.9, 0.99].map((share) => `${share * 100} % within ${within(share)} ms`).join(", ");
    told.push(`${frames.length} frames of a pan: ${quick}, all within ${frames.at(-1)} ms`);
    if (frames.length < FEWEST_FRAMES) wrong.push(`panning shows ${frames.length} frames`);
  }
  if (within(0.9) > FRAME_MS) wrong.push(`frames of a pan take up to ${within(0.9)} ms, and one in ten more`);
}

/** Waits until what was done is to be seen. */
export async function settled(tab) {
  // What is heard of a new size asks for a frame, and draws in that one.
  const frames = (done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
  await tab.evaluate(`new Promise(${frames})`);
}

/** How long frames take while something happens, in whole milliseconds, shortest first. */
async function during(tab, act) {
  await tab.evaluate(() => {
    const times = (window.frameTimes = []);
    const frame = (now) => {
      times.push(now);
      if (window.frameTimes === times) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await act();
  return tab.evaluate(() => {
    const times = window.frameTimes;
    window.frameTimes = undefined;
    return times.slice(1).map((time, place) => Math.round(time - times[place])).sort((a, b) => a - b);
  });
}
