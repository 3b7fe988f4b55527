"""A foreign XMPP client: slixmpp, driven line by line.

Reads one JSON command a line from standard input and writes one JSON object a line to standard output:
{"answer": ID, ...} for a command, {"stanza": XML} for everything that arrives, {"event": NAME} for the session itself.
Uses slixmpp's own xep_0030, xep_0050, xep_0323, xep_0325 and xep_0332 wherever the command is about them, so that their habits are tested and not ours.
"""

import asyncio
import json
import os
import sys
from xml.etree import ElementTree as ET

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream import tostring
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath


def tell(**members):
    sys.stdout.write(json.dumps(members) + "\n")
    sys.stdout.flush()


class Peer(slixmpp.ClientXMPP):
    def __init__(self, settings):
        super().__init__(settings["jid"], os.environ["PEER_PASSWORD"])
        self.address = (settings["host"], settings["port"])
        self.enable_direct_tls = False
        if settings.get("ca"):
            self.ca_certs = settings["ca"]
        else:
            self.enable_plaintext = True
            self.enable_starttls = False
            self.plugin["feature_mechanisms"].unencrypted_scram = True
        for plugin in ("xep_0030", "xep_0050", "xep_0115", "xep_0199", "xep_0323", "xep_0325", "xep_0045", "xep_0060", "xep_0163", "xep_0184", "xep_0332"):
            self.register_plugin(plugin)
        self.keep_promises()
        self.stay = True
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("disconnected", self.ended)
        self.add_event_handler("failed_auth", lambda _: tell(event="refused"))

    def incoming_filter(self, xml):
        if xml.tag.startswith("{jabber:client}"):
            tell(stanza=tostring(xml))
        return xml

    def keep_promises(self):
        """Keeps and handles messages with a promise, which slixmpp does not know, and tells which were delivered."""
        ns = "urn:nf:iot:qos:1.0"
        kept = {}

        def answer(iq):
            payload = iq.xml[0]
            name, key = payload.tag.partition("}")[2], payload.get("msgId")
            reply = iq.reply()
            if name == "assured":
                kept[key] = tostring(payload[0])
                reply.append(ET.Element("{jabber:client}received", {"msgId": key}))
            elif name == "deliver" and key in kept:
                tell(delivered=kept.pop(key))
            elif name == "acknowledged":
                tell(delivered=tostring(payload[0]))
            reply.send()

        for name in ("acknowledged", "assured", "deliver"):
            self.register_handler(Callback("qos " + name, MatchXPath("{jabber:client}iq/{%s}%s" % (ns, name)), answer))

    def go(self):
        self.connect(*self.address)

    async def started(self, _):
        self.send_presence()
        tell(event="online", jid=str(self.boundjid))

    async def ended(self, _):
        tell(event="offline")
        if self.stay:
            await asyncio.sleep(0.2)
            self.go()

    # Each command answers exactly once.

    async def do_info(self, command):
        info = await self.plugin["xep_0030"].get_info(jid=command["to"], node=command.get("node"), timeout=20)
        info = info["disco_info"]
        return {"features": sorted(info["features"]), "identities": [list(map(str, i)) for i in info["identities"]]}

    async def do_items(self, command):
        items = await self.plugin["xep_0030"].get_items(jid=command["to"], node=command.get("node"), timeout=20)
        return {"items": [list(map(str, i)) for i in items["disco_items"]["items"]]}

    async def do_read(self, command):
        """All that slixmpp's xep_0323 calls back with, up to the end."""
        seen, done = [], asyncio.get_running_loop().create_future()

        def callback(from_jid, result, nodeId=None, timestamp=None, fields=None, error_msg=None):
            seen.append({"result": result, "node": nodeId, "at": timestamp, "fields": fields, "error": error_msg})
            if result in ("done", "failure", "rejected") and not done.done():
                done.set_result(None)

        self.plugin["xep_0323"].request_data(
            self.boundjid.full, command["to"], callback, command.get("nodes"), command.get("fields"), command.get("flags")
        )
        await asyncio.wait_for(done, 30)
        return {"seen": seen}

    async def do_set(self, command):
        """What slixmpp's xep_0325 calls back with."""
        done = asyncio.get_running_loop().create_future()

        def callback(from_jid, result, nodeIds=None, fields=None, error_msg=None):
            if not done.done():
                done.set_result({"result": result, "error": error_msg})

        fields = [tuple(field) for field in command["fields"]]
        self.plugin["xep_0325"].set_request(self.boundjid.full, command["to"], callback, fields, command.get("nodes"))
        return await asyncio.wait_for(done, 30)

    async def do_command(self, command):
        """xep_0325 by message, which nobody answers."""
        fields = [tuple(field) for field in command["fields"]]
        self.plugin["xep_0325"].set_command(self.boundjid.full, command["to"], fields, command.get("nodes"))
        return {}

    async def do_adhoc(self, command):
        """A step of an ad-hoc command: what slixmpp's xep_0050 makes of the answer."""
        payload = []
        if "form" in command:
            form = self.plugin["xep_0004"].make_form(ftype="submit")
            for var, value in command["form"].items():
                form.add_field(var=var, value=value)
            payload = [form]
        iq = await self.plugin["xep_0050"].send_command(
            command["to"],
            command["node"],
            action=command.get("action", "execute"),
            sessionid=command.get("session"),
            payload=payload,
            timeout=20,
        )
        step = iq["command"]
        form = step["form"]
        rows = [{var: field for var, field in item.items()} for item in form.get_items()] if form.xml.findall(
            "{jabber:x:data}item") else []
        return {
            "status": step["status"],
            "session": step["sessionid"],
            "notes": [list(note) for note in step["notes"]],
            "fields": {var: field["value"] for var, field in form.get_fields().items()},
            "options": {var: [o["value"] for o in field["options"]] for var, field in form.get_fields().items()},
            "rows": rows,
        }

    async def do_say(self, command):
        """A chat message, as a person types it."""
        self.send_message(mto=command["to"], mbody=command["body"], mtype="chat")
        return {}

    async def do_device(self, command):
        """Becomes a device itself: one node with a temperature and a relay that can be set, as slixmpp's own classes have it."""
        from slixmpp.plugins.xep_0323.device import Device as Sensor
        from slixmpp.plugins.xep_0325.device import Device as Control

        class Relay(Control):
            def _set_field_value(self, name, value):
                super()._set_field_value(name, value)
                sensor._add_field_momentary_data(name, value)
                tell(event="set", name=name, value=value)

        node = command["node"]
        sensor, control = Sensor(node), Relay(node)
        sensor._add_field("Temperature", "numeric", unit="C")
        sensor._add_field("relay", "boolean")
        sensor._add_field_momentary_data("Temperature", command["temperature"])
        sensor._add_field_momentary_data("relay", "false")
        control._add_control_field("relay", "boolean", "false")
        self.plugin["xep_0323"].register_node(nodeId=node, device=sensor, commTimeout=20)
        self.plugin["xep_0325"].register_node(nodeId=node, device=control, commTimeout=20)
        return {}

    async def do_raw(self, command):
        self.send_raw(command["xml"])
        return {}

    async def do_greet(self, command):
        """Directed presence, with the capabilities that tell that this is slixmpp."""
        self.send_presence(pto=command["to"])
        return {}

    async def do_befriend(self, command):
        """Both see each other's presence: slixmpp approves by itself."""
        self.send_presence_subscription(pto=command["to"])
        return {}

    async def do_notify(self, command):
        """Wants to be told what contacts publish (xep_0163)."""
        self.plugin["xep_0163"].add_interest(command["node"])
        await asyncio.sleep(0)
        self.send_presence()
        return {}

    async def do_subscribe_node(self, command):
        answer = await self.plugin["xep_0060"].subscribe(command["to"], command["node"], timeout=20)
        return {"subscription": answer["pubsub"]["subscription"]["subscription"]}

    async def do_node_items(self, command):
        answer = await self.plugin["xep_0060"].get_items(command["to"], command["node"], timeout=20)
        return {"items": [tostring(item.xml) for item in answer["pubsub"]["items"]]}

    async def do_enter(self, command):
        await self.plugin["xep_0045"].join_muc_wait(command["room"], command["nick"], timeout=20)
        return {}

    async def do_push(self, command):
        """Publishes one item with slixmpp's xep_0060."""
        payload = ET.fromstring(command["payload"])
        publish = self.plugin["xep_0060"].publish
        answer = await publish(command["to"], command["node"], id=command.get("item"), payload=payload, timeout=20)
        return {"item": answer["pubsub"]["publish"]["item"]["id"]}

    async def do_look(self, command):
        """What xep_0060 finds in a node: ids and payloads."""
        answer = await self.plugin["xep_0060"].get_items(command["to"], command["node"], timeout=20)
        items = [item for item in answer["pubsub"]["items"]["substanzas"] if item.name == "item"]
        return {"items": [[item["id"], tostring(item["payload"])] for item in items]}

    async def do_retract(self, command):
        await self.plugin["xep_0060"].retract(command["to"], command["node"], command["item"], timeout=20)
        return {}

    async def do_iq(self, command):
        """An iq with any payload; gives the answer as XML."""
        iq = self.make_iq(ito=command["to"], itype=command["type"])
        iq.append(ET.fromstring(command["xml"]))
        return {"xml": tostring((await iq.send(timeout=30)).xml)}

    async def do_http(self, command):
        """A request by slixmpp's xep_0332; what it makes of the answer."""
        answer = await self.plugin["xep_0332"].send_request(
            to=command["to"], method=command["method"], resource=command["resource"], headers={"Accept": "*/*"},
            data=command.get("data"), timeout=30
        )
        response = answer["http-resp"]
        return {"code": response["code"], "message": response["message"], "data": response["data"]}

    async def do_serve_http(self, _):
        """Answers requests by slixmpp's xep_0332 with what was asked."""
        def answer(iq):
            request = iq["http-req"]
            text = "%s %s %s" % (request["method"], request["resource"], request["data"])
            self.plugin["xep_0332"].send_response(
                to=iq["from"], id=iq["id"], code=200, message="OK", headers={"Content-Type": "text/plain"}, data=text
            )

        self.add_event_handler("http_request", answer)
        return {}

    async def do_ping(self, command):
        return {"seconds": await self.plugin["xep_0199"].ping(command["to"], timeout=20)}

    async def do_quit(self, _):
        self.stay = False
        await self.disconnect()
        asyncio.get_running_loop().stop()
        return {}

    async def obey(self, line):
        command = json.loads(line)
        try:
            answer = await getattr(self, "do_" + command["do"])(command)
        except IqError as error:
            answer = {"iq_error": error.condition, "kind": error.etype}
        except (IqTimeout, asyncio.TimeoutError):
            answer = {"iq_error": "timeout"}
        tell(answer=command["id"], **answer)


async def listen(peer):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**22)
    pipe = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # The loop itself holds tasks weakly.
    under_way = set()
    while line := await reader.readline():
        task = loop.create_task(peer.obey(line))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    pipe[0].close()
    loop.stop()


def main():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    peer = Peer(json.loads(sys.argv[1]))
    peer.go()
    listening = loop.create_task(listen(peer))
    loop.run_forever()
    listening.cancel()


main()
