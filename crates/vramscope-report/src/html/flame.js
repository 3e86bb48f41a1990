"use strict";
(() => {
  // Flame graphs: a bar is spread over all the width by a click or a key, and bars are found by their names.
  const LEAST = 0.8;
  const CHARACTER = 7.2;
  // What rounding may be off by, of the ten millions that the whole is.
  const SLACK = 3;
  const KEYS = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", Home: "home" };

  const fitted = (text, width) => {
    const room = Math.max(Math.floor((width - 8) / CHARACTER), 0);
    const letters = [...text];
    if (letters.length <= room) return text;
    return room >= 5 ? `${letters.slice(0, room - 1).join("")}…` : "";
  };

  /** The bars of one drawing. */
  const drawing = (svg) => {
    const width = svg.viewBox.baseVal.width;
    const bars = [...svg.querySelectorAll("g[data-row]")].map((element) => ({
      element,
      rect: element.querySelector("rect"),
      text: element.querySelector("text"),
      words: element.querySelector("title").textContent,
      name: element.querySelector("title").textContent.replace(/: [^:]*$/, "").toLowerCase(),
      label: element.dataset.label,
      at: Number(element.dataset.at),
      width: Number(element.dataset.width),
      row: Number(element.dataset.row),
    }));
    const holds = (outer, inner) => outer.at <= inner.at + SLACK && outer.at + outer.width >= inner.at + inner.width - SLACK;
    const shown = (bar) => !bar.element.classList.contains("gone");
    const spread = (zoom) => {
      for (const bar of bars) {
        const above = bar.row < zoom.row;
        const within = above ? holds(bar, zoom) : holds(zoom, bar);
        const from = above ? 0 : ((bar.at - zoom.at) / zoom.width) * width;
        const size = above ? width : (bar.width / zoom.width) * width;
        const seen = within && size >= LEAST;
        bar.element.classList.toggle("gone", !seen);
        if (!seen) continue;
        bar.rect.setAttribute("x", from.toFixed(1));
        bar.rect.setAttribute("width", size.toFixed(1));
        const label = fitted(bar.label, size);
        if (label !== "" && bar.text === null) {
          bar.text = document.createElementNS("http://www.w3.org/2000/svg", "text");
          bar.text.setAttribute("class", "on");
          bar.text.setAttribute("y", (Number(bar.rect.getAttribute("y")) + 13).toFixed(1));
          bar.element.append(bar.text);
        }
        if (bar.text !== null) {
          bar.text.textContent = label;
          bar.text.setAttribute("x", (from + 4).toFixed(1));
        }
      }
    };
    /** The bar to which a key leads. */
    const next = (bar, where) => {
      const place = (one) => Number(one.rect.getAttribute("x"));
      const all = bars.filter(shown);
      const row = (number) => all.filter((one) => one.row === number).sort((a, b) => place(a) - place(b));
      const beside = row(bar.row);
      switch (where) {
        case "up":
          return row(bar.row - 1).find((one) => holds(one, bar));
        case "down":
          return row(bar.row + 1).filter((one) => holds(bar, one)).sort((a, b) => b.width - a.width)[0];
        case "left":
          return beside[beside.indexOf(bar) - 1];
        case "right":
          return beside[beside.indexOf(bar) + 1];
        default:
          return bars[0];
      }
    };
    return { svg, bars, spread, next, holds, here: bars[0], zoom: bars[0] };
  };

  const made = (name, className, text = "") => {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.textContent = text;
    return element;
  };

  const flame = (figure) => {
    const whole = Number(figure.dataset.whole);
    const drawings = [...figure.querySelectorAll("svg")].map(drawing).filter(({ bars }) => bars.length > 0);
    if (drawings.length === 0) return;
    const tools = made("div", "bar");
    const search = made("input");
    search.type = "search";
    search.placeholder = "Find frames";
    search.setAttribute("aria-label", "Find frames by a part of their name");
    const reset = made("button", "", "Show all");
    reset.type = "button";
    tools.append(search, reset);
    const hint = made("p", "hint", "Click a bar to spread it. Keys: arrows go from bar to bar, Enter spreads, Escape shows all.");
    const said = made("p", "said");
    said.setAttribute("role", "status");
    figure.querySelector(".plot").before(tools, hint);
    figure.querySelector(".plot").after(said);
    const say = (text) => {
      if (said.textContent !== text) said.textContent = text;
    };

    const mark = (one, bar) => {
      one.here.element.classList.remove("here");
      one.here = bar;
      bar.element.classList.add("here");
      say(bar.words);
    };
    const spread = (one, bar) => {
      one.zoom = bar;
      one.spread(bar);
      mark(one, bar);
    };
    const all = () => drawings.forEach((one) => spread(one, one.bars[0]));

    for (const one of drawings) {
      const { svg, bars } = one;
      svg.setAttribute("role", "group");
      svg.setAttribute("tabindex", "0");
      const under = (event) => {
        const element = event.target.closest("g[data-row]");
        return bars.find((bar) => bar.element === element);
      };
      svg.addEventListener("click", (event) => {
        const bar = under(event);
        if (bar) spread(one, bar);
      });
      svg.addEventListener("pointermove", (event) => {
        const bar = under(event);
        if (bar) say(bar.words);
      });
      svg.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        if (event.key in KEYS) {
          const bar = one.next(one.here, KEYS[event.key]);
          if (bar) mark(one, bar);
        } else if (event.key === "Enter" || event.key === " ") {
          spread(one, one.here);
        } else if (event.key === "Escape") {
          spread(one, bars[0]);
        } else {
          return;
        }
        event.preventDefault();
      });
    }
    reset.addEventListener("click", () => {
      search.value = "";
      find();
      all();
    });
    const find = () => {
      const wanted = search.value.trim().toLowerCase();
      let told = "";
      for (const { bars, holds } of drawings) {
        const found = wanted === "" ? [] : bars.filter(({ name, row }) => row > 0 && name.includes(wanted));
        bars.forEach((bar) => bar.element.classList.toggle("found", found.includes(bar)));
        // What is within another that was found is counted with it.
        const outer = found.filter((bar) => !found.some((other) => other.row < bar.row && holds(other, bar)));
        const share = outer.reduce((sum, bar) => sum + bar.width, 0) / bars[0].width;
        if (told === "" && wanted !== "") {
          const size = `${(share * whole).toFixed(2)} ${figure.dataset.unit}`;
          told = `${found.length} of the frames drawn have it: together ${size}, ${(share * 100).toFixed(2)} %.`;
        }
      }
      say(told);
    };
    search.addEventListener("input", find);
  };

  document.querySelectorAll("figure.flame").forEach(flame);
})();
