"use strict";
(() => {
  // Memory over time, to look around in. Without this script the still picture stays.
  const NS = 1e9;
  const GIB = 2 ** 30;
  const { colour, element, digits, paintersOf } = timePaint;
  const { rowsOf, spansOf, openOf, pointsOf, valuesOf, topsOf } = timeData;

  // A temperature's zero says nothing.
  const tens = (low, high) => [Math.floor((low - 2) / 10) * 10, Math.ceil((high + 2) / 10) * 10];
  // The next round figure above.
  const round = (high) => {
    const power = 10 ** Math.floor(Math.log10(high || 1));
    return [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((end) => end >= high) ?? high;
  };

  const ROWS = [
    ["Power", "W", [[1, "", "--c5"]], null],
    ["Temperature", "°C", [[2, "", "--c2"]], null],
    ["Utilisation", "%", [[3, "kernels", "--c1"], [4, "memory traffic", "--c3"]], 100],
    ["Clocks", "MHz", [[5, "shaders", "--c4"], [6, "memory", "--c6"]], null],
  ];
  const ENGINE = [
    ["KV cache in use", "%", [[2, "", "--c2"]], 100],
    ["Requests", "", [[0, "running", "--c1"], [1, "waiting", "--c5"]], null],
  ];

  // Charts on one clock: what is shown and pointed at in one is so in all.
  const together = [];

  const begin = (figure) => {
    const data = JSON.parse(figure.querySelector("script").textContent);
    const live = figure.querySelector(".live");
    const rows = rowsOf(data.times);
    const engineRows = data.engine ? rowsOf(data.engine.times) : [];
    if (rows.length < 2) return;
    const [begins, ends] = data.clock ?? [rows[0][0], rows[rows.length - 1][1]];
    const whole = { min: begins / NS, max: Math.max(ends / NS, begins / NS + 1e-3) };
    let view = { ...whole };
    let cursor = null;
    let charts = [];
    let overview = null;
    let brush = null;
    let track = data.tracks[0];
    let width = 0;
    let waiting = false;

    const bar = element("div", "bar");
    const button = (text, label, act) => {
      const made = element("button", "", text);
      made.type = "button";
      made.setAttribute("aria-label", label);
      made.addEventListener("click", act);
      bar.append(made);
    };
    if (data.tracks.length > 1) {
      const label = element("label", "", "Show ");
      const choice = element("select");
      data.tracks.forEach((one, place) => choice.append(new Option(one.name, String(place))));
      choice.addEventListener("change", () => {
        track = data.tracks[Number(choice.value)];
        build();
      });
      label.append(choice);
      bar.append(label);
    }
    button("+", "Zoom in", () => zoom(0.5));
    button("−", "Zoom out", () => zoom(2));
    button("←", "Earlier", () => pan(-0.4));
    button("→", "Later", () => pan(0.4));
    button("Reset", "Reset: show all of the time", () => show(whole.min, whole.max));
    const hint = element("p", "hint", "Drag to zoom, Shift and drag to move, drag the strip below to choose a span. With keys: arrows move the cursor, + and − zoom, Page Up and Page Down move, Home shows all.");
    const said = element("p", "said");
    const aloud = element("p", "unseen");
    aloud.setAttribute("aria-live", "polite");
    const key = element("ul", "key");
    const stage = element("div", "rows");
    stage.tabIndex = 0;
    stage.setAttribute("role", "application");
    stage.setAttribute("aria-label", "Memory over time. Arrow keys move the cursor and read out what is there; plus and minus zoom; Home shows all.");
    live.append(bar, hint, key, said, stage, aloud);

    const gapsOf = () => data.gaps.filter((gap) => track.place === 0 || gap[2] === 0 || gap[2] === track.place);
    const axisSize = () => (width < 500 ? 46 : 62);

    const { bands, over } = paintersOf(data);

    // Low rows have their ends written beside them, and nothing between.
    const axes = (last, named, y) => [
      { show: last, stroke: () => colour("--soft"), grid: { show: false }, ticks: { stroke: () => colour("--line"), size: 4 }, size: 34, font: "12px system-ui,sans-serif", space: 60, values: (u, all) => all.map((value) => `${digits(value)} s`) },
      { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, size: axisSize(), gap: 5, font: "12px system-ui,sans-serif", space: named ? 36 : 26, ...(named ? {} : { splits: () => y }), values: (u, all) => all.map((value) => (value === null ? "" : digits(value))) },
    ];
    const chart = (holder, height, top, series, values, y, last, named) => {
      const made = new uPlot(
        {
          width,
          height,
          padding: [named ? 24 : 6, 10, last ? null : 4, 0],
          legend: { show: false },
          cursor: { x: true, y: false, points: { show: false }, drag: { x: true, y: false, setScale: false }, focus: { prox: -1 } },
          scales: { x: { time: false, range: () => [view.min, view.max] }, y: { range: () => y } },
          axes: axes(last, named, y),
          series: [{}, ...series],
          hooks: {
            drawClear: [(u) => bands(u, named)],
            draw: [(u) => named && over(u)],
            setCursor: [(u) => follow(u)],
            setSelect: [(u) => selected(u)],
          },
        },
        values,
        holder,
      );
      made.over.addEventListener("mousedown", (event) => event.shiftKey && event.button === 0 && drag(event, made), true);
      made.over.addEventListener("wheel", (event) => wheel(event, made), { passive: false });
      made.over.addEventListener("dblclick", () => show(whole.min, whole.max));
      return made;
    };

    // Lines of one pixel are by far the cheapest to draw.
    const line = (name) => ({ stroke: () => colour(name), width: 1 / devicePixelRatio, points: { show: false } });
    const surface = (name) => ({ fill: () => colour(name), width: 0, points: { show: false } });

    // What stands at the cursor.
    let reading = { points: [], memory: [], tops: [], rows: [] };

    const build = () => {
      charts.forEach((one) => one.destroy());
      overview?.destroy();
      charts = [];
      stage.replaceChildren();
      key.replaceChildren();
      const gaps = gapsOf();
      const spans = track.columns.map((column, place) => spansOf(column, place === 0 ? 1 : data.perUnit[place]));
      const points = pointsOf(rows, gaps, openOf(data, track, spans[0]));
      const x = points.map(([at]) => at / NS);
      const memory = spans[0] ? valuesOf(points, spans[0]) : points.map(() => undefined);
      const stack = track.stack;
      const tops = stack.parts.map(() => memory.map((value) => value));
      memory.forEach((value, place) => {
        if (typeof value === "number") topsOf(stack, points[place][0], value, tops, place);
      });
      const measured = memory.map((value) => (typeof value === "number" ? value / GIB : value));
      let most = 0;
      for (const value of measured) if (value > most) most = value;
      const capacity = track.capacity && most > (track.capacity / GIB) * 0.4 ? track.capacity / GIB : 0;
      reading = { x, memory: measured, tops, names: stack.parts.map((part) => part[0]), rows: [] };

      // Of several GPUs together, a name says how they are.
      const called = (name, column) => (track.how[column] ? `${name} (${track.how[column]})` : name);
      const shown = ROWS.map(([name, unit, lines, top]) => [called(name, lines[0][0]), unit, lines.filter(([column]) => spans[column]), top, points, x, spans]);
      if (data.engine) {
        const engineSpans = data.engine.columns.map((column) => spansOf(column, 10));
        const enginePoints = pointsOf(engineRows, data.engine.gaps);
        const engineX = enginePoints.map(([at]) => at / NS);
        for (const [name, unit, lines, top] of ENGINE) {
          shown.push([name, unit, lines.filter(([column]) => engineSpans[column]), top, enginePoints, engineX, engineSpans]);
        }
      }
      const kept = shown.filter(([, , lines]) => lines.length > 0 && !data.clock);

      const title = (name, lines) => {
        const made = element("p", "name");
        made.append(element("strong", "", name));
        for (const [, words, tint] of lines) {
          if (!words) continue;
          const one = element("span");
          const swatch = element("span", "swatch");
          swatch.style.background = `var(${tint})`;
          one.append(swatch, words);
          made.append(one);
        }
        stage.append(made);
        const holder = element("div", "row");
        stage.append(holder);
        return holder;
      };

      // From the top down, each to the floor: what is below covers what is above.
      const order = stack.parts.map((part, place) => place).reverse();
      const series = [surface(`--c${stack.rest[1]}`), ...order.map((place) => surface(`--c${stack.parts[place][1]}`)), { stroke: () => colour("--ink"), width: 1 / devicePixelRatio, points: { show: false } }];
      const values = [x, measured, ...order.map((place) => tops[place]), measured];
      const high = Math.max(most, capacity) * 1.04 || 1;
      const height = Math.max(200, Math.min(300, width * 0.45));
      const main = chart(title("Memory in use, GiB", []), height, 24, series, values, [0, high], kept.length === 0, true);
      main.capacity = capacity;
      main.peak = track.peak;
      charts.push(main);
      kept.forEach(([name, unit, lines, top, own, ownX, ownSpans], place) => {
        const last = place === kept.length - 1;
        const all = lines.map(([column]) => valuesOf(own, ownSpans[column]));
        let largest = 0;
        for (const one of all) for (const value of one) if (value > largest) largest = value;
        let smallest = largest;
        if (unit === "°C") for (const one of all) for (const value of one) if (value < smallest && value !== null) smallest = value;
        const range = unit === "°C" ? tens(smallest, largest) : [0, Math.max(top ?? 0, round(largest)) || 1];
        const holder = title(unit ? `${name}, ${unit}` : name, lines);
        charts.push(chart(holder, last ? 104 : 70, 4, lines.map(([, , tint]) => line(tint)), [ownX, ...all], range, last, false));
        lines.forEach(([, words], one) => {
          const said = !words ? name : name.endsWith(")") ? `${name.slice(0, -1)}, ${words})` : `${name} (${words})`;
          reading.rows.push([said, unit, ownX, all[one]]);
        });
      });

      const entry = (name, tint) => {
        const one = element("li");
        const swatch = element("span", "swatch");
        swatch.style.background = `var(${tint})`;
        one.append(swatch, name);
        key.append(one);
      };
      stack.parts.forEach((part) => entry(part[0], `--c${part[1]}`));
      entry(stack.rest[0], `--c${stack.rest[1]}`);
      if (track.peak) {
        const one = element("li");
        one.append(element("span", "dot", "●"), ` peak ${(track.peak[1] / GIB).toFixed(2)} GiB at ${digits(track.peak[0] / NS)} s`);
        key.append(one);
      }
      if (data.events.length) key.append(element("li", "faint", `▼ marks: point at one to read what it is${data.clock ? "" : "; all are in the table below"}`));
      if (capacity) key.append(element("li", "faint", `dashed: all there is, ${digits(capacity)} GiB`));

      const strip = element("div", "row over");
      stage.append(element("p", "name", "All of the time: drag to choose a span"), strip);
      overview = new uPlot(
        {
          width,
          height: 46,
          padding: [4, 10, 2, 0],
          legend: { show: false },
          cursor: { show: false },
          scales: { x: { time: false, range: () => [whole.min, whole.max] }, y: { range: () => [0, high] } },
          axes: [{ show: false }, { size: axisSize(), grid: { show: false }, ticks: { show: false }, values: () => [], stroke: () => colour("--soft") }],
          series: [{}, surface("--c9"), { stroke: () => colour("--ink"), width: 1, points: { show: false } }],
          hooks: { drawClear: [(u) => bands(u, false)] },
        },
        [x, measured, measured],
        strip,
      );
      brush = element("div", "brush");
      overview.over.append(brush);
      overview.over.addEventListener("pointerdown", choose);
      place();
      tell(false);
    };

    const place = () => {
      if (!overview) return;
      const share = (value) => ((value - whole.min) / (whole.max - whole.min)) * 100;
      brush.style.left = `${share(view.min)}%`;
      brush.style.width = `${share(view.max) - share(view.min)}%`;
    };
    const least = Math.max((whole.max - whole.min) / 1e5, 1e-3);
    const others = (act) => data.clock && together.filter((one) => one.stage !== stage).forEach(act);
    const show = (min, max, alone) => {
      if (!alone) others((one) => one.show(min, max, true));
      const all = whole.max - whole.min;
      const span = Math.min(all, Math.max(Math.min(least, all), max - min));
      const from = Math.min(Math.max(whole.min, min), whole.max - span);
      view = { min: from, max: from + span };
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        charts.forEach((one) => one.batch(() => one.setScale("x", view)));
        place();
        if (cursor !== null) point(cursor);
      });
    };
    const zoom = (factor, around) => {
      const middle = around ?? (cursor !== null && cursor >= view.min && cursor <= view.max ? cursor : (view.min + view.max) / 2);
      const span = (view.max - view.min) * factor;
      const share = (middle - view.min) / (view.max - view.min);
      show(middle - span * share, middle + span * (1 - share));
    };
    const pan = (share) => {
      const step = (view.max - view.min) * share;
      show(view.min + step, view.max + step);
    };
    const wheel = (event, u) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : event.shiftKey ? event.deltaY : 0;
      if (event.ctrlKey) {
        event.preventDefault();
        zoom(event.deltaY > 0 ? 1.25 : 0.8, u.posToVal(u.cursor.left, "x"));
      } else if (sideways !== 0) {
        event.preventDefault();
        pan(sideways / 800);
      }
    };
    const drag = (event, u) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      const from = event.clientX;
      const start = { ...view };
      const scale = (start.max - start.min) / u.over.clientWidth;
      const move = (moved) => show(start.min - (moved.clientX - from) * scale, start.max - (moved.clientX - from) * scale);
      const end = () => {
        removeEventListener("mousemove", move);
        removeEventListener("mouseup", end);
      };
      addEventListener("mousemove", move);
      addEventListener("mouseup", end);
    };
    const selected = (u) => {
      const { left, width: wide } = u.select;
      if (wide < 4) return;
      const [min, max] = [u.posToVal(left, "x"), u.posToVal(left + wide, "x")];
      u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      show(min, max);
    };
    // The strip: its window moves by its middle, grows by its ends, and begins anew elsewhere.
    const choose = (event) => {
      event.preventDefault();
      const box = overview.over.getBoundingClientRect();
      const value = (at) => whole.min + ((at - box.left) / box.width) * (whole.max - whole.min);
      const pixel = (at) => ((at - whole.min) / (whole.max - whole.min)) * box.width + box.left;
      const start = { ...view };
      const from = event.clientX;
      const near = (at) => Math.abs(pixel(at) - from) < 8;
      const all = view.max - view.min >= (whole.max - whole.min) * 0.999;
      const inside = !all && value(from) > view.min && value(from) < view.max;
      let moved = false;
      const move = (to) => {
        if (!moved && Math.abs(to.clientX - from) < 3) return;
        moved = true;
        const shift = value(to.clientX) - value(from);
        if (near(start.max) && !all) show(Math.min(start.min, value(to.clientX)), Math.max(start.min, value(to.clientX)));
        else if (near(start.min) && !all) show(Math.min(start.max, value(to.clientX)), Math.max(start.max, value(to.clientX)));
        else if (inside) show(start.min + shift, start.max + shift);
        else show(Math.min(value(from), value(to.clientX)), Math.max(value(from), value(to.clientX)));
      };
      const end = () => {
        removeEventListener("pointermove", move);
        removeEventListener("pointerup", end);
        removeEventListener("pointercancel", end);
        if (!moved && !all) {
          const half = (start.max - start.min) / 2;
          show(value(from) - half, value(from) + half);
        }
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", end);
      addEventListener("pointercancel", end);
    };

    // One cursor for all rows.
    let following = false;
    const follow = (u) => {
      if (following || u.cursor.left === undefined) return;
      if (u.cursor.left < 0) {
        // The mouse left this row: its cursor stays where those of the others are.
        if (cursor !== null && cursor >= view.min && cursor <= view.max) queueMicrotask(() => point(cursor));
        return;
      }
      point(u.posToVal(u.cursor.left, "x"), u);
      tell(false);
    };
    const point = (at, from, alone) => {
      cursor = at;
      if (!alone) others((one) => one.point(at));
      following = true;
      for (const one of charts) {
        if (one === from) continue;
        const left = one.valToPos(at, "x");
        one.setCursor({ left: left < 0 || left > one.over.clientWidth ? -10 : left, top: 5 });
      }
      // uPlot calls its hooks in a microtask of its own.
      queueMicrotask(() => queueMicrotask(() => (following = false)));
    };
    const nearest = (x, at, values) => {
      let low = 0;
      let high = x.length - 1;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (x[middle] < at) low = middle + 1;
        else high = middle;
      }
      if (low > 0 && at - x[low - 1] < x[low] - at) low -= 1;
      return typeof values[low] === "number" ? low : values[low] === undefined && typeof values[low - 1] === "number" ? low - 1 : -1;
    };
    let later = 0;
    const tell = (loud) => {
      if (cursor === null) {
        said.textContent = "Point at the chart, or focus it and press an arrow key, to read what is there.";
        return;
      }
      const at = cursor;
      const words = [`${at.toFixed(view.max - view.min < 10 ? 3 : 2)} s`];
      const phase = data.phases.find(([, start, end]) => at * NS >= start && at * NS < end);
      if (phase) words.push(`phase ${phase[0]}`);
      const gap = gapsOf().find(([start, end]) => at * NS > start && at * NS < end);
      const here = nearest(reading.x, at, reading.memory);
      if (gap) words.push(`nothing was read here (${gap[3]})`);
      else if (here >= 0) {
        let below = 0;
        const parts = [];
        reading.tops.forEach((tops, part) => {
          if (tops[here] - below > 0.005) parts.push(`${reading.names[part]} ${digits(tops[here] - below)}`);
          below = tops[here];
        });
        const rest = reading.memory[here] - below;
        if (reading.names.length && rest > 0.005) parts.push(`${track.stack.rest[0]} ${digits(rest)}`);
        words.push(`memory in use ${digits(reading.memory[here])} GiB${parts.length ? ` = ${parts.join(" + ")}` : ""}`);
      } else if (track.place === 0 && data.several) words.push("the total is not known: not all GPUs were read here");
      for (const [name, unit, x, values] of reading.rows) {
        const place = nearest(x, at, values);
        if (place >= 0 && !(gap && x === reading.x)) words.push(`${name.toLowerCase().replace("kv", "KV")} ${digits(values[place])}${unit ? ` ${unit}` : ""}`);
      }
      const close = ((view.max - view.min) / Math.max(1, width)) * 7;
      for (const [when, label, text] of data.events.filter(([when]) => Math.abs(when / NS - at) <= close).slice(0, 3)) {
        words.push(`mark at ${digits(when / NS)} s: ${label}${text ? ` – ${text}` : ""}`);
      }
      said.textContent = words.join("; ");
      if (loud) {
        clearTimeout(later);
        later = setTimeout(() => (aloud.textContent = said.textContent), 250);
      }
    };
    stage.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const step = ((view.max - view.min) / Math.max(1, width)) * (event.shiftKey ? 20 : 4);
      const go = (by) => {
        const start = cursor === null || cursor < view.min || cursor > view.max ? (view.min + view.max) / 2 : cursor + by;
        const to = Math.min(whole.max, Math.max(whole.min, start));
        cursor = to;
        if (to < view.min) show(to, to + view.max - view.min);
        else if (to > view.max) show(to - (view.max - view.min), to);
        point(to);
        tell(true);
      };
      const acts = {
        ArrowLeft: () => go(-step),
        ArrowRight: () => go(step),
        "+": () => zoom(0.5),
        "=": () => zoom(0.5),
        "-": () => zoom(2),
        PageUp: () => pan(-0.8),
        PageDown: () => pan(0.8),
        Home: () => show(whole.min, whole.max),
      };
      const act = acts[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });

    document.addEventListener("themechange", () => {
      charts.forEach((one) => one.redraw(false));
      overview?.redraw(false);
    });
    const resize = () => {
      const wide = Math.floor(stage.clientWidth);
      if (wide === 0 || wide === width) return;
      width = wide;
      build();
    };
    if (data.clock) {
      const follows = (at) => {
        point(at, undefined, true);
        tell(false);
      };
      together.push({ stage, show, point: follows });
    }
    figure.classList.add("has-live");
    new ResizeObserver(() => requestAnimationFrame(resize)).observe(live);
    resize();
  };

  document.querySelectorAll("figure.time").forEach(begin);
})();
