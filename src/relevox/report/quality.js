"use strict";
// The page of preprocessing quality: one scan at a time, by keyboard. Text goes in by textContent only.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const store = "relevox-quality-" + data.key;
const decisions = {};
let order = [], here = 0;

for (const scan of data.scans) if (scan.decision) decisions[scan.key] = { decision: scan.decision, note: scan.note };
try { Object.assign(decisions, JSON.parse(localStorage.getItem(store) || "{}")); } catch (error) { /* no storage */ }

function remember() {
  try { localStorage.setItem(store, JSON.stringify(decisions)); } catch (error) { /* kept until the page is closed */ }
}

function add(parent, tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}

const verdict = (scan) => (decisions[scan.key] || {}).decision || "";
const weight = (scan) => (scan.status === "failed" ? 1000 : 0) + scan.flags.length;
const number = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(4)).toString());

function sort() {
  const by = at("order").value, current = order[here];
  const rank = {
    id: () => 0,
    flags: (scan) => -weight(scan),
    undecided: (scan) => (verdict(scan) ? 1 : 0),
  }[by] || ((scan) => (scan.measures[by] === undefined || scan.measures[by] === null ? Infinity : scan.measures[by]));
  const ranked = data.scans.map((scan, n) => [rank(scan), n, scan]);
  ranked.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1]));
  order = ranked.map((entry) => entry[2]);
  here = Math.max(0, order.indexOf(current));
  list();
}

function list() {
  at("list").replaceChildren();
  order.forEach((scan, n) => {
    const row = add(at("list"), "li");
    const mine = verdict(scan);
    add(row, "span", { pass: "✓", fail: "✗" }[mine] || "·", "mark " + mine);
    add(row, "span", scan.key);
    const count = scan.status === "failed" ? "failed" : scan.flags.length ? String(scan.flags.length) : "";
    if (count) add(row, "span", count, "count").title = scan.flags.join("; ");
    row.tabIndex = 0;
    row.addEventListener("click", () => go(n));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") go(n); });
  });
  show();
}

function show() {
  const scan = order[here], mine = decisions[scan.key] || {};
  [...at("list").children].forEach((row, n) => row.setAttribute("aria-current", n === here));
  at("list").children[here].scrollIntoView({ block: "nearest" });
  at("name").textContent = scan.key;
  at("state").textContent = { pass: "passed", fail: "failed" }[mine.decision] || "undecided";
  at("state").className = mine.decision || "";
  at("note").value = mine.note || "";
  at("flags").replaceChildren();
  scan.flags.forEach((flag) => add(at("flags"), "li", flag));
  if (!scan.flags.length) add(at("flags"), "li", "no flag", "none");
  at("pictures").replaceChildren();
  scan.pictures.forEach((picture) => {
    const figure = add(at("pictures"), "figure");
    const image = add(figure, "img");
    image.src = picture.file;
    image.alt = picture.caption;
    add(figure, "figcaption", picture.caption);
  });
  if (!scan.pictures.length) {
    const why = scan.status === "failed" ? "No picture: preprocessing of this scan failed." :
      "No picture: this scan was given in template space, and nothing was registered.";
    add(at("pictures"), "p", why, "missing");
  }
  const body = at("measures").tBodies[0];
  body.replaceChildren();
  for (const [name, title] of data.titles) {
    if (!(name in scan.measures)) continue;
    const row = add(body, "tr"), [low, high] = data.limits[name] || [null, null], value = scan.measures[name];
    const out = value !== null && ((low !== null && value < low) || (high !== null && value > high));
    if (out) row.className = "out";
    const usual = low === null && high === null ? "" : high === null ? "at least " + number(low) :
      low === null ? "at most " + number(high) : number(low) + " to " + number(high);
    for (const text of [title, number(value), usual, number(data.medians[name])]) add(row, "td", text);
  }
  const decided = data.scans.filter(verdict).length, failed = data.scans.filter((s) => verdict(s) === "fail").length;
  const lost = data.scans.filter((s) => s.status === "failed").length;
  at("progress").textContent = `${here + 1} of ${order.length}; ${decided} decided, ${failed} of them fail; ` +
    `${data.scans.filter(weight).length - lost} flagged by measures, ${lost} not preprocessed`;
  const next = order[here + 1];
  if (next) next.pictures.forEach((picture) => { new Image().src = picture.file; });
}

function go(n) {
  here = Math.min(Math.max(n, 0), order.length - 1);
  show();
  scrollTo(0, 0);
}

function decide(decision) {
  const scan = order[here];
  if (decision) decisions[scan.key] = { decision, note: at("note").value };
  else delete decisions[scan.key];
  remember();
  list();
  if (decision) go(here + 1);
}

function save() {
  const rows = ["participant_id\tsession_id\tdecision\tnote"];
  for (const scan of data.scans) {
    const mine = decisions[scan.key];
    if (!mine || !mine.decision) continue;
    const note = (mine.note || "").replace(/\s+/g, " ").trim() || "n/a";
    rows.push([scan.participant, scan.session || "n/a", mine.decision, note].join("\t"));
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/tab-separated-values" }));
  link.download = "quality_decisions.tsv";
  link.click();
}

at("order").addEventListener("change", sort);
at("save").addEventListener("click", save);
at("pass").addEventListener("click", () => decide("pass"));
at("fail").addEventListener("click", () => decide("fail"));
at("undo").addEventListener("click", () => decide(""));
at("note").addEventListener("change", () => {
  const mine = decisions[order[here].key];
  if (mine) { mine.note = at("note").value; remember(); }
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape" || event.key === "Enter") event.target.blur();
    return;
  }
  const keys = {
    p: () => decide("pass"), f: () => decide("fail"), u: () => decide(""), s: save,
    j: () => go(here + 1), ArrowRight: () => go(here + 1), k: () => go(here - 1), ArrowLeft: () => go(here - 1),
    n: () => at("note").focus(), m: () => { const d = document.querySelector("details"); d.open = !d.open; },
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (keys[key]) { event.preventDefault(); keys[key](); }
});
sort();
const named = order.findIndex((scan) => "#" + scan.key === location.hash); // quality.html#sub-01_ses-1
if (named >= 0) go(named);
