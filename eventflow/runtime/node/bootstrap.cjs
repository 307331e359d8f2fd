// Runs a Node function as Lambda's Node runtime does: loads its handler, then asks the Runtime API for one invocation after another.

// CommonJS: the loader of ES modules takes a tenth of node's own start, and is needed only where the function is one.

'use strict';

const { writeSync } = require('node:fs');
const util = require('node:util');

const { Api } = require('./api.cjs');
const { loadHandler, named } = require('./load.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const REQUEST_ID = Symbol.for('aws.lambda.runtime.requestId');
const NODE_EXIT =
  'The event loop is empty, and the promise of the handler was never settled: nothing that is still to happen could settle it any more.';

const environment = process.env;
const api = new Api(environment.AWS_LAMBDA_RUNTIME_API, process.argv.splice(2)[0]);

// Called once when the event loop has nothing left to do.
let whenEmpty = null;
// Tells of an error that nobody caught, to whom it concerns at the moment.
let failNow = (error) => api.failInit(error);

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const isJson = environment.AWS_LAMBDA_LOG_FORMAT === 'JSON';

function write(line) {
  let rest = Buffer.from(`${line}\n`);
  while (rest.length) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // a full pipe: its reader is at work
    }
  }
}

function writeLine(level, values) {
  write(isJson ? record(level, values) : `${new Date().toISOString()}\t${globalThis[REQUEST_ID]}\t${level}\t${util.format(...values)}`);
}

// One value is the message as it is; of several the message is their text, and the first error among them is told too.
function record(level, values) {
  const found = { timestamp: new Date().toISOString(), level, requestId: globalThis[REQUEST_ID] };
  if (values.length === 1) {
    try {
      return JSON.stringify({ ...found, message: values[0] }, (_key, value) => (value instanceof Error ? { ...parts(value), ...value } : value));
    } catch {
      return JSON.stringify({ ...found, message: util.format(values[0]) }); // it has itself in it, or a BigInt
    }
  }
  const error = values.find((value) => value instanceof Error);
  return JSON.stringify({ ...found, message: util.format(...values), ...(error && parts(error)) });
}

function parts(error) {
  const errorType = error.name === 'Error' ? (error.constructor?.name ?? error.name) : error.name;
  return { errorType, errorMessage: error.message, stackTrace: String(error.stack).split('\n') };
}

function takeConsole() {
  const least = isJson ? LEVELS.indexOf(environment.AWS_LAMBDA_LOG_LEVEL) : 0;
  for (const [method, level] of Object.entries({
    trace: 'TRACE',
    debug: 'DEBUG',
    info: 'INFO',
    log: 'INFO',
    warn: 'WARN',
    error: 'ERROR',
    fatal: 'FATAL',
  })) {
    console[method] = LEVELS.indexOf(level) < least ? () => {} : (...values) => writeLine(level, values);
  }
}

function isError(value) {
  return util.types.isNativeError(value) || [value?.name, value?.message, value?.stack].every((text) => typeof text === 'string');
}

function described(error) {
  try {
    if (isError(error)) return { errorType: error.name, errorMessage: error.message, trace: error.stack.split('\n') };
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch {
    return { errorType: 'handled', errorMessage: 'the error has no name, message or stack that can be read', trace: [] };
  }
}

function logError(what, error) {
  const shown = isError(error) ? error : new Error(String(error));
  if (isJson) {
    writeLine('ERROR', [what, shown]);
    return;
  }
  const plain = (_key, value) =>
    value instanceof Error
      ? { errorType: value.name, errorMessage: value.message, code: value.code, ...value, stack: String(value.stack).split('\n') }
      : value;
  let text;
  try {
    text = JSON.stringify(shown, plain);
  } catch {
    text = JSON.stringify(described(error));
  }
  writeLine('ERROR', [what, `\t${text}`]);
}

function serialised(value) {
  let text;
  try {
    text = JSON.stringify(value === undefined ? null : value);
  } catch {
    throw new Error('Unable to stringify response body');
  }
  return text === undefined ? 'null' : text;
}

function parsed(text, name) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`Cannot parse ${name} as json: ${error}`);
  }
}

// One invocation: however many ways its handler takes to end it, the first one counts. `done` resolves when the runtime may ask for the next.
class Invocation {
  constructor({ headers, body }) {
    this.headers = headers;
    this.body = body;
    this.id = headers['lambda-runtime-aws-request-id'];
    this.waits = true;
    this.ended = false;
    this.sendFailure = (error) => api.fail(this.id, error);
    this.done = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }

