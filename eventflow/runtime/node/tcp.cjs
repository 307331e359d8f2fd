// A connection to the Runtime API by its address.

'use strict';

const net = require('node:net');

class Connection {
  constructor(address, take) {
    const [host, port] = address.split(':');
    this.socket = net.connect({ host, port: Number(port), noDelay: true });
    this.socket.on('data', (data) => take(data) || this.socket.unref());
    this.socket.on('error', () => process.exit(1));
    this.socket.on('close', () => process.exit(1)); // the environment has ended
  }

  write(data) {
    this.socket.write(data);
  }

  send(data, done) {
    this.socket.write(data, done);
  }

  listen() {
    this.socket.ref();
  }
}

module.exports = { Connection };
