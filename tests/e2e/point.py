"""A foreign control point: async-upnp-client. Looks for a device by its name, listens to it, and does what it is told line by line.

Arguments: our address in the network, the name. Input: `on`, `off`, or `renew` for the subscription. Output: `found TYPE`, `listens`,
`event VARIABLE VALUE`, `did on`, `renewed the same`.
"""

import asyncio
import sys

from async_upnp_client.aiohttp import AiohttpNotifyServer, AiohttpRequester
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.search import async_search


def say(*words):
    print(*words, flush=True)


async def find(address, name):
    requester = AiohttpRequester(timeout=30)
    factory = UpnpFactory(requester)
    while True:
        places = set()

        async def heard(headers):
            places.add(headers["location"])

        await async_search(heard, timeout=2, search_target="upnp:rootdevice", source=(address, 0))
        for place in places:
            device = await factory.async_create_device(place)
            if device.name == name:
                return requester, device


async def main():
    address, name = sys.argv[1:]
    requester, device = await find(address, name)
    say("found", device.device_type)
    server = AiohttpNotifyServer(requester, source=(address, 0))
    await server.async_start_server()
    service = device.service("urn:schemas-upnp-org:service:SwitchPower:1")

    def changed(_service, variables):
        for variable in variables:
            say("event", variable.name, variable.value)

    service.on_event = changed
    sid, _ = await server.event_handler.async_subscribe(service)
    say("listens")
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        if line == "renew":
            renewed, _ = await server.event_handler.async_resubscribe(service)
            say("renewed", "the same" if renewed == sid else "as another")
            continue
        await service.action("SetTarget").async_call(newTargetValue=line == "on")
        say("did", line)
    await server.event_handler.async_unsubscribe_all()
    await server.async_stop_server()


asyncio.run(main())
