// A WebSocket that comes back: it is opened again after a loss, later each time, and at once when the network is back.

const HEARTBEAT = 25_000; // API Gateway ends a connection that is silent for ten minutes; a dead one should be noticed sooner
const PATIENCE = 8_000; // for the handshake, and for the answer to a heartbeat
const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 10_000;

export class Live {
  #address;
  #hear;
  #tell;
  #socket = null;
  #losses = 0;
  #again = 0;
  #deadline = 0;
  #heartbeat = 0;
  #listeners = new AbortController();

  // `hear(message)` gets each message, `tell(state)` "connecting", "open" or "lost". The address may be a path of this site.
  constructor(address, { hear, tell }) {
    this.#address = new URL(address, location.href);
    this.#address.protocol = this.#address.protocol.replace("http", "ws");
    this.#hear = hear;
    this.#tell = tell;
    const { signal } = this.#listeners;
    addEventListener("online", () => this.#open(), { signal });
    addEventListener("offline", () => this.#lose(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#beat(), { signal });
    this.#open();
  }

  send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  // Ends it for good.
  close() {
    this.#listeners.abort();
    this.#tell = () => {};
    this.#lose();
    clearTimeout(this.#again);
  }

  #open() {
    if (this.#socket) return;
    clearTimeout(this.#again);
    this.#tell("connecting");
    const socket = (this.#socket = new WebSocket(this.#address));
    const current = (act) => (event) => socket === this.#socket && act(event);
    socket.onopen = current(() => this.#opened());
    socket.onmessage = current((event) => this.#heard(event.data));
    socket.onclose = current(() => this.#lose());
    this.#expect();
  }

  #opened() {
    this.#losses = 0;
    clearTimeout(this.#deadline);
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT);
    this.#tell("open");
  }

  #heard(text) {
    clearTimeout(this.#deadline);
    const message = JSON.parse(text);
    if (message.type !== "pong") this.#hear(message);
  }

  #beat() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.send({ action: "ping" });
    this.#expect();
  }

  // Whoever does not answer in time is taken for gone: a connection can be dead without anybody having closed it.
  #expect() {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#lose(), PATIENCE);
  }

  #lose() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    clearTimeout(this.#deadline);
    clearInterval(this.#heartbeat);
    socket.close();
    this.#tell("lost");
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#losses++);
    this.#again = setTimeout(() => this.#open(), pause * (0.5 + Math.random() / 2));
  }
}
