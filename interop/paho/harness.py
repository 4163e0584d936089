"""A paho client whose callbacks become things to wait for, and the runner of the cases.

Every wait has an end; nothing sleeps to see whether something happens.
"""

import argparse
import queue
import sys
import threading
import traceback

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

PATIENCE = 10
VERSIONS = {"v31": mqtt.MQTTv31, "v311": mqtt.MQTTv311, "v5": mqtt.MQTTv5}


class Client:
    """One connection at a time, with queues for what arrives."""

    def __init__(self, port, version, client_id="", clean=True, expiry=None, will=None, connect_properties=None, manual_ack=False):
        self.port = port
        self.version = version
        self.clean = clean
        self.messages = queue.Queue()
        self.connects = queue.Queue()
        self.disconnects = queue.Queue()
        self.acks = queue.Queue()
        self.subacks = queue.Queue()
        self.unsubacks = queue.Queue()
        arguments = {"client_id": client_id, "protocol": VERSIONS[version], "reconnect_on_failure": False, "manual_ack": manual_ack}
        if version != "v5":
            arguments["clean_session"] = clean
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **arguments)
        self.paho.on_connect = lambda c, u, flags, reason, properties: self.connects.put((flags, reason, properties))
        self.paho.on_disconnect = lambda c, u, flags, reason, properties: self.disconnects.put((flags, reason, properties))
        self.paho.on_message = lambda c, u, message: self.messages.put(message)
        self.paho.on_publish = lambda c, u, mid, reason, properties: self.acks.put((mid, reason))
        self.paho.on_subscribe = lambda c, u, mid, reasons, properties: self.subacks.put((mid, reasons))
        self.paho.on_unsubscribe = lambda c, u, mid, reasons, properties: self.unsubacks.put((mid, reasons))
        if will is not None:
            self.paho.will_set(**will)
        self.properties = None
        if version == "v5":
            self.properties = connect_properties or Properties(PacketTypes.CONNECT)
            if expiry is not None:
                self.properties.SessionExpiryInterval = expiry

    def connect(self):
        """Connects and gives (flags, reason, properties) of the CONNACK."""
        if self.version == "v5":
            self.paho.connect("127.0.0.1", self.port, keepalive=60, clean_start=self.clean, properties=self.properties)
        else:
            self.paho.connect("127.0.0.1", self.port, keepalive=60)
        self.paho.loop_start()
        flags, reason, properties = wait(self.connects, "CONNACK")
        check(not reason.is_failure, f"CONNACK says {reason}")
        return flags, reason, properties

    def subscribe(self, *filters, qos=0, options=None, properties=None):
        """Subscribes and gives the reason codes."""
        if options is None and self.version == "v5":
            options = SubscribeOptions(qos=qos)
        pairs = [(name, options if self.version == "v5" else qos) for name in filters]
        _, mid = self.paho.subscribe(pairs, properties=properties) if self.version == "v5" else self.paho.subscribe(pairs)
        acked, reasons = wait(self.subacks, "SUBACK")
        check(acked == mid, f"SUBACK for {acked}, SUBSCRIBE was {mid}")
        return [reason.value for reason in reasons]

    def unsubscribe(self, name):
        _, mid = self.paho.unsubscribe(name)
        acked, reasons = wait(self.unsubacks, "UNSUBACK")
        check(acked == mid, f"UNSUBACK for {acked}, UNSUBSCRIBE was {mid}")
        return reasons

    def publish(self, topic, payload="", qos=0, retain=False, properties=None):
        """Publishes and waits for the end of the exchange; gives the reason code."""
        info = self.paho.publish(topic, payload, qos, retain, properties)
        while True:
            mid, reason = wait(self.acks, f"end of QoS {qos} PUBLISH")
            if mid == info.mid:
                return reason.value

    def next(self):
        return wait(self.messages, "PUBLISH")

    def expect(self, topic, payload, qos=None, retain=None):
        message = self.next()
        got = (message.topic, message.payload.decode())
        check(got == (topic, payload), f"expected {(topic, payload)}, got {got}")
        check(qos is None or message.qos == qos, f"expected QoS {qos}, got {message.qos}")
        check(retain is None or message.retain == retain, f"expected retain {retain}, got {message.retain}")
        return message

    def expect_nothing_before(self, topic, payload="marker", qos=0):
        """Publishes a marker to the client's own subscription: nothing else may come before it."""
        self.publish(topic, payload, qos)
        self.expect(topic, payload)

    def cut(self):
        """Ends the connection without a DISCONNECT."""
        self.paho.loop_stop() if not self.paho._thread else None
        self.paho._sock.shutdown(2)
        wait(self.disconnects, "end of the connection")
        self.paho.loop_stop()

    def disconnect(self, reason=None, properties=None):
        self.paho.disconnect(reason, properties) if self.version == "v5" else self.paho.disconnect()
        wait(self.disconnects, "end of the connection")
        self.paho.loop_stop()

    def close(self):
        """Ends whatever is left, for the end of a case."""
        self.paho.disconnect()
        self.paho.loop_stop()


class Case:
    """What a case works with: clients that end with it, and names of its own."""

    def __init__(self, name, port, version):
        self.name = name
        self.port = port
        self.version = version
        self.clients = []

    def topic(self, tail=""):
        return f"paho/{self.name}" + (f"/{tail}" if tail else "")

    def client(self, **arguments):
        """A client that is not connected yet. Its id is made from the name of the case."""
        arguments.setdefault("client_id", f"{self.version}-{abs(hash(self.name)) % 100_000}-{len(self.clients)}")
        client = Client(self.port, self.version, **arguments)
        self.clients.append(client)
        return client

    def connected(self, **arguments):
        client = self.client(**arguments)
        client.connect()
        return client

    def close(self):
        for client in self.clients:
            client.close()


class Failed(Exception):
    """A case found something else than it expected."""


def check(condition, otherwise):
    if not condition:
        raise Failed(otherwise)


def wait(of, what):
    try:
        return of.get(timeout=PATIENCE)
    except queue.Empty:
        raise Failed(f"no {what} within {PATIENCE} s") from None


def properties(packet_type, **values):
    """Properties of one packet: `properties(PacketTypes.PUBLISH, ContentType="text/plain")`."""
    made = Properties(packet_type)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def run(cases):
    """Runs (name, version, function) and prints a line for each, as the caller of the scripts reads them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--skip", action="append", default=[])
    parser.add_argument("--only")
    arguments = parser.parse_args()
    # Errors in paho's own thread belong to a case too.
    stray = []
    threading.excepthook = lambda args: stray.append(repr(args.exc_value))
    for name, version, function in cases:
        if arguments.only and arguments.only not in name:
            continue
        if name in arguments.skip:
            print(f"not run {name}: skipped", flush=True)
            continue
        case = Case(name, arguments.port, version)
        try:
            function(case)
            check(not stray, f"paho's thread ended with {stray}")
            print(f"ok {name}", flush=True)
        except Failed as failed:
            print(f"FAIL {name}: {failed}", flush=True)
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            print(f"FAIL {name}: {error!r}", flush=True)
        finally:
            stray.clear()
            case.close()
    print("done", flush=True)
