// The list: read once, then kept up by what the table's stream tells. What is shown is only what the table has said.

import { Live } from "./live.js";

const PATIENCE = 10_000;
const found = (id) => document.getElementById(id);
const [list, form, name, quantity, problem, notice, older, state] = ["items", "add", "name", "quantity", "problem", "notice", "older", "state"].map(found);
const STATES = { connecting: "Connecting", open: "Live", lost: "Reconnecting" };

const items = new Map(); // what is on the list, by id
const gone = new Set(); // ids that were taken off; ids never come back, so that late news of them is no news
let after = null; // where the older items begin
let loading = null;

// The API

class Refused extends Error {}

async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      body: body && JSON.stringify(body),
      headers: body ? { "content-type": "application/json" } : {},
      signal: AbortSignal.timeout(PATIENCE),
    });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 429) throw new Error("The server is busy. Wait a moment.");
  if (response.status < 500) throw Object.assign(new Refused(answer.message ?? "The server does not take that."), { status: response.status });
  throw new Error("The server has a problem.");
}

// Reads the newest page of the list. What was shown before and is not in it, though it would have to be, is gone.
async function load() {
  const mine = (loading = {});
  const before = new Set(items.keys());
  try {
    const answer = await ask("GET", "/items");
    if (mine !== loading) return;
    const ids = new Set(answer.items.map((item) => item.id));
    for (const id of before) if (!ids.has(id) && (!answer.next || id > answer.next)) forget(id);
    answer.items.forEach((item) => keep(item));
    if (!answer.next) after = null;
    else if (!before.has(answer.next)) after = answer.next; // else it joins on to what is shown
    list.ariaBusy = "false";
    notice.hidden = true;
    show();
  } catch (error) {
    complain(`The list could not be read. ${error.message}`, load);
  }
}

async function loadOlder() {
  older.disabled = true;
  try {
    const answer = await ask("GET", `/items?after=${encodeURIComponent(after)}`);
    answer.items.forEach((item) => keep(item));
    after = answer.next ?? null;
    show();
  } catch (error) {
    complain(`Older items could not be read. ${error.message}`, loadOlder);
  } finally {
    older.disabled = false;
  }
}

// The list on the page: the newest item first, which its id tells

function keep(item, fresh = false) {
  if (gone.has(item.id) || items.has(item.id)) return;
  items.set(item.id, item);
  const row = found("row").content.firstElementChild.cloneNode(true);
  row.dataset.id = item.id;
  row.classList.toggle("fresh", fresh);
  row.querySelector(".amount").textContent = `${item.quantity}×`;
  row.querySelector(".text").textContent = item.name;
  row.querySelector(".delete").ariaLabel = `Take ${item.name} off the list`;
  row.querySelector(".delete").title = "Take it off the list";
  list.insertBefore(row, [...list.children].find((other) => other.dataset.id < item.id) ?? null);
}

function rowOf(id) {
  return list.querySelector(`[data-id="${CSS.escape(id)}"]`);
}

function forget(id) {
  gone.add(id);
  if (!items.delete(id)) return;
  const row = rowOf(id);
  const next = row.nextElementSibling ?? row.previousElementSibling;
  if (row.contains(document.activeElement)) (next?.querySelector(".delete") ?? name).focus();
  row.remove();
}

function show() {
  found("empty").hidden = items.size > 0 || after !== null;
  older.hidden = after === null;
  found("count").textContent = items.size === 0 ? "Everything is there." : `${items.size}${after ? " and more" : ""} to buy`;
}

function complain(text, again) {
  notice.querySelector("p").textContent = text;
  notice.querySelector("button").onclick = () => {
    notice.hidden = true;
    again();
  };
  notice.hidden = false;
}

// Adding and taking off

function invalid(field, text) {
  for (const each of [name, quantity]) each.ariaInvalid = String(each === field);
  problem.textContent = text;
  problem.hidden = !text;
  field?.focus();
}

form.addEventListener("input", () => invalid(null, ""));
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = { name: name.value.trim(), quantity: quantity.valueAsNumber };
  if (!wanted.name) return invalid(name, "Give the item a name.");
  if (!Number.isInteger(wanted.quantity) || wanted.quantity < 1 || wanted.quantity > 999) return invalid(quantity, "The quantity is a whole number from 1 to 999.");
  const button = form.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  try {
    keep(await ask("POST", "/items", wanted), true);
    show();
    form.reset();
    invalid(null, "");
    name.focus();
  } catch (error) {
    invalid(name, error instanceof Refused ? error.message : `It was not added. ${error.message} What you wrote is still here.`);
  } finally {
    button.disabled = false;
  }
});

async function takeOff(id) {
  const row = rowOf(id);
  if (row.classList.contains("leaving")) return;
  row.classList.add("leaving");
  try {
    await ask("DELETE", `/items/${id}`);
  } catch (error) {
    if (error.status !== 404) {
      rowOf(id)?.classList.remove("leaving");
      return complain(`“${items.get(id)?.name}” is still on the list. ${error.message}`, () => items.has(id) && takeOff(id));
    }
  }
  forget(id);
  show();
}

list.addEventListener("click", (event) => event.target.closest(".delete") && takeOff(event.target.closest("li").dataset.id));
list.addEventListener("keydown", (event) => {
  const row = event.target.closest("li");
  if (event.key === "Delete" || event.key === "Backspace") takeOff(row.dataset.id);
  const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling }[event.key];
  if (to === undefined && event.key !== "Delete" && event.key !== "Backspace") return;
  event.preventDefault();
  to?.querySelector(".delete").focus();
});
older.addEventListener("click", loadOlder);

// Other people's changes

new Live(document.querySelector('meta[name="live"]').content, {
  tell(now) {
    state.dataset.state = now;
    state.querySelector(".words").textContent = STATES[now];
    if (now === "open") load(); // after the connection is there, so that no change is between the two
    if (now === "lost" && !items.size) load(); // without live updates the list is still of use
  },
  hear(message) {
    if (message.type !== "changes") return;
    for (const change of message.changes) change.deleted ? forget(change.deleted) : keep(change.item, true);
    show();
  },
});
