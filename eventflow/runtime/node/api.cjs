// The Runtime API's client: one connection on which requests follow each other, and answers come in the same order.

'use strict';

const fs = require('node:fs');

const RUNTIME = '/2018-06-01/runtime';
const HEAD_END = Buffer.from('\r\n\r\n');
const MOST_AT_ONCE = 65536;

class Api {
  // `descriptor` is of a connection that the environment has made already: to load node's network modules, and to connect, takes a quarter of node's
  // own start. Without it (a wrapper may not hand it on) there is one to `address`.
  constructor(address, descriptor) {
    this.host = address;
    this.expected = [];
    this.held = [];
    this.size = 0;
    this.needed = 0;
    const take = (data) => this.take(data);
    this.connection = descriptor === undefined ? new (require('./tcp.cjs').Connection)(address, take) : new Inherited(Number(descriptor), take);
  }

  next() {
    return this.ask(`GET ${RUNTIME}/invocation/next HTTP/1.1\r\nHost: ${this.host}\r\n\r\n`);
  }

  // Its answer, like that of `fail`, comes before the one to `next`; nothing waits for it.
  respond(id, text) {
    return this.post(`/invocation/${id}/response`, text);
  }

  fail(id, error) {
    return this.post(`/invocation/${id}/error`, JSON.stringify(error), error.errorType);
  }

  failInit(error) {
    return this.post('/init/error', JSON.stringify(error), error.errorType);
  }

  post(path, text, errorType) {
    const body = Buffer.from(text);
    const type = errorType ? `Lambda-Runtime-Function-Error-Type: ${header(errorType)}\r\n` : '';
    const head =
      `POST ${RUNTIME}${path} HTTP/1.1\r\nHost: ${this.host}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${body.length}\r\n${type}\r\n`;
    return this.ask(Buffer.concat([Buffer.from(head), body]));
  }

  ask(data) {
    this.connection.write(data);
    return this.answer();
  }

  // While nothing is expected, as when a handler runs, the connection is no reason for the event loop to go on.
  answer() {
    this.connection.listen();
    return new Promise((resolve) => this.expected.push(resolve));
  }

  stream(id, highWaterMark) {
    const { ResponseStream } = require('./streaming.cjs');
    return new ResponseStream(this, RUNTIME, id, highWaterMark);
  }

  // Takes what has come; whether there is more to come.
  take(data) {
    this.held.push(data);
    this.size += data.length;
    while (this.size > 0 && this.size >= this.needed) {
      const all = this.held.length === 1 ? this.held[0] : Buffer.concat(this.held);
      const end = all.indexOf(HEAD_END);
      this.held = [all];
      if (end < 0) break;
      const headers = {};
      const [first, ...lines] = all.toString('utf8', 0, end).split('\r\n');
      for (const line of lines) {
        const colon = line.indexOf(':');
        headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
      }
      const start = end + HEAD_END.length;
      this.needed = start + Number(headers['content-length'] ?? 0);
      if (this.size < this.needed) break;
      const body = all.subarray(start, this.needed);
      this.held = [all.subarray(this.needed)];
      this.size -= this.needed;
      this.needed = 0;
      this.expected.shift()({ status: Number(first.split(' ')[1]), headers, body });
    }
    return this.expected.length > 0;
  }
}

// A connection that this process began with. What is written is sent before anything else happens: the end of an invocation, above all.
class Inherited {
  constructor(descriptor, take) {
    this.descriptor = descriptor;
    this.take = take;
    this.listening = false;
    this.unsent = []; // the first is being sent
    process.on('exit', () => this.wake());
  }

  // The process cannot end while a thread of it reads: what is no request makes the other side close the connection.
  wake() {
    if (this.listening) this.write('end\r\n\r\n');
  }

  write(data) {
    if (this.unsent.length) {
      this.send(Buffer.from(data), () => {});
      return;
    }
    const bytes = Buffer.from(data);
    for (let sent = 0; sent < bytes.length; ) sent += fs.writeSync(this.descriptor, bytes, sent);
  }

  // Does not hold up the event loop where the other side takes its time.
  send(data, done) {
    if (this.unsent.push({ data, done }) === 1) this.sendFirst();
  }

  sendFirst() {
    const first = this.unsent[0];
    fs.write(this.descriptor, first.data, (error, count) => {
      if (error) process.exit(1);
      first.data = first.data.subarray(count);
      if (!first.data.length) this.unsent.shift();
      if (this.unsent.length) this.sendFirst();
      if (!first.data.length) first.done();
    });
  }

  listen() {
    if (this.listening) return;
    this.listening = true;
    const buffer = Buffer.allocUnsafeSlow(MOST_AT_ONCE);
    fs.read(this.descriptor, buffer, 0, MOST_AT_ONCE, null, (error, count) => {
      if (error || count === 0) process.exit(1); // the environment has ended
      this.listening = false;
      if (this.take(buffer.subarray(0, count))) this.listen();
    });
  }
}

// A header is Latin-1 without control characters; what is not is as a URL would have it.
function header(text) {
  return String(text).replace(/[^\x20-\x7e]/g, (character) => encodeURIComponent(character));
}

module.exports = { Api, header };
