"use strict";
// What stands behind and above the lines of memory over time: phases, marks of events, and all there is.
const timePaint = (() => {
  const NS = 1e9;
  const GIB = 2 ** 30;
  const root = document.documentElement;
  // Colours of the theme, asked for once: asking makes the browser lay the page out.
  let colours = new Map();
  document.addEventListener("themechange", () => (colours = new Map()));
  const colour = (name) => {
    if (!colours.has(name)) colours.set(name, getComputedStyle(root).getPropertyValue(name).trim());
    return colours.get(name);
  };
  const element = (tag, name, text) => {
    const made = document.createElement(tag);
    if (name) made.className = name;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const digits = (value) => {
    const size = Math.abs(value);
    const places = size >= 1000 || value === 0 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 4;
    return String(Number(value.toFixed(places)));
  };

  const paintersOf = (data) => {
    const bands = (u, named) => {
      const { ctx } = u;
      const { left, top, width: wide, height } = u.bbox;
      const ratio = devicePixelRatio;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, 0, wide, top + height);
      ctx.clip();
      ctx.font = `${12 * ratio}px system-ui,sans-serif`;
      ctx.textAlign = "center";
      data.phases.forEach(([name, start, end], place) => {
        const from = Math.max(left, u.valToPos(start / NS, "x", true));
        const to = Math.min(left + wide, u.valToPos(end / NS, "x", true));
        if (to - from < 0.5) return;
        if (place % 2 === 0) {
          ctx.fillStyle = colour("--raised");
          ctx.fillRect(from, top, to - from, height);
        }
        if (named && ctx.measureText(name).width + 6 * ratio < to - from) {
          ctx.fillStyle = colour("--soft");
          ctx.fillText(name, (from + to) / 2, top - 8 * ratio);
        }
      });
      ctx.restore();
    };
    const over = (u) => {
      const { ctx } = u;
      const { left, top, width: wide, height } = u.bbox;
      const ratio = devicePixelRatio;
      ctx.save();
      ctx.beginPath();
      ctx.rect(left, 0, wide, top + height);
      ctx.clip();
      ctx.fillStyle = colour("--ink");
      for (const [at] of data.events) {
        const x = u.valToPos(at / NS, "x", true);
        ctx.beginPath();
        ctx.moveTo(x - 4 * ratio, top - 5 * ratio);
        ctx.lineTo(x + 4 * ratio, top - 5 * ratio);
        ctx.lineTo(x, top + 4 * ratio);
        ctx.fill();
      }
      if (u.peak) {
        const [at, bytes] = u.peak;
        const x = u.valToPos(at / NS, "x", true);
        const y = u.valToPos(bytes / GIB, "y", true);
        if (x >= left && x <= left + wide) {
          const words = `peak ${(bytes / GIB).toFixed(2)} GiB`;
          ctx.font = `600 ${12 * ratio}px system-ui,sans-serif`;
          ctx.textAlign = x > left + wide / 2 ? "right" : "left";
          ctx.lineWidth = 3 * ratio;
          ctx.lineJoin = "round";
          ctx.strokeStyle = colour("--page");
          const beside = x + (x > left + wide / 2 ? -9 : 9) * ratio;
          // Below the peak where a rule or the marks are right above it.
          const near = (rule) => rule <= y + 4 * ratio && y - rule < 26 * ratio;
          const below = near(top) || (u.capacity > 0 && near(u.valToPos(u.capacity, "y", true)));
          const line = y + (below ? 18 : -6) * ratio;
          ctx.strokeText(words, beside, line);
          ctx.fillText(words, beside, line);
          ctx.fillStyle = colour("--bad");
          ctx.beginPath();
          ctx.arc(x, y, 4.5 * ratio, 0, 2 * Math.PI);
          ctx.fill();
        }
      }
      if (u.capacity) {
        const y = u.valToPos(u.capacity, "y", true);
        ctx.strokeStyle = colour("--soft");
        ctx.setLineDash([4 * ratio, 3 * ratio]);
        ctx.lineWidth = ratio;
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(left + wide, y);
        ctx.stroke();
      }
      ctx.restore();
    };
    return { bands, over };
  };
  return { colour, element, digits, paintersOf };
})();
