"""What no well-behaved CoAP device does: raw messages made with aiocoap's codec, and a registration that is too large by its client.

Argument: port. Each case prints one line, its name and what it was answered with.
"""

import asyncio
import logging
import socket
import sys

import aiocoap
from aiocoap import ACK, CON, CONTENT, EMPTY, GET, Message, NON, POST, RST
from aiocoap.numbers.optionnumbers import OptionNumber

PORT = int(sys.argv[1])
LINKS, JSON = 40, 50


class Peer:
    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", PORT))
        self.socket.settimeout(20)
        self.mid = 0

    def message(self, path, query=(), payload=b"", block=None, format=None, token=b"t", kind=CON):
        self.mid += 1
        message = Message(code=POST, mtype=kind, mid=self.mid, token=token, payload=payload)
        message.opt.uri_path, message.opt.uri_query = path, query
        message.opt.block1, message.opt.content_format = block, format
        return message

    def send(self, message):
        self.socket.send(message if isinstance(message, bytes) else message.encode())

    def hear(self):
        self.last = self.socket.recv(65536)
        return Message.decode(self.last)

    def receive(self):
        """What is no request: whoever registers is asked."""
        while (message := self.hear()).code.is_request():
            pass
        return message

    def ask(self, *arguments, **named):
        self.send(self.message(*arguments, **named))
        return self.receive()

    def is_silent(self):
        """A ping is answered by a reset; whatever comes before it was an answer to something else."""
        self.send(bytes([0x40, 0, 0xEE, 0xEE]))
        answer = self.receive()
        return answer.mtype == RST and answer.mid == 0xEEEE


def say(case, *words):
    print(case, *words, flush=True)


def blocks():
    peer, block = Peer(), b"</3303/0>,</3303/1>,".ljust(1024, b" ")
    number, answer = 0, None
    while answer is None or answer.code == aiocoap.CONTINUE:
        answer = peer.ask(("rd",), ("ep=endless",), block, (number, True, 6), LINKS)
        number += 1
    say("endless", number, answer.code.dotted)
    codes = {peer.ask(("rd",), ("ep=again",), block, (0, True, 6)).code.dotted for _ in range(200)}
    say("again", *codes)
    say("gap", peer.ask(("rd",), ("ep=again",), block, (5, True, 6)).code.dotted)
    say("short", peer.ask(("rd",), ("ep=short",), block[:1000], (0, True, 6)).code.dotted)
    for number in range(100):
        peer.ask(("rd",), (f"ep=many-{number}",), block, (0, True, 6))
    say("many", peer.ask(("rd",), ("ep=many-0",), b"</3/0>", (1, False, 6)).code.dotted,
        peer.ask(("rd",), ("ep=many-99",), b"</3/0>", (1, False, 6)).code.dotted)
    # RFC 7959 §2.2: the exponent 7 is reserved.
    say("exponent", peer.ask(("rd",), ("ep=seven",), block, (0, True, 7)).code.dotted)


def tokens():
    peer = Peer()
    first, second = (peer.message(("rd",), (f"ep=token-{name}",), b"</3/0>", format=LINKS) for name in "ab")
    peer.send(first)
    peer.send(second)
    answers, octets = {}, {}
    for _ in range(2):
        answer = peer.receive()
        answers[answer.mid], octets[answer.mid] = answer, peer.last
    locations = {answers[asked.mid].opt.location_path for asked in (first, second)}
    say("tokens", len(locations), *sorted({answer.token.decode() for answer in answers.values()}))
    peer.send(first)
    peer.receive()
    say("repeated", peer.last == octets[first.mid])


def formats():
    peer = Peer()
    say("json", peer.ask(("rd",), ("ep=json",), b'{"e":[]}', format=JSON).code.dotted)
    say("text", peer.ask(("rd",), ("ep=text",), b"no links").code.dotted)
    peer.ask(("rd",), ("ep=format",), b"</3303/0>", format=LINKS)
    say("sent", peer.ask(("dp",), (), b"\x00", format=60000).code.dotted, peer.ask(("dp",), (), b"[{", format=110).code.dotted)


def malformed():
    peer = Peer()
    for octets in (b"", b"\x40", b"\x80\x02\x00\x01", b"\x00" * 3, b"\xff" * 1400):
        peer.send(octets)
    say("silent", peer.is_silent())
    # A token of nine bytes, an option that goes on after the end, a marker without a payload (RFC 7252 §3, §4.2).
    for octets in (b"\x49\x02\x00\x07", b"\x40\x02\x00\x08\xbd", b"\x40\x02\x00\x09\xff"):
        peer.send(octets)
        say("reset", peer.receive().mtype == RST)
    unknown = peer.message(("rd",), ("ep=critical",), b"</3/0>")
    unknown.opt.add_option(OptionNumber(9).create_option(value=b"x"))
    peer.send(unknown)
    say("critical", peer.receive().code.dotted)
    proxy = peer.message((), ())
    proxy.opt.proxy_uri = "coap://192.0.2.1/rd"
    peer.send(proxy)
    say("proxy", peer.receive().code.dotted)


def device(name, fill):
    """Registers, and answers each request as `fill` has it until nothing more is asked."""
    peer = Peer()
    say(name, peer.ask(("rd",), (f"ep={name}", "lwm2m=1.0"), b"</3303/0>", format=LINKS).code.dotted)
    asked = 0
    peer.socket.settimeout(4)
    try:
        while True:
            request = peer.hear()
            if request.mtype != CON or not request.code.is_request():
                continue
            asked += 1
            answer = Message(code=CONTENT, mtype=ACK, mid=request.mid, token=request.token)
            fill(answer, request)
            peer.send(answer)
    except TimeoutError:
        say(name, "asked", asked)


def endless_answer(answer, request):
    number = request.opt.block2.block_number if request.opt.block2 else 0
    answer.opt.block2, answer.opt.content_format, answer.payload = (number, True, 6), LINKS, b"<".ljust(1024)


def same_answer(answer, request):
    answer.opt.block2, answer.opt.content_format, answer.payload = (0, True, 6), LINKS, b"<".ljust(1024)


def wrong_format(answer, request):
    answer.opt.content_format, answer.payload = 60000, b"\x00\x01"


def foreign_token(answer, request):
    answer.token = b"guessed"
    answer.payload = b"21.5"


async def large():
    context = await aiocoap.Context.create_client_context()
    for name, count in (("ten-thousand", 10_000), ("thousands", 4_000)):
        links = b",".join(b"</3303/%d>" % number for number in range(count))
        message = Message(code=POST, uri=f"coap://127.0.0.1:{PORT}/rd?ep={name}", payload=links)
        message.opt.content_format = LINKS
        answer = await context.request(message).response
        say(name, len(links), answer.code.dotted)
    await context.shutdown()


logging.disable(logging.CRITICAL)
blocks()
tokens()
formats()
malformed()
asyncio.run(large())
device("evil-endless", endless_answer)
device("evil-same", same_answer)
device("evil-format", wrong_format)
device("evil-token", foreign_token)
say("done")
