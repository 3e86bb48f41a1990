// Looks around in flame graphs, as people would: with the mouse, with keys, by a name.

/** What the first flame graph shows: how many bars, the widest below the first, what is said. */
function seen() {
  const figure = document.querySelector("figure.flame");
  const svg = [...figure.querySelectorAll("svg")].find((one) => one.checkVisibility());
  const bars = [...svg.querySelectorAll("g[data-row]")].filter((one) => one.checkVisibility());
  const widths = bars.map((one) => one.querySelector("rect").getBoundingClientRect().width);
  return {
    bars: bars.length,
    whole: widths[0],
    // A bar in the second row of half the width or less, which has room to be spread.
    narrow: bars.findIndex((one, place) => one.dataset.row !== "0" && widths[place] > 12 && widths[place] < widths[0] / 2),
    found: svg.querySelectorAll("g.found").length,
    said: figure.querySelector(".said").textContent,
  };
}

/** The place and the width of a bar of the first flame graph. */
function bar(place) {
  const svg = [...document.querySelectorAll("figure.flame svg")].find((one) => one.checkVisibility());
  const bars = [...svg.querySelectorAll("g[data-row]")];
  const { x, y, width, height } = bars[place].querySelector("rect").getBoundingClientRect();
  return { x, y, width, height, words: bars[place].querySelector("title").textContent };
}

/** Spreads a bar by a click and by a key, finds a name, and leaves all as it was. */
export async function wrongFlames(tab, wrong) {
  if ((await tab.locator("figure.flame").count()) === 0) return;
  const first = await tab.evaluate(seen);
  const picture = tab.locator("figure.flame svg:visible").first();
  await picture.scrollIntoViewIfNeeded();
  if (first.narrow > 0) {
    const place = await tab.evaluate(() => window.scrollY);
    const narrow = await tab.evaluate(bar, first.narrow);
    await tab.mouse.click(narrow.x + narrow.width / 2, narrow.y + narrow.height / 2);
    const spread = await tab.evaluate(bar, first.narrow);
    if (Math.abs(spread.width - first.whole) > 2) wrong.push(`a bar of a flame graph is not spread by a click: ${spread.width}`);
    const { said } = await tab.evaluate(seen);
    if (said !== narrow.words) wrong.push(`a flame graph says "${said.slice(0, 60)}" of "${narrow.words.slice(0, 60)}"`);
    await tab.evaluate((y) => window.scrollTo(0, y), place);
  }
  await picture.focus();
  await tab.keyboard.press("Escape");
  if ((await tab.evaluate(seen)).bars !== first.bars) wrong.push("a flame graph does not show all again");
  await tab.keyboard.press("ArrowDown");
  const below = await tab.evaluate(seen);
  await tab.keyboard.press("ArrowUp");
  const above = await tab.evaluate(seen);
  if (first.bars > 1 && below.said === above.said) wrong.push("keys lead nowhere in a flame graph");
  await tab.keyboard.press("ArrowDown");
  await tab.keyboard.press("Enter");
  const spread = await tab.evaluate(seen);
  if (spread.bars > first.bars && first.bars > 1) wrong.push("a part of a flame graph has more than all of it");
  await tab.keyboard.press("Home");
  await tab.keyboard.press("Enter");
  const search = tab.locator("figure.flame input").first();
  await search.fill(below.said.replace(/: [^:]*$/, "").slice(0, 30));
  const found = await tab.evaluate(seen);
  if (first.bars > 1 && (found.found === 0 || !/together/.test(found.said))) wrong.push("a name is not found in a flame graph");
  await tab.locator("figure.flame button").first().click();
  const last = await tab.evaluate(seen);
  if (last.bars !== first.bars || last.found !== 0) wrong.push("a flame graph does not go back to how it was");
}
