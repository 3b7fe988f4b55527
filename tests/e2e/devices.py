"""Devices by libraries of their conventions: each switches when it is told to, and says so in the way of its convention.

    devices.py homeassistant|homie4|homie5|sparkplug PORT

Prints what it was told, a line each: `told NAME VALUE`. Ends with its input.
"""

import sys
import threading
import time

HOST = "127.0.0.1"


def say(name, value):
    print("told", name, value, flush=True)


def homeassistant(port):
    from ha_mqtt_discoverable import DeviceInfo, Settings
    from ha_mqtt_discoverable.sensors import Sensor, SensorInfo, Switch, SwitchInfo

    mqtt = Settings.MQTT(host=HOST, port=port)
    device = DeviceInfo(name="Bench Plug", identifiers="bench-plug-1", manufacturer="Acme", model="P1")

    def command(_client, _data, message):
        payload = message.payload.decode()
        say("switch", payload)
        switch.on() if payload == "ON" else switch.off()

    info = SwitchInfo(name="Relay", unique_id="bench-plug-1-relay", device=device)
    switch = Switch(Settings(mqtt=mqtt, entity=info), command)
    switch.off()
    info = SensorInfo(name="Power", unique_id="bench-plug-1-power", unit_of_measurement="W", device=device)
    power = Sensor(Settings(mqtt=mqtt, entity=info))

    def measure():
        # The library retains no state, so a sensor says it again and again, as they do.
        while True:
            power.set_state(12.5)
            time.sleep(1)

    threading.Thread(target=measure, daemon=True).start()
    return lambda: None


def homie4(port):
    from homie.device_dimmer import Device_Dimmer

    class Dimmer(Device_Dimmer):
        def set_dimmer(self, percent):
            say("dimmer", percent)
            self.update_dimmer(percent)

    dimmer = Dimmer(device_id="dimmer-4", name="Dimmer", mqtt_settings={"MQTT_BROKER": HOST, "MQTT_PORT": port})
    dimmer.update_dimmer(10)
    return dimmer.close


def homie5(port):
    from ebus_sdk.homie import Device, Node, Property, PropertyDatatype

    def switch(value):
        say("on", value)
        on.set_value(value == "true")
        on.publish_value(force=True)

    on = Property(
        id="on", name="On", datatype=PropertyDatatype.BOOLEAN, value=False, settable=True, set_callback=switch
    )
    device = Device(id="relay-5", name="Relay", mqtt_cfg={"host": HOST, "port": port}, homie_domain="homie")
    with device.state_transition():
        node = device.add_node(Node(id="relay", name="Relay"))
        node.add_property(on)
    device.start_mqtt_client()
    return device.stop


def sparkplug(port):
    import pysparkplug as psp

    def metric(name, datatype, value):
        return psp.Metric(timestamp=psp.get_current_timestamp(), name=name, datatype=datatype, value=value)

    def node_command(edge, message):
        say("edge", ",".join(str(metric.name) for metric in message.payload.metrics))
        if any(metric.name == "Node Control/Rebirth" for metric in message.payload.metrics):
            threading.Thread(target=born_again).start()

    def born_again():
        # This library has no rebirth of its own: a new session is one.
        edge.disconnect()
        edge.connect(HOST, port=port)

    def device_command(edge, message):
        for one in message.payload.metrics:
            say(one.name, one.value)
            edge.update_device("boiler", [metric(one.name, psp.DataType.BOOLEAN, one.value)])

    boiler = psp.Device(
        "boiler",
        [metric("Temperature", psp.DataType.DOUBLE, 21.5), metric("Valve", psp.DataType.BOOLEAN, False)],
        cmd_callback=device_command,
    )
    metrics = [metric("Node Control/Rebirth", psp.DataType.BOOLEAN, False), metric("Uptime", psp.DataType.INT64, 7)]
    edge = psp.EdgeNode("plant", "edge", metrics, cmd_callback=node_command)
    edge.register(boiler)
    edge.connect(HOST, port=port)
    print("connected", flush=True)
    for line in sys.stdin:
        edge.update_device("boiler", [metric("Temperature", psp.DataType.DOUBLE, float(line))])
    return edge.disconnect


if __name__ == "__main__":
    end = globals()[sys.argv[1]](int(sys.argv[2]))
    print("ready", flush=True)
    sys.stdin.read()
    end()
