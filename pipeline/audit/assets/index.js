// The table of clips: searched, filtered, sorted and paged in memory. CLIPS holds columns (data/clips.js).
const PAGE = 50;
const figures = Object.keys(CLIPS.figures);
const total = CLIPS.source.length;
const pages = new Set(CLIPS.pages);
const pad = (value, width) => String(value).padStart(width, "0");
const clipId = (i) => `${CLIPS.sources[CLIPS.source[i]]}_${pad(CLIPS.first[i], 6)}_${pad(CLIPS.count[i], 4)}`;
const words = (i) => Object.entries(CLIPS.status).map(([stage, s]) => (s.values[i] < 0 ? "" : `${stage} ${s.words[s.values[i]]}`)).filter((w) => w && !w.endsWith(" ok"));
const problems = (i) => CLIPS.problems[i] || [];
const columns = [
  { name: "clip", value: clipId }, { name: "kind", value: (i) => CLIPS.kinds[CLIPS.kind[i]] }, { name: "split", value: (i) => CLIPS.splits[CLIPS.split[i]] },
  { name: "state", value: (i) => CLIPS.states[CLIPS.state[i]] }, { name: "frames", value: (i) => CLIPS.count[i], number: true },
  ...figures.map((name) => ({ name, value: (i) => CLIPS.figures[name][i], number: true })), { name: "problem", value: (i) => problems(i).join("; ") },
];
let found = [], page = 0, pick = 0, order = { column: null, down: false }, texts = null;

const haystack = () => (texts ??= Array.from({ length: total }, (_, i) => `${clipId(i)} ${CLIPS.uris[CLIPS.source[i]]} ${words(i).join(" ")} ${problems(i).join(" ")}`.toLowerCase()));

function select() {
  const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const [state, split, kind] = ["state", "split", "kind"].map((id) => byId(id).value);
  const wrong = byId("wrong").checked, paged = byId("paged").checked;
  found = [];
  for (let i = 0; i < total; i++) {
    if (state !== "" && CLIPS.state[i] !== +state) continue;
    if (split !== "" && CLIPS.split[i] !== +split) continue;
    if (kind !== "" && CLIPS.kind[i] !== +kind) continue;
    if ((wrong && !CLIPS.problems[i]) || (paged && !pages.has(i))) continue;
    if (wanted.length && !wanted.every((word) => haystack()[i].includes(word))) continue;
    found.push(i);
  }
  if (order.column) {
    const { value, number } = order.column, sign = order.down ? -1 : 1;
    const keys = new Map(found.map((i) => [i, value(i)]));
    const compare = (a, b) => {
      const x = keys.get(a), y = keys.get(b);
      if (x === null || y === null) return (x === null) - (y === null); // what has no figure comes last either way
      return sign * (number ? x - y : x < y ? -1 : x > y ? 1 : 0);
    };
    found.sort(compare);
  }
  page = 0; pick = 0; draw();
}

function cell(row, text, kind) {
  const td = row.insertCell();
  td.textContent = text === null ? "" : text;
  if (kind) td.className = kind;
  return td;
}

function draw() {
  const body = document.querySelector("#table tbody");
  body.replaceChildren();
  found.slice(page * PAGE, (page + 1) * PAGE).forEach((i, place) => {
    const row = body.insertRow();
    row.dataset.clip = i;
    if (place === pick) row.className = "pick";
    for (const column of columns) {
      const value = column.value(i);
      const td = cell(row, column.name === "clip" ? "" : value, column.number ? "n" : column.name === "problem" ? "problem" : "");
      if (column.name === "clip") {
        const link = document.createElement("a");
        link.textContent = value; link.className = "id";
        if (pages.has(i)) link.href = `clips/${value}.html`;
        td.append(link);
      }
    }
    row.addEventListener("click", (event) => { pick = place; mark(); if (event.target.tagName !== "A" || !event.target.href) open(); });
  });
  const last = Math.max(1, Math.ceil(found.length / PAGE));
  byId("place").textContent = `${found.length.toLocaleString("en")} of ${total.toLocaleString("en")} clips, page ${page + 1} of ${last}`;
  byId("back").disabled = page === 0;
  byId("forth").disabled = page + 1 >= last;
}

