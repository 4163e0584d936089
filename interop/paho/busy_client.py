"""A client that does much by itself, for `whinchat conformance --client --run` to judge paho by.

Subscribes, publishes at every QoS all the time over a session that is kept, and comes back when it is cut off.
"""

import argparse
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TOPIC = "conformance/from/a/client"


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def on_connect(client, userdata, flags, reason, given):
    client.subscribe("conformance/all/#", qos=2)
    client.subscribe("conformance/other", qos=0)
    client.unsubscribe("conformance/other")


def messages(is_v5):
    for qos in (0, 1, 2):
        yield dict(payload="plain", qos=qos)
        yield dict(payload="kept", qos=qos, retain=True)
        yield dict(payload="x" * 1000, qos=qos)
        if is_v5:
            for values in (
                dict(MessageExpiryInterval=1),
                dict(ResponseTopic="conformance/answers"),
                dict(ContentType="text/plain", UserProperty=("a", "b")),
            ):
                yield dict(payload="text", qos=qos, properties=properties(PacketTypes.PUBLISH, **values))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", choices=["31", "311", "5"], required=True)
    given = parser.parse_args()
    is_v5 = given.version == "5"
    protocol = {"31": mqtt.MQTTv31, "311": mqtt.MQTTv311, "5": mqtt.MQTTv5}[given.version]
    session = {} if is_v5 else {"clean_session": False}
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="busy", protocol=protocol, **session)
    client.on_connect = on_connect
    client.will_set("conformance/will", "gone", qos=1, retain=True)
    client.username_pw_set("user", "password")
    client.reconnect_delay_set(min_delay=1, max_delay=1)
    connect = {}
    if is_v5:
        connect = dict(
            clean_start=False,
            properties=properties(PacketTypes.CONNECT, SessionExpiryInterval=3600, TopicAliasMaximum=10),
        )
    client.connect(given.host, given.port, keepalive=2, **connect)
    client.loop_start()
    while True:
        for message in messages(is_v5):
            client.publish(TOPIC, **message)
        time.sleep(0.3)


main()