  context() {
    const invocation = this;
    const deadline = Number(this.headers['lambda-runtime-deadline-ms']);
    const context = {
      get callbackWaitsForEmptyEventLoop() {
        return invocation.waits;
      },
      set callbackWaitsForEmptyEventLoop(value) {
        invocation.waits = value;
      },
      functionVersion: environment.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: environment.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: environment.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: environment.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: environment.AWS_LAMBDA_LOG_STREAM_NAME,
      clientContext: parsed(this.headers['lambda-runtime-client-context'], 'ClientContext'),
      identity: parsed(this.headers['lambda-runtime-cognito-identity'], 'CognitoIdentity'),
      invokedFunctionArn: this.headers['lambda-runtime-invoked-function-arn'],
      awsRequestId: this.id,
      getRemainingTimeInMillis: () => deadline - Date.now(),
    };
    return context;
  }

  // Sends the invocation's end, unless it has ended already.
  end(send) {
    if (this.ended) {
      console.error('Invocation has already been reported as done. Cannot call complete more than once per invocation.');
      return;
    }
    this.ended = true;
    whenEmpty = null;
    this.resolve(send());
  }

  succeed(value) {
    let text;
    try {
      text = serialised(value);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.end(() => void api.respond(this.id, text)); // `next` need not wait for the answer, which comes first
  }

  fail(error) {
    if (!this.ended) logError('Invoke Error', error);
    this.end(() => this.sendFailure(described(error)));
  }

  run(handler) {
    const context = this.context();
    const done = (error, value) => (error === undefined || error === null ? this.succeed(value) : this.fail(error));
    context.done = done;
    context.succeed = (value) => this.succeed(value);
    context.fail = (error) => this.fail(error ?? 'handled');
    const callback = (error, value) => {
      if (this.waits && (error === undefined || error === null)) whenEmpty = () => done(null, value);
      else done(error, value);
    };
    const isAsync = handler.constructor?.name === 'AsyncFunction';
    whenEmpty = () => (isAsync ? this.fail(named('NodeJsExit', NODE_EXIT)) : this.succeed(null));
    const result = handler(JSON.parse(this.body), context, callback);
    if (typeof result?.then === 'function') {
      whenEmpty = () => this.fail(named('NodeJsExit', NODE_EXIT));
      result.then(context.succeed, context.fail);
    }
  }

  runStreaming(handler) {
    const stream = api.stream(this.id, handler[HIGH_WATER_MARK]);
    this.sendFailure = (error) => {
      stream.fail(error);
      return stream.answered;
    };
    const fail = (error) => this.ended || this.fail(error);
    stream.on('error', fail);
    whenEmpty = () => fail(named('NodeJsExit', NODE_EXIT));
    const result = handler(JSON.parse(this.body), stream, this.context());
    if (typeof result?.then !== 'function') {
      fail(named('MalformedStreamingHandler', 'Streaming does not support non-async handlers.'));
      return;
    }
    result.then((value) => {
      if (value !== undefined) console.warn('Streaming handlers ignore return values.');
      stream.answered.then((answer) => !this.ended && this.end(() => answer));
    }, fail);
  }
}

function installGlobals() {
  globalThis.awslambda = {
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (typeof options?.highWaterMark === 'number') handler[HIGH_WATER_MARK] = options.highWaterMark;
      return handler;
    },
    get HttpResponseStream() {
      return require('./streaming.cjs').HttpResponseStream;
    },
  };
}

// An error that nobody caught ends the invocation, or the init, and the process: nobody knows what state it has left.
async function uncaught(what, error, status) {
  logError(what, error);
  await failNow(described(error));
  process.exit(status);
}

async function main() {
  takeConsole();
  installGlobals();
  process.on('uncaughtException', (error) => uncaught('Uncaught Exception', error, 129));
  process.on('unhandledRejection', (reason) => {
    const error = named('UnhandledPromiseRejection', new Error(String(reason)));
    Object.assign(error, { reason });
    uncaught('Unhandled Promise Rejection', error, 128);
  });
  process.on('beforeExit', () => {
    const call = whenEmpty;
    whenEmpty = null;
    call?.();
  });
  let handler;
  try {
    handler = await loadHandler(environment.LAMBDA_TASK_ROOT, environment._HANDLER);
  } catch (error) {
    await uncaught('Uncaught Exception', error, 129);
  }
  for (;;) {
    const answer = await api.next();
    if (answer.status !== 200) throw new Error(`the Runtime API refused the next invocation: ${answer.body}`);
    const invocation = new Invocation(answer);
    globalThis[REQUEST_ID] = invocation.id;
    failNow = async (error) => {
      if (invocation.ended) return;
      invocation.ended = true;
      await invocation.sendFailure(error);
    };
    const trace = answer.headers['lambda-runtime-trace-id'];
    if (trace === undefined) delete environment._X_AMZN_TRACE_ID;
    else environment._X_AMZN_TRACE_ID = trace;
    try {
      if (handler[STREAMING]) invocation.runStreaming(handler);
      else invocation.run(handler);
    } catch (error) {
      invocation.fail(error);
    }
    await invocation.done;
  }
}

main();
