// What is looked at inside of a page. Each function is sent to the browser whole, so it uses nothing from outside.

/** Every figure with its pointer, its value and what is shown. */
export function figures() {
  return [...document.querySelectorAll("[data-figure]")].map((one) => ({
    pointer: one.dataset.figure,
    value: one.dataset.value,
    text: one.textContent.trim().slice(0, 60),
  }));
}

/** Opens what is folded away, so that it is looked at too. */
export function unfold() {
  document.querySelectorAll("details").forEach((one) => (one.open = true));
}

/** What does not fit: the page into the window, a picture into its place, a text into its box, a text into its picture, two texts beside each other. */
export function misfits() {
  const wrong = [];
  const say = (words) => wrong.length < 8 && wrong.push(words);
  const named = (element) => `"${element.textContent.trim().slice(0, 40)}"`;
  const root = document.documentElement;
  if (Math.max(root.scrollWidth, document.body.scrollWidth) > root.clientWidth) {
    const wide = [...document.querySelectorAll("body *")].find(
      (one) => one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest(".scroll"),
    );
    say(`the page is ${root.scrollWidth} px wide${wide ? `: <${wide.localName}> ${named(wide)}` : ""}`);
  }
  for (const one of document.querySelectorAll("body *:not(svg *)")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "");
    if (!own || !one.checkVisibility()) continue;
    const style = getComputedStyle(one);
    const hides = (overflow) => overflow === "hidden" || overflow === "clip";
    const x = hides(style.overflowX) && one.scrollWidth > one.clientWidth + 1;
    const y = hides(style.overflowY) && one.scrollHeight > one.clientHeight + 1;
    if ((x || y) && one.clientWidth > 1) say(`text is cut off: <${one.localName}> ${named(one)}`);
  }
  if (document.querySelector(".scroll caption")) say("a caption scrolls away with its table");
  for (const svg of document.querySelectorAll("svg[viewBox]")) {
    if (!svg.checkVisibility()) continue;
    const frame = svg.getBoundingClientRect();
    const place = svg.closest(".scroll");
    if (place && frame.width > place.clientWidth + 1) say("a picture is wider than its place: it is moved to be seen");
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim() !== "");
    const boxes = texts.map((text) => ({ text, box: text.getBoundingClientRect() }));
    const scale = frame.width / svg.viewBox.baseVal.width;
    for (const { text, box } of boxes) {
      const out = Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom);
      if (out > 3 * scale) say(`text leaves its picture by ${out.toFixed(0)} px: ${named(text)}`);
      const size = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (size < 7.5) say(`text of ${size.toFixed(1)} px in a picture: ${named(text)}`);
    }
    boxes.sort((a, b) => a.box.left - b.box.left);
    for (const [place, { text, box }] of boxes.entries()) {
      for (let next = place + 1; next < boxes.length && boxes[next].box.left < box.right - 2; next++) {
        const other = boxes[next].box;
        const over = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (over > 0.35 * Math.min(box.height, other.height)) {
          say(`texts of a picture lie on each other: ${named(text)} and ${named(boxes[next].text)}`);
        }
      }
    }
  }
  return wrong;
}

/**
 * Texts that cannot be told from what is behind them. axe-core looks at HTML on a screen; this looks at pictures, and with
 * `print` at all that goes onto paper, where the ground must be light too.
 */
