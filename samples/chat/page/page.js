// The chat: a door, where people say who they are, and a hall, which shows one room.

import { Live } from "./live.js";

const found = (id) => document.getElementById(id);
const [door, hall, log, say, text, state] = ["door", "hall", "log", "say", "text", "state"].map(found);
const STATES = { connecting: "Connecting", open: "Connected", lost: "Reconnecting" };
const PAUSE = 2_000; // before a message is sent again that the server could not take
const NEAR = 60; // pixels from the end of the talk, within which the newest message stays in view

let live = null;
let me = "";
let room = "";
let you = ""; // what others know this page by
let inside = false; // whether the server has let this connection into the room
let sending = null; // the message on its way: the next one waits for it, because API Gateway keeps no order
const people = new Map(); // by connection
const gone = new Set(); // connections that have left: they never come back, so that late news of them is no news
const said = new Map(); // messages by the name that their page gave them: one that was sent twice is one
const pending = new Map(); // texts that the server has not confirmed

// What makes this page the same person when its connection is another one. It stays in this tab.
const secret = (sessionStorage.secret ??= name());

function name() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Joining and leaving

function enter(as, where) {
  [me, room] = [as, where];
  localStorage.name = me;
  history.replaceState(null, "", `#${room}`);
  document.title = `#${room} · Chat`;
  found("title").textContent = room;
  for (const kept of [people, gone, said, pending]) kept.clear();
  log.replaceChildren();
  door.hidden = true;
  hall.hidden = false;
  text.focus();
  live = new Live(document.querySelector('meta[name="live"]').content, {
    tell(now) {
      inside = false;
      sending = null;
      if (now === "open") {
        people.clear();
        join();
      }
      // It is connected when the server has answered.
      state.dataset.state = now === "open" ? "connecting" : now;
      state.querySelector(".words").textContent = STATES[state.dataset.state];
    },
    hear,
  });
}

function join() {
  live.send({ action: "join", room, name: me, secret });
}

function leave() {
  live.close();
  hall.hidden = true;
  door.hidden = false;
  document.title = "Chat";
  found("name").focus();
}

function invalid(field, sentence) {
  for (const each of [found("name"), found("room")]) each.ariaInvalid = String(each === field);
  found("problem").textContent = sentence;
  found("problem").hidden = !sentence;
  field?.focus();
}

found("name").value = localStorage.name ?? "";
found("room").value = decodeURIComponent(location.hash.slice(1)).slice(0, 40);
found("join").addEventListener("input", () => invalid(null, ""));
found("join").addEventListener("submit", (event) => {
  event.preventDefault();
  const as = found("name").value.trim();
  const where = found("room").value.trim().toLowerCase().replace(/\s+/g, "-");
  if (!as) return invalid(found("name"), "Say what others may call you.");
  if (!/^[a-z0-9][a-z0-9-]*$/.test(where)) return invalid(found("room"), "A room’s name has letters from a to z, digits and hyphens, such as kitchen.");
  invalid(null, "");
  enter(as, where);
});
found("leave").addEventListener("click", leave);
found("who").addEventListener("click", () => {
  const shown = found("people").classList.toggle("shown");
  found("who").ariaExpanded = String(shown);
});

// What the server says

function hear(message) {
  const heard = { joined, arrived, left, refused, said: (news) => show(news.message, true) }[message.type];
  if (heard) heard(message);
  else failed();
}

function joined(news) {
  inside = true;
  you = news.you;
  news.people.forEach(arrived);
  news.messages.forEach((message) => show(message));
  state.dataset.state = "open";
  state.querySelector(".words").textContent = STATES.open;
  speak();
  showEmpty();
  toEnd();
}

function arrived(one) {
  if (!gone.has(one.connection)) people.set(one.connection, one);
  showPeople();
}

function left(news) {
  gone.add(news.connection);
  people.delete(news.connection);
  showPeople();
}

