// The Runtime API's client: one connection on which requests follow each other, and answers come in the same order.

'use strict';

const net = require('node:net');
const { Writable } = require('node:stream');

const RUNTIME = '/2018-06-01/runtime';
const HEAD_END = Buffer.from('\r\n\r\n');
const METADATA = 'application/vnd.awslambda.http-integration-response';

class Api {
  constructor(address) {
    const [host, port] = address.split(':');
    this.host = address;
    this.socket = net.connect({ host, port: Number(port), noDelay: true });
    this.expected = [];
    this.held = [];
    this.size = 0;
    this.needed = 0;
    this.socket.on('data', (data) => this.take(data));
    this.socket.on('error', () => process.exit(1));
    this.socket.on('close', () => process.exit(1)); // the environment has ended
  }

  // While a handler runs, the connection is no reason for the event loop to go on.
  release() {
    this.socket.unref();
  }

  hold() {
    this.socket.ref();
  }

  next() {
    return this.ask(`GET ${RUNTIME}/invocation/next HTTP/1.1\r\nHost: ${this.host}\r\n\r\n`);
  }

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
    this.socket.write(data);
    return this.answer();
  }

  answer() {
    return new Promise((resolve) => this.expected.push(resolve));
  }

  stream(id, highWaterMark) {
    return new ResponseStream(this, id, highWaterMark);
  }

  take(data) {
    this.held.push(data);
    this.size += data.length;
    while (this.size > 0 && this.size >= this.needed) {
      const all = this.held.length === 1 ? this.held[0] : Buffer.concat(this.held);
      const end = all.indexOf(HEAD_END);
      this.held = [all];
      if (end < 0) return;
      const headers = {};
      const [first, ...lines] = all.toString('utf8', 0, end).split('\r\n');
      for (const line of lines) {
        const colon = line.indexOf(':');
        headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
      }
      const start = end + HEAD_END.length;
      this.needed = start + Number(headers['content-length'] ?? 0);
      if (this.size < this.needed) return;
      const body = all.subarray(start, this.needed);
      this.held = [all.subarray(this.needed)];
      this.size -= this.needed;
      this.needed = 0;
      this.expected.shift()({ status: Number(first.split(' ')[1]), headers, body });
    }
  }
}

// What a handler of `awslambda.streamifyResponse` writes to. The request begins with the first write.
class ResponseStream extends Writable {
  constructor(api, id, highWaterMark) {
    super({ highWaterMark, decodeStrings: true });
    this.api = api;
    this.id = id;
    this.contentType = 'application/octet-stream';
    this.begun = false;
    this.refused = false; // failed before it began: what is written after that goes nowhere
    this.trailers = '';
    this.metadata = null;
    this.answered = new Promise((resolve) => {
      this.resolveAnswered = resolve;
    });
  }

  setContentType(contentType) {
    if (this.begun) throw streamingError('Cannot set content-type, too late.');
    this.contentType = contentType;
  }

  write(chunk, ...rest) {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) chunk = JSON.stringify(chunk);
    return super.write(chunk, ...rest);
  }

  begin() {
    if (this.begun) return;
    this.begun = true;
    this.api.socket.write(
      `POST ${RUNTIME}/invocation/${this.id}/response HTTP/1.1\r\nHost: ${this.api.host}\r\n` +
        `Content-Type: ${header(this.contentType)}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n` +
        'Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n',
    );
    if (this.metadata !== null) this.chunk(Buffer.concat([Buffer.from(this.metadata), Buffer.alloc(8)]));
  }

  chunk(data, done) {
    this.api.socket.cork();
    this.api.socket.write(`${data.length.toString(16)}\r\n`);
    this.api.socket.write(data);
    this.api.socket.write('\r\n', done);
    this.api.socket.uncork();
  }

  _write(chunk, _encoding, done) {
    this.begin();
    if (chunk.length && !this.refused) this.chunk(chunk, done);
    else done();
  }

  _final(done) {
    this.begin();
    if (!this.refused) this.finish();
    done();
  }

  // The handler has failed: in the middle of the response the error goes behind it.
  fail(error) {
    if (!this.begun) {
      this.begun = this.refused = true;
      this.resolveAnswered(this.api.fail(this.id, error));
      return;
    }
    const body = Buffer.from(JSON.stringify(error)).toString('base64');
    this.trailers = `Lambda-Runtime-Function-Error-Type: ${header(error.errorType)}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n`;
    if (this.destroyed) this.finish();
    else if (!this.writableEnded) this.end();
  }

  finish() {
    this.api.socket.write(`0\r\n${this.trailers}\r\n`);
    this.resolveAnswered(this.api.answer());
  }
}

class HttpResponseStream {
  static from(stream, metadata) {
    stream.setContentType(METADATA);
    stream.metadata = JSON.stringify(metadata);
    return stream;
  }
}

function streamingError(message) {
  return Object.assign(new Error(message), { name: 'Runtime.InvalidStreamingOperation' });
}

// A header is Latin-1 without control characters; what is not is as a URL would have it.
function header(text) {
  return String(text).replace(/[^\x20-\x7e]/g, (character) => encodeURIComponent(character));
}

module.exports = { Api, HttpResponseStream };
