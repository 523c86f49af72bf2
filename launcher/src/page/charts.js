"use strict";
// The values of a chart under the pointer, or at a place that the arrow keys move.
for (const svg of document.querySelectorAll("svg[data-chart]")) {
  const chart = JSON.parse(svg.dataset.chart);
  const [left, top, width, height] = chart.area;
  const cursor = svg.querySelector(".cursor");
  const figure = svg.closest("figure");
  const slots = figure.querySelectorAll(".legend b");
  const spoken = figure.querySelector("output");
  const [from, to] = chart.x_range;
  const places = [...new Set(chart.lines.flatMap((line) => line.x))].sort((a, b) => a - b);
  let place = -1;

  const along = chart.x_is_log
    ? (x) => Math.log(x / from) / Math.log(to / from)
    : (x) => (x - from) / (to - from);
  const across = (x) => left + width * along(x);
  // What has this place: the other way round.
  const at = chart.x_is_log
    ? (part) => from * Math.pow(to / from, part)
    : (part) => from + part * (to - from);
  const part = chart.y_is_log
    ? (y) => Math.log(y / chart.y_range[0]) / Math.log(chart.y_range[1] / chart.y_range[0])
    : (y) => (y - chart.y_range[0]) / (chart.y_range[1] - chart.y_range[0]);
  const down = (y) => top + height * (1 - part(y));
  // The last place of sorted numbers that is at most x, or -1.
  const before = (sorted, x) => {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] <= x) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  const nearest = (x) => {
    const low = Math.max(before(places, x), 0);
    const next = Math.min(low + 1, places.length - 1);
    return x - places[low] > places[next] - x ? next : low;
  };
  const shape = (name, attributes) => {
    const element = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };

  const show = (speak) => {
    const x = places[place];
    const texts = [];
    cursor.replaceChildren(shape("path", { d: `M${across(x)} ${top}v${height}` }));
    chart.lines.forEach((line, number) => {
      const last = x <= line.x[line.x.length - 1] ? before(line.x, x) : -1;
      slots[number].textContent = last < 0 ? "" : line.y[last];
      if (last < 0) return;
      texts.push(`${line.name} ${line.y[last]}`);
      const y = down(Number(line.y[last]));
      if (!Number.isFinite(y)) return;
      const group = shape("g", { class: `r${line.run}` });
      group.append(shape("circle", { cx: across(line.x[last]), cy: y, r: 3.5 }));
      cursor.append(group);
    });
    const isRight = along(x) > 0.5;
    const label = shape("text", { x: across(x), y: top + 2, "text-anchor": isRight ? "end" : "start" });
    label.setAttribute("dx", isRight ? -6 : 6);
    label.setAttribute("dy", 8);
    label.textContent = `${chart.x} ${x}`;
    cursor.append(label);
    if (speak) spoken.textContent = `${chart.x} ${x}: ${texts.join(", ")}`;
  };
  const hide = () => {
    place = -1;
    cursor.replaceChildren();
    for (const slot of slots) slot.textContent = "";
  };

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    place = nearest(at((x - left) / width));
    show(false);
  });
  svg.addEventListener("pointerleave", () => {
    if (document.activeElement !== svg) hide();
  });
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const last = places.length - 1;
    const start = place < 0 ? last + 1 : place;
    const page = Math.max(1, Math.round(places.length / 10));
    const moved = {
      ArrowLeft: start - 1,
      ArrowRight: place < 0 ? 0 : place + 1,
      PageUp: start - page,
      PageDown: place < 0 ? 0 : place + page,
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Escape") hide();
    if (moved === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    place = Math.min(Math.max(moved, 0), last);
    show(true);
  });
}
