// Finds a handler by its name, as Lambda's Node runtime does: `folder/module.function`, CommonJS or an ES module.

'use strict';

const { existsSync, readFileSync, statSync } = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

function named(name, error) {
  return Object.assign(error instanceof Error ? error : new Error(String(error)), { name: `Runtime.${name}` });
}

async function loadHandler(root, name) {
  if (name.includes('..')) {
    throw named('MalformedHandlerName', `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const folder = path.dirname(name);
  const found = /^([^.]*)\.(.*)$/.exec(path.basename(name));
  if (found === null) throw named('MalformedHandlerName', 'Bad handler');
  const [, module, attributes] = found;
  const loaded = await loadModule(path.resolve(root, folder, module), module, [root, path.resolve(root, folder)]);
  const handler = attributes.split('.').reduce((value, key) => value?.[key], loaded);
  if (!handler) throw named('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw named('HandlerNotFound', `${name} is not a function`);
  return handler;
}

async function loadModule(file, name, paths) {
  try {
    for (const extension of ['', '.js', '.mjs', '.cjs']) {
      const whole = file + extension;
      if (!statSync(whole, { throwIfNoEntry: false })?.isFile()) continue;
      const isModule = extension === '.mjs' || (extension === '.js' && isTypeModule(path.dirname(whole)));
      return isModule ? await import(pathToFileURL(whole).href) : require(whole);
    }
    return existsSync(file) ? require(file) : require(require.resolve(name, { paths }));
  } catch (error) {
    if (error instanceof SyntaxError) throw wrapped('UserCodeSyntaxError', error);
    if (error?.code === 'MODULE_NOT_FOUND') throw wrapped('ImportModuleError', error);
    throw error;
  }
}

// Lambda tells of the error that the module's loading ended in with that error's text, and with its own place.
function wrapped(name, error) {
  const outer = named(name, String(error));
  outer.stack = `${outer.name}: ${error.stack}`;
  return outer;
}

// Whether the nearest package.json says that `.js` files are ES modules.
function isTypeModule(folder) {
  for (;;) {
    if (path.basename(folder) === 'node_modules') return false;
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) {
      try {
        return JSON.parse(readFileSync(file, 'utf8')).type === 'module';
      } catch {
        return false;
      }
    }
    const above = path.dirname(folder);
    if (above === folder) return false;
    folder = above;
  }
}

module.exports = { loadHandler, named };
