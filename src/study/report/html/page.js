// What a click on a number shows: its queries against those of another cell, and two rankings side by side.
// Everything that is shown is in the page's own data, and enters it as text.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dialog = document.getElementById("compared");
  let opener = null;

  // An element: make("p", { class: "x" }, "text", child, …). In SVG when the name is one of its own.
  const drawn = new Set(["svg", "rect", "line", "text"]);
  const make = (name, attributes = {}, ...inside) => {
    const node = drawn.has(name)
      ? document.createElementNS("http://www.w3.org/2000/svg", name)
      : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...inside.filter((x) => x !== null && x !== undefined));
    return node;
  };
  const number = (x, digits) => x.toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−");
  const signed = (x, digits) => {
    const text = number(x, digits);
    return text.startsWith("−") ? text : `+${text}`;
  };
  const named = (table, row, column) => (table.one ? table.rows[row] : `${table.rows[row]}, ${table.columns[column]}`);

  // All differences, best first, as bars around zero.
  const shape = (cell) => {
    const [width, height] = [560, 110];
    const most = Math.max(...cell.shape.map(Math.abs)) || 1;
    const step = width / cell.shape.length;
    const zero = height / 2;
    const svg = make("svg", {
      class: "chart shape", viewBox: `0 0 ${width} ${height}`, role: "img",
      "aria-label": `Differences of queries from ${signed(most, 2)} to ${signed(-most, 2)}, sorted`,
    });
    cell.shape.forEach((d, i) => {
      const size = (Math.abs(d) / most) * (zero - 4);
      svg.append(make("rect", {
        class: d > 0 ? "up" : "down", x: (i * step).toFixed(1), width: Math.max(step - 0.6, 0.6).toFixed(1),
        y: (d > 0 ? zero - size : zero).toFixed(1), height: size.toFixed(1),
      }));
    });
    svg.append(make("line", { class: "zero", x1: 0, x2: width, y1: zero, y2: zero }));
    svg.append(make("text", { class: "tick", x: width, y: 12, "text-anchor": "end" }, `±${number(most, 2)}`));
    return svg;
  };

  // The words of a text, those of the query marked.
  const marked = (text, query) => {
    const wanted = new Set((query.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) || []));
    const out = make("span", { class: "passage" });
    for (const piece of text.split(/([\p{L}\p{N}]+)/u)) {
      out.append(wanted.has(piece.toLowerCase()) ? make("mark", {}, piece) : piece);
    }
    return out;
  };

  const ranking = (title, list, other, query) => {
    const places = new Map(other.hits.map((hit, i) => [hit[0], i + 1]));
    const items = list.hits.map(([document, score, grade], i) => {
      const [id, text] = data.documents[document];
      const before = places.get(document);
      const moved = before === undefined ? "not in the other’s first 10" : before === i + 1 ? "same rank" : `rank ${before} there`;
      return make("li", { class: grade > 0 ? "relevant" : grade === null ? "unjudged" : "judged" },
        make("p", { class: "hit" },
          make("b", {}, `${i + 1}`), " ",
          grade > 0 ? make("span", { class: "grade" }, `✓ relevant${grade > 1 ? ` (${grade})` : ""} `) : null,
          make("code", {}, id), " ",
          make("small", {}, `${score} · ${moved}`)),
        text === null ? null : marked(text, query));
    });
    return make("section", {},
      make("h4", {}, title),
      make("p", { class: "hint" }, "first ", `${list.hits.length}`, ` of ${list.of}, `, make("code", {}, list.run)),
      make("ol", { class: "ranking" }, ...items));
  };

  const rankings = (names, query, at) => {
    const text = query[2] || query[1];
    const [a, b] = at.map((i) => data.rankings[i]);
    return make("div", { class: "rankings" }, ranking(names[1], b, a, text), ranking(names[0], a, b, text));
  };

  const queries = (table, names, cell) => {
    const body = make("tbody");
    const most = Math.max(...cell.queries.map((q) => Math.abs(q[2] - q[1]))) || 1;
    for (const [at, base, own, ...lists] of cell.queries) {
      const query = data.queries[at];
      const opens = lists.length === 2;
      const text = make("span", {}, query[2] || query[1]);
      const where = data.collections.length > 1 ? `${data.collections[query[0]]}, ${query[1]}` : query[1];
      const label = opens ? make("button", { type: "button", "aria-expanded": "false" }, text) : text;
      const d = own - base;
      const bar = make("i", { class: d > 0 ? "up" : "down", style: `width:${(Math.abs(d) / most) * 100}%` });
      body.append(make("tr", {},
        make("td", { class: "query" }, label, make("small", {}, ` ${where}`)),
        make("td", {}, number(own, table.digits)),
        make("td", {}, number(base, table.digits)),
        make("td", { class: d > 0 ? "up" : "down" }, signed(d, table.digits)),
        make("td", { class: "meter" }, bar)));
      if (!opens) continue;
      const row = make("tr", { hidden: "", class: "opened" });
      body.append(row);
      label.addEventListener("click", () => {
        if (!row.firstChild) row.append(make("td", { colspan: 5 }, rankings(names, query, lists)));
        row.hidden = !row.hidden;
        label.setAttribute("aria-expanded", String(!row.hidden));
      });
    }
    return make("div", { class: "scroll" }, make("table", { class: "list numbers queries" },
      make("thead", {}, make("tr", {},
        make("th", { scope: "col" }, "query"), make("th", { scope: "col" }, names[1]),
        make("th", { scope: "col" }, names[0]), make("th", { scope: "col", colspan: 2 }, "difference"))),
      body));
  };

  const show = (key) => {
    const cell = data.cells[key];
    if (!cell) return;
    const [number_, row, column] = key.split("-").map(Number);
    const table = data.tables[number_];
    const names = [named(table, ...cell.with), named(table, row, column)];
    const [wins, ties, losses] = cell.counts;
    const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => dialog.close());
    const some = cell.queries.length;
    dialog.replaceChildren(
      close,
      make("h3", { id: "compared-title" }, names[1], make("small", {}, " against "), names[0]),
      make("p", {}, table.title),
      make("p", { class: "counts" },
        make("span", { class: "up" }, `${wins} better`), ` · ${ties} equal · `,
        make("span", { class: "down" }, `${losses} worse`),
        ` · ${cell.test || `mean difference ${signed(cell.mean, table.digits)}, ${wins + ties + losses} queries`}`),
      shape(cell),
      some ? make("p", { class: "hint" }, "The most different queries; open one to see what both ranked first.") : make("p", {}, "No query differs."),
      some ? queries(table, names, cell) : null);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    close.focus();
  };

  for (const button of document.querySelectorAll("button[data-cell]")) {
    button.addEventListener("click", () => {
      opener = button;
      history.replaceState(null, "", `#cell-${button.dataset.cell}`);
      show(button.dataset.cell);
    });
  }
  // A click beside the dialog closes it, as Escape does.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    history.replaceState(null, "", location.pathname + location.search);
    if (opener) opener.focus();
  });
  // An address with a cell opens it.
  const linked = /^#cell-(\d+-\d+-\d+)$/.exec(location.hash);
  if (linked) {
    opener = document.querySelector(`button[data-cell="${linked[1]}"]`);
    show(linked[1]);
  }
  // On paper everything stands open.
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("main details")) part.open = true;
  });
})();