export function faint(print) {
  const wrong = [];
  const say = (words) => wrong.length < 8 && wrong.push(words);
  const colours = new Map();
  const colour = (text) => {
    if (!colours.has(text)) {
      const srgb = /^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ ([\d.]+))?/.exec(text);
      const parts = (text.match(/[\d.]+/g) ?? []).map(Number);
      const rgb = /^rgba?\(/.test(text) ? { c: parts.slice(0, 3), alpha: parts[3] ?? 1 } : { c: [0, 0, 0], alpha: 0 };
      colours.set(text, srgb ? { c: srgb.slice(1, 4).map((one) => Number(one) * 255), alpha: Number(srgb[4] ?? 1) } : rgb);
    }
    return colours.get(text);
  };
  const over = (top, alpha, below) => below.map((one, place) => top[place] * alpha + one * (1 - alpha));
  const light = (c) => {
    const linear = c.map((one) => (one / 255 <= 0.04045 ? one / 255 / 12.92 : ((one / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const grounds = new Map();
  const ground = (element) => {
    if (element === null) return [255, 255, 255];
    if (!grounds.has(element)) {
      const { c, alpha } = colour(getComputedStyle(element).backgroundColor);
      grounds.set(element, alpha === 1 ? c : over(c, alpha, ground(element.parentElement)));
    }
    return grounds.get(element);
  };
  const judge = (element, ink, behind, text) => {
    const ratio = contrast(over(ink.c, ink.alpha, behind), behind);
    if (ratio < 4.45) say(`contrast of ${ratio.toFixed(1)}: <${element.localName}> "${text.trim().slice(0, 40)}"`);
  };
  for (const svg of document.querySelectorAll("svg")) {
    if (!svg.checkVisibility()) continue;
    const shapes = [...svg.querySelectorAll("rect, path, circle, polygon")].filter(
      (shape) => getComputedStyle(shape).fill !== "none",
    );
    for (const text of svg.querySelectorAll("text")) {
      if (text.textContent.trim() === "" || !text.checkVisibility()) continue;
      const box = text.getBoundingClientRect();
      let behind = ground(svg);
      for (const shape of shapes) {
        if (!(shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
        const point = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2);
        if (!shape.isPointInFill(point.matrixTransform(shape.getScreenCTM().inverse()))) continue;
        const style = getComputedStyle(shape);
        const { c, alpha } = colour(style.fill);
        behind = over(c, alpha * Number(style.fillOpacity) * Number(style.opacity), behind);
      }
      judge(text, colour(getComputedStyle(text).fill), behind, text.textContent);
    }
  }
  if (!print) return wrong;
  const seen = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (texts.currentNode.data.trim() === "" || seen.has(element) || element.closest("svg, script, style")) continue;
    seen.add(element);
    if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const behind = ground(element);
    if (light(behind) < 0.6) say(`printed on a dark ground: <${element.localName}> "${element.textContent.trim().slice(0, 40)}"`);
    judge(element, colour(getComputedStyle(element).color), behind, element.textContent);
  }
  for (const canvas of document.querySelectorAll("canvas")) {
    if (!canvas.checkVisibility() || canvas.width === 0) continue;
    // What is not opaque is paper. Text is dark where the darkest tenth of a percent of what is drawn is.
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let [dark, drawn] = [0, 0];
    for (let place = 0; place < data.length; place += 4) {
      if (data[place + 3] < 128) continue;
      drawn += 1;
      if (data[place] + data[place + 1] + data[place + 2] < 150) dark += 1;
    }
    if (drawn > 1000 && dark / drawn < 0.0005) say("a chart is printed with light ink");
  }
  return wrong;
}

/** Pictures that take no room, and what a page has without any script. */
export function pictures() {
  const all = [...document.querySelectorAll("figure")];
  const flat = (one) => {
    const box = one.getBoundingClientRect();
    return box.width < 20 || box.height < 10;
  };
  const empty = all.filter((figure) => {
    if (!figure.checkVisibility()) return false;
    const drawn = [...figure.querySelectorAll("svg, canvas")].filter((one) => one.checkVisibility());
    return drawn.length === 0 || drawn.every(flat);
  });
  return {
    figures: all.length,
    empty: empty.map((figure) => figure.querySelector("figcaption")?.textContent.slice(0, 60) ?? "without a caption"),
    tables: document.querySelectorAll("table").length,
    words: document.body.innerText.length,
    button: document.getElementById("theme")?.checkVisibility() ?? false,
  };
}

/** What is seen of the theme. */
export function theme() {
  const button = document.getElementById("theme");
  return {
    ground: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
    button: button?.checkVisibility() ? button.textContent.trim() : undefined,
  };
}

/** The page's policy for its content. */
export function policy() {
  return document.querySelector("meta[http-equiv='Content-Security-Policy']")?.content ?? "";
}

/** Before all scripts: notes when the first picture is there to be seen. */
export function noteFirstPicture() {
  const look = () => {
    const all = [...document.querySelectorAll("canvas, svg")];
    if (all.some((one) => one.getBoundingClientRect().width > 0)) {
      requestAnimationFrame(() => requestAnimationFrame(() => (window.firstPicture = performance.now())));
    } else {
      requestAnimationFrame(look);
    }
  };
  requestAnimationFrame(look);
}

/** What the first chart over time shows: its span as the strip below it has it, its cursors, what it reads out; and those
 * of the others, which are on one clock with it. */
export function inview() {
  const figures = [...document.querySelectorAll("figure.time")];
  const figure = figures[0];
  const brush = figure?.querySelector(".brush");
  if (!brush) return undefined;
  const { left, width } = brush.getBoundingClientRect();
  const others = figures.slice(1).map((one) => ({
    width: one.querySelector(".brush").getBoundingClientRect().width,
    cursor: one.querySelector(".rows .u-cursor-x").getBoundingClientRect().left,
  }));
  const cursors = [...figure.querySelectorAll(".rows .u-cursor-x")].filter((one) => !one.closest(".over"));
  return {
    left,
    width,
    others,
    cursors: cursors.map((one) => one.getBoundingClientRect().left),
    said: figure.querySelector(".said")?.textContent ?? "",
  };
}
