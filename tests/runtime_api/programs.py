"""Runtimes for tests: programs that speak the Runtime API without any code of eventflow's."""

import sys

#: Runs the code that comes as the event's ``do``; what it needs is there by name.
OBEDIENT = f"""
#!{sys.executable} -IS
import http.client, json, os, signal, socket, sys

RUNTIME = "/2018-06-01/runtime"
address = os.environ["AWS_LAMBDA_RUNTIME_API"]
connection = http.client.HTTPConnection(address)
seen = []

def call(method, path, body=None, headers={{}}):
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return [response.status, json.loads(response.read() or b"null")]

def answer(value, of=None, **headers):
    return call("POST", f"{{RUNTIME}}/invocation/{{of or id}}/response", json.dumps(value), headers)

def raw(text, finish=True):
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as other:
        other.sendall(text.encode() if isinstance(text, str) else text)
        if not finish:
            return
        other.settimeout(30)
        received = b""
        while data := other.recv(65536):
            received += data
        return received.decode()

def streamed(chunks, trailers="", kind="application/octet-stream", end="0\\r\\n"):
    text = f"POST {{RUNTIME}}/invocation/{{id}}/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: {{kind}}\\r\\nConnection: close\\r\\n"
    text += "Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
    text += "".join(f"{{len(chunk):x}}\\r\\n{{chunk}}\\r\\n" for chunk in chunks) + end
    return raw(text + trailers + "\\r\\n" if end else text, finish=bool(end))

while True:
    connection.request("GET", RUNTIME + "/invocation/next")
    response = connection.getresponse()
    headers, event = response.headers, json.loads(response.read())
    id = headers["Lambda-Runtime-Aws-Request-Id"]
    exec(event["do"])
"""