// What was on its way comes back to whoever wrote it.
function refused(news) {
  complain(news.text);
  if (!sending) return;
  text.value ||= pending.get(sending);
  rowOf(sending)?.remove();
  pending.delete(sending);
  sending = null;
  showEmpty();
  speak();
}

// API Gateway itself answers, without a type, when a function has failed or may not run now.
function failed() {
  complain("The server has a problem. Trying again …");
  sending = null;
  setTimeout(() => (inside ? speak() : join()), PAUSE);
}

function complain(sentence) {
  found("refusal").textContent = sentence;
  found("refusal").hidden = !sentence;
}

// The room on the page

function showPeople() {
  // Somebody whose lost connection is not noticed yet has two.
  const each = [...new Map([...people.values()].map((one) => [one.by, one])).values()];
  each.sort((one, other) => one.name.localeCompare(other.name));
  const rows = each.map((one) => {
    const row = document.createElement("li");
    const label = document.createElement("span");
    label.textContent = one.name;
    row.append(face(document.createElement("span"), one), label);
    if (one.by === you) row.append(Object.assign(document.createElement("span"), { className: "you", textContent: "you" }));
    return row;
  });
  found("people").querySelector("ul").replaceChildren(...rows);
  found("who").textContent = `${each.length} here`;
}

function face(element, { name, by }) {
  element.className = "face";
  element.ariaHidden = "true";
  element.textContent = [...name][0].toUpperCase();
  element.style.setProperty("--hue", parseInt(by.slice(0, 4) || "0", 16) % 360);
  return element;
}

function show(message, fresh = false) {
  if (said.get(message.ref)?.id) return;
  const near = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
  rowOf(message.ref)?.remove();
  if (pending.delete(message.ref)) complain("");
  said.set(message.ref, message);
  const row = rowFor(message, message.by === you);
  row.classList.toggle("fresh", fresh);
  // Waiting messages come last; the others are in the order of their ids, which begin with the time.
  const before = [...log.children].findLast((other) => other.dataset.id && other.dataset.id < message.id);
  before ? before.after(row) : log.prepend(row);
  showEmpty();
  if (near || message.by === you) toEnd();
  else if (fresh) found("newest").hidden = false;
  if (sending !== message.ref) return;
  sending = null;
  speak();
}

function rowFor(message, mine) {
  const row = found("message").content.firstElementChild.cloneNode(true);
  Object.assign(row.dataset, { ref: message.ref, id: message.id ?? "" });
  row.classList.toggle("mine", mine);
  face(row.querySelector(".face"), message);
  row.querySelector("b").textContent = message.name;
  row.querySelector(".text").textContent = message.text;
  const time = row.querySelector("time");
  if (message.at) {
    const at = new Date(message.at);
    const today = at.toDateString() === new Date().toDateString();
    time.dateTime = at.toISOString();
    time.textContent = at.toLocaleString([], today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
  } else time.textContent = "Sending …";
  return row;
}

function rowOf(ref) {
  return log.querySelector(`[data-ref="${CSS.escape(ref)}"]`);
}

function showEmpty() {
  found("empty").hidden = !inside || log.children.length > 0;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
  found("newest").hidden = true;
}

found("newest").addEventListener("click", toEnd);
log.addEventListener("scroll", () => {
  if (log.scrollHeight - log.scrollTop - log.clientHeight < NEAR) found("newest").hidden = true;
});

// Speaking: a message is shown at once as waiting, and sent by each new connection until the server has repeated it.

function speak() {
  if (!inside || sending || !pending.size) return;
  const [ref, words] = pending.entries().next().value;
  sending = ref;
  live.send({ action: "say", ref, text: words });
}

say.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = text.value.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "").trim();
  if (!words) return text.focus();
  const ref = name();
  pending.set(ref, words);
  const row = rowFor({ ref, text: words, name: me, by: you }, true);
  row.classList.add("pending");
  log.append(row);
  text.value = "";
  complain("");
  speak();
  showEmpty();
  toEnd();
  text.focus();
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say.requestSubmit();
});
