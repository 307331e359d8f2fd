// Responses in pieces: what a handler of `awslambda.streamifyResponse` writes to.

'use strict';

const { Writable } = require('node:stream');

const { header } = require('./api.cjs');

const METADATA = 'application/vnd.awslambda.http-integration-response';

// The request begins with the first write.
class ResponseStream extends Writable {
  constructor(api, root, id, highWaterMark) {
    super({ highWaterMark, decodeStrings: true });
    this.api = api;
    this.root = root;
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
    this.api.connection.write(
      `POST ${this.root}/invocation/${this.id}/response HTTP/1.1\r\nHost: ${this.api.host}\r\n` +
        `Content-Type: ${header(this.contentType)}\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n` +
        'Transfer-Encoding: chunked\r\nTrailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n',
    );
    if (this.metadata !== null) this.chunk(Buffer.concat([Buffer.from(this.metadata), Buffer.alloc(8)]), () => {});
  }

  chunk(data, done) {
    const whole = [Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')];
    this.api.connection.send(Buffer.concat(whole), done);
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
    this.api.connection.write(`0\r\n${this.trailers}\r\n`);
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

module.exports = { HttpResponseStream, ResponseStream };
