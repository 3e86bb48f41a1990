"use strict";
// Reads the data of memory over time, in the form that the module `time::data` describes.
const timeData = (() => {
  const GIB = 2 ** 30;
  // Integers of any size that a float holds: seven bits a byte, lowest first.
  const integers = (text) => {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const out = [];
    let value = 0;
    let factor = 1;
    for (const byte of bytes) {
      value += (byte & 127) * factor;
      factor *= 128;
      if (byte < 128) {
        out.push(value);
        value = 0;
        factor = 1;
      }
    }
    return out;
  };
  const rowsOf = (text) => {
    const steps = integers(text);
    const rows = [];
    let at = 0;
    for (let i = 0; i < steps.length; i += 2) {
      const first = at + steps[i];
      at = first + steps[i + 1];
      rows.push([first, at]);
    }
    return rows;
  };
  // Pairs of what came first and what came last in each row; nothing where there is nothing.
  const spansOf = (column, scale) => {
    if (!column) return null;
    const [unit, text] = column;
    const codes = integers(text);
    const spans = [];
    let before = 0;
    for (let i = 0; i < codes.length; i++) {
      if (codes[i] === 0) {
        spans.push(undefined);
        continue;
      }
      const zigzag = codes[i] - 1;
      before += (zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2) * unit;
      const rise = codes[++i];
      const min = before / scale;
      const max = (before + Math.floor(rise / 2) * unit) / scale;
      spans.push(rise % 2 ? [max, min] : [min, max]);
    }
    return spans;
  };
  // What a row says of a track's lines, by the same rule as that of the still picture: 0 where they are open, 1 where they
  // are open somewhere within, so that the row stands alone, and 2 where they are not.
  const openOf = (data, track, memory) => {
    if (!data.several) return () => 2;
    if (track.place > 0) return (row) => (data.shared && memory && !memory[row] ? 0 : 2);
    const mixed = new Set(data.mixed);
    return (row) => (mixed.has(row) ? 1 : memory && memory[row] ? 2 : 0);
  };
  // Points of rows, of one instant or two, with a break within each gap and where lines are open.
  const pointsOf = (rows, gaps, known = () => 2) => {
    const points = [];
    // One instant alone has a length at which it is seen.
    const least = (rows[rows.length - 1][1] - rows[0][0]) / 1000;
    const edge = (row) => row < 0 || row >= rows.length || known(row) < 2;
    const next = (row) => (row + 1 < rows.length ? (rows[row][0] + rows[row + 1][0]) / 2 : rows[row][1]);
    rows.forEach(([first, last], row) => {
      const how = known(row);
      if (how < 2) points.push([first, -1, 0]);
      if (how === 0) return;
      points.push([first, row, 0]);
      if (last > first) points.push([last, row, 1]);
      else if (how < 2 || (edge(row - 1) && edge(row + 1))) points.push([Math.min(first + least, next(row)), row, 1]);
      if (how === 1) points.push([points[points.length - 1][0], -1, 0]);
    });
    if (gaps.length === 0) return points;
    const all = points.concat(gaps.map(([start, end]) => [start + (end - start) / 2, -1, 0]));
    return all.sort((a, b) => a[0] - b[0]);
  };
  const valuesOf = (points, spans) => points.map(([, row, end]) => (row < 0 ? null : spans[row] && spans[row][end]));

  // How far each part reaches: the same rule as that of the still picture.
  const topsOf = (stack, at, measured, tops, place) => {
    const ending = stack.until !== null && at >= stack.until && measured + stack.slack < stack.whole;
    let top = 0;
    let waits = false;
    stack.parts.forEach(([name, , bytes, from, grows], part) => {
      const room = Math.max(0, measured - top);
      const due = at >= from && (!ending || name === stack.stays);
      if (due && !grows && room + stack.slack < bytes) waits = true;
      if (due && !waits) top += Math.min(bytes, room);
      tops[part][place] = top / GIB;
    });
  };
  return { rowsOf, spansOf, openOf, pointsOf, valuesOf, topsOf };
})();
