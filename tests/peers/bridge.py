"""A bridge as one writes it in Python: aiomqtt and slixmpp. `bridge.py MQTT_PORT XMPP_PORT JID PASSWORD TO`. A contender of `bench-peers`."""
import asyncio
import sys

import aiomqtt
import slixmpp


async def main(mqtt_port, xmpp_port, jid, password, to):
    client = slixmpp.ClientXMPP(jid, password)
    client.register_plugin("xep_0198")
    client.enable_starttls = client.enable_direct_tls = False
    client.enable_plaintext = True
    client.plugin["feature_mechanisms"].unencrypted_scram = True
    online = asyncio.get_running_loop().create_future()
    client.add_event_handler("session_start", lambda _: online.done() or online.set_result(None))
    client.connect("127.0.0.1", int(xmpp_port))
    await online
    session = dict(port=int(mqtt_port), identifier="python-bench", clean_session=False, max_queued_incoming_messages=0)
    async with aiomqtt.Client("127.0.0.1", **session) as broker:
        await broker.subscribe("bench/+", qos=1)
        async for message in broker.messages:
            client.send_message(mto=to, mbody=message.payload.decode(), mtype="chat")
            # One turn of the loop, so that the stanza leaves.
            await asyncio.sleep(0)


asyncio.run(main(*sys.argv[1:]))
