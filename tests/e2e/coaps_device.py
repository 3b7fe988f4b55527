"""An LwM2M device over DTLS: OpenSSL's own client speaks DTLS, aiocoap's codec speaks CoAP, this script only answers.

Arguments: port, identity, key in hexadecimal digits, endpoint name, version of LwM2M. Commands on standard input: `temperature T`,
`update LOCATION` (another one's registration, if it is not our own), `leave`. What happens is told on standard output, a line each.
"""

import json
import socket
import subprocess
import sys
import threading
import time

from aiocoap import ACK, CHANGED, CON, CONTENT, DELETE, EMPTY, FETCH, GET, METHOD_NOT_ALLOWED, Message, NON, POST
from aiocoap.numbers.codes import Code

PORT, IDENTITY, KEY, ENDPOINT, VERSION = sys.argv[1:]
SENML_JSON, LINKS = 110, 40


def say(*words):
    print(*words, flush=True)


class Device:
    def __init__(self):
        # One write is one datagram, as a pipe would not have it.
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = ["setpriv", "--pdeathsig", "TERM", "--", "openssl", "s_client", "-quiet", "-dtls1_2",
                   "-connect", f"127.0.0.1:{PORT}", "-psk_identity", IDENTITY, "-psk", KEY, "-cipher", "PSK-AES128-CCM8"]
        self.openssl = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        self.lock = threading.RLock()
        self.temperature, self.mid, self.location, self.waiting = 21.5, 1000, None, {}
        # Tokens that observe, with the paths that they asked for.
        self.observing, self.number = {}, 10

    def send(self, message):
        with self.lock:
            if message.mid is None:
                self.mid += 1
                message.mid = self.mid
            self.socket.send(message.encode())
            return message.mid

    def request(self, what, code, path, query=(), payload=b"", format=None):
        message = Message(code=code, mtype=CON, token=what.encode()[:8], payload=payload)
        message.opt.uri_path, message.opt.uri_query, message.opt.content_format = path, query, format
        with self.lock:
            self.waiting[self.send(message)] = what

    def register(self):
        query = (f"ep={ENDPOINT}", "lt=300", f"lwm2m={VERSION}", "b=U")
        links = b'</>;rt="oma.lwm2m";ct=110,</1/0>,</3/0>,</3303/0>,</3303/1>'
        self.request("register", POST, ("rd",), query, links, LINKS)

    def content(self, paths):
        records = []
        for path in paths:
            for instance in ("/3303/0/", "/3303/1/"):
                if instance.startswith(path.rstrip("/") + "/"):
                    shift = 0 if instance.startswith("/3303/0") else 100
                    records.append({"n": instance + "5700", "v": self.temperature + shift})
                    records.append({"n": instance + "5701", "vs": "Cel"})
        return json.dumps(records).encode()

    def answer(self, request):
        path, observe = "/" + "/".join(request.opt.uri_path), request.opt.observe
        say("asked", request.code.dotted, path, "" if observe is None else f"observe={observe}", request.payload.decode("utf-8", "replace"))
        answer = Message(code=METHOD_NOT_ALLOWED, mtype=ACK, mid=request.mid, token=request.token)
        if request.code == GET and request.opt.accept != LINKS:
            self.fill(answer, request, [path])
        elif request.code == FETCH and VERSION != "1.0":
            self.fill(answer, request, [record["n"] for record in json.loads(request.payload)])
        self.send(answer)

    def fill(self, answer, request, paths):
        answer.code, answer.opt.content_format, answer.payload = CONTENT, SENML_JSON, self.content(paths)
        if request.opt.observe == 0:
            self.observing[request.token] = paths
            answer.opt.observe = self.number
        elif request.opt.observe == 1:
            self.observing.pop(request.token, None)

    def notify(self):
        self.number += 1
        for token, paths in list(self.observing.items()):
            message = Message(code=CONTENT, mtype=CON, token=token, payload=self.content(paths))
            message.opt.observe, message.opt.content_format = self.number, SENML_JSON
            self.send(message)

    def hear(self):
        while datagram := self.socket.recv(65536):
            with self.lock:
                message = Message.decode(datagram)
                if message.code.is_request():
                    self.answer(message)
                elif what := self.waiting.pop(message.mid, None):
                    if what == "register" and message.opt.location_path:
                        self.location = "/".join(message.opt.location_path)
                    say("answer", what, message.code.dotted, "/".join(message.opt.location_path))
                else:
                    say("heard", message.mtype, message.code.dotted)
        say("the association ended")

    def obey(self, line):
        word, _, rest = line.strip().partition(" ")
        with self.lock:
            if word == "temperature":
                self.temperature = float(rest)
                self.notify()
                say("measured", rest)
            elif word == "update":
                self.request("update", POST, tuple(rest.split("/")), ("lt=60",))
            elif word == "remove":
                self.request("remove", DELETE, tuple(rest.split("/")))
            elif word == "leave":
                self.request("leave", DELETE, tuple(self.location.split("/")))


device = Device()
threading.Thread(target=device.hear, daemon=True).start()
device.register()
for line in sys.stdin:
    device.obey(line)
