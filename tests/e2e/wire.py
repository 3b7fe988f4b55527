"""What passes in a network of a test's own, a line for each message by which somebody registers, observes or subscribes.

Listens at the loopback, over which everything goes that is sent to an address of this machine. Output:

    lwm2m register            lwm2m observe 3311/0      onem2m create 23 PATH     onem2m update PATH
    upnp subscribe PATH       upnp renew SID            upnp notify SID
"""

import re
import socket

OUTGOING = 4  # Each packet is seen twice, as it leaves and as it comes.
GET, POST = 1, 2
OBSERVE, URI_PATH = 6, 11


def say(*words):
    print(*words, flush=True)


def coap_options(data, at):
    number = 0
    while at < len(data) and data[at] != 0xFF:
        delta, length = data[at] >> 4, data[at] & 15
        at += 1
        if delta == 13:
            delta, at = data[at] + 13, at + 1
        elif delta == 14:
            delta, at = int.from_bytes(data[at : at + 2], "big") + 269, at + 2
        if length == 13:
            length, at = data[at] + 13, at + 1
        elif length == 14:
            length, at = int.from_bytes(data[at : at + 2], "big") + 269, at + 2
        number += delta
        yield number, data[at : at + length]
        at += length


def coap(data):
    if len(data) < 4 or data[0] >> 6 != 1 or data[0] & 15 > 8 or data[1] not in (GET, POST):
        return
    options = list(coap_options(data, 4 + (data[0] & 15)))
    path = "/".join(value.decode() for number, value in options if number == URI_PATH)
    observes = any(number == OBSERVE and not any(value) for number, value in options)
    if data[1] == POST and path == "rd":
        say("lwm2m register")
    if data[1] == GET and observes:
        say("lwm2m observe", path)


def http(data):
    head = re.match(rb"(SUBSCRIBE|NOTIFY|POST|PUT) (\S+) HTTP/1.[01]\r\n(.*?)(\r\n\r\n|$)", data, re.S)
    if head is None:
        return
    method, path = head[1].decode(), head[2].decode()
    lines = [line.partition(":") for line in head[3].decode("latin-1").split("\r\n")]
    header = {name.strip().lower(): value.strip() for name, _, value in lines}
    if method == "SUBSCRIBE":
        say(*(("upnp renew", header["sid"]) if "sid" in header else ("upnp subscribe", path)))
    elif method == "NOTIFY":
        say("upnp notify", header.get("sid"))
    elif "x-m2m-origin" in header:
        kind = re.search(r"ty=(\d+)", header.get("content-type", ""))
        say(*(("onem2m create", kind[1], path) if method == "POST" and kind else ("onem2m update", path)))


def main():
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    raw.bind(("lo", 0x0800))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    say("listens")
    while True:
        packet, address = raw.recvfrom(1 << 16)
        if address[2] == OUTGOING:
            continue
        begin = (packet[0] & 15) * 4
        if packet[9] == socket.IPPROTO_UDP:
            coap(packet[begin + 8 :])
        elif packet[9] == socket.IPPROTO_TCP:
            http(packet[begin + (packet[begin + 12] >> 4) * 4 :])


main()
