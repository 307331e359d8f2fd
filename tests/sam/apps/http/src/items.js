exports.list = async (event) => ({ id: event.pathParameters ? event.pathParameters.id : null, version: event.version });

exports.echo = (event, context, callback) => callback(null, { statusCode: 201, body: event.body });

exports.links = async () => ({ api: process.env.API, url: process.env.URL });