const rows = () => document.querySelectorAll("#table tbody tr");
function mark() {
  rows().forEach((row, place) => (row.className = place === pick ? "pick" : ""));
  rows()[pick]?.scrollIntoView({ block: "nearest" });
}
function step(by) {
  if (pick + by < 0 && page > 0) { page--; pick = PAGE - 1; draw(); }
  else if (pick + by >= rows().length && (page + 1) * PAGE < found.length) { page++; pick = 0; draw(); }
  else pick = Math.max(0, Math.min(rows().length - 1, pick + by));
  mark();
}
function leaf(by) {
  if ((by < 0 && page === 0) || (by > 0 && (page + 1) * PAGE >= found.length)) return;
  page += by; pick = 0; draw();
}

// A clip with a page is opened; of another one the index shows what it knows, and how to make its page.
function open() {
  const i = +rows()[pick].dataset.clip, name = clipId(i);
  if (pages.has(i)) { location.href = `clips/${name}.html`; return; }
  const box = byId("detail");
  box.querySelector("h2").textContent = name;
  const list = document.createElement("dl");
  const facts = [["source", CLIPS.uris[CLIPS.source[i]]], ["statuses", words(i).join(", ") || "ok"], ...columns.slice(1).map((c) => [c.name, c.value(i)])];
  for (const [key, value] of facts) {
    if (value === null || value === "") continue;
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = key; dd.textContent = value; list.append(dt, dd);
  }
  const hint = document.createElement("p");
  hint.textContent = "This clip has no page. This makes one: ";
  const code = document.createElement("code");
  code.textContent = `mikudance audit DATASET -o DIR --clip ${name}`;
  hint.append(code);
  box.querySelector("div").replaceChildren(list, hint);
  box.showModal();
}

function head() {
  const row = document.querySelector("#table thead").insertRow();
  for (const column of columns) {
    const th = document.createElement("th");
    th.textContent = column.name; th.tabIndex = 0; th.scope = "col";
    if (column.number) th.className = "n";
    const sort = () => {
      order = order.column === column ? { column, down: !order.down } : { column, down: !!column.number };
      for (const other of row.cells) other.removeAttribute("aria-sort");
      th.setAttribute("aria-sort", order.down ? "descending" : "ascending");
      select();
    };
    th.addEventListener("click", sort);
    th.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.stopPropagation(); sort(); } });
    row.append(th);
  }
}

for (const [id, names] of [["state", CLIPS.states], ["split", CLIPS.splits], ["kind", CLIPS.kinds]]) {
  names.forEach((name, number) => byId(id).add(new Option(name, number)));
  byId(id).addEventListener("change", select);
}
byId("search").addEventListener("input", select);
byId("wrong").addEventListener("change", select);
byId("paged").addEventListener("change", select);
byId("back").addEventListener("click", () => leaf(-1));
byId("forth").addEventListener("click", () => leaf(1));
byId("figure-search").addEventListener("input", (event) => {
  for (const figure of document.querySelectorAll("[data-figure]")) figure.hidden = !figure.dataset.figure.includes(event.target.value);
});
// Ids in the lists above lead to the clip's page, or to its row.
const numbers = new Map();
for (const link of document.querySelectorAll("a[data-clip]")) {
  if (!numbers.size) for (let i = 0; i < total; i++) numbers.set(clipId(i), i);
  const i = numbers.get(link.dataset.clip);
  if (i === undefined) continue;
  link.href = pages.has(i) ? `clips/${link.dataset.clip}.html` : "#clips";
  if (!pages.has(i)) link.addEventListener("click", () => { byId("search").value = link.dataset.clip; select(); });
}
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && typing(event)) event.target.blur();
  if (typing(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = { "/": () => byId("search").focus(), j: () => step(1), ArrowDown: () => step(1), k: () => step(-1), ArrowUp: () => step(-1), n: () => leaf(1), ArrowRight: () => leaf(1), p: () => leaf(-1), ArrowLeft: () => leaf(-1), Enter: () => event.target === document.body && open() };
  if (!(event.key in keys)) return;
  if (event.key !== "Enter") event.preventDefault();
  keys[event.key]();
});
head();
select();
