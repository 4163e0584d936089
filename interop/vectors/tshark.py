"""The golden vectors as tshark dissects them.

Lines of place, version and bytes in hex in, with tabs between; lines of place and `value` or `refused` with its text
out. A value is in the notation of the vectors. Each vector is a TCP conversation of its own in a capture file; what tshark says comes as PDML,
of which only the names of the fields and their bytes are read.
"""

import os
import re
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from typing import NamedTuple

from notation import code, quote, quote_bytes

# Vectors by the version that tshark is told to expect; a CONNECT says its own.
VERSIONS = {"3.1": "MQTT v3.1", "3.1.1": "MQTT v3.1.1", "5.0": "MQTT v5.0"}

NAMES = {
    0x01: "payload_format_indicator",
    0x02: "message_expiry_interval",
    0x03: "content_type",
    0x08: "response_topic",
    0x09: "correlation_data",
    0x0B: "subscription_identifier",
    0x11: "session_expiry_interval",
    0x12: "assigned_client_identifier",
    0x13: "server_keep_alive",
    0x15: "authentication_method",
    0x16: "authentication_data",
    0x17: "request_problem_information",
    0x18: "will_delay_interval",
    0x19: "request_response_information",
    0x1A: "response_information",
    0x1C: "server_reference",
    0x1F: "reason_string",
    0x21: "receive_maximum",
    0x22: "topic_alias_maximum",
    0x23: "topic_alias",
    0x24: "maximum_qos",
    0x25: "retain_available",
    0x26: "user_property",
    0x27: "maximum_packet_size",
    0x28: "wildcard_subscription_available",
    0x29: "subscription_identifier_available",
    0x2A: "shared_subscription_available",
}
BINARY = (0x09, 0x16)
SUBSCRIPTION_IDENTIFIER = 0x0B

# 3.x return codes are shown as the reason codes that they became.
RETURN_CODES = [0x00, 0x84, 0x85, 0x88, 0x86, 0x87]

# tshark reads binary data as strings and wonders about a NUL in them; it wonders about an alias that nobody defined.
HARMLESS = ("_ws.string.trailing_stray_characters", "mqtt.unknown_topic_alias")


class Vector(NamedTuple):
    place: str
    version: str
    data: bytes


class Refused(Exception):
    pass


# ---- the capture

LINK_TYPE_RAW_IP = 101
SEGMENT_MAX = 60_000


def capture(vectors, path):
    """One conversation a vector; the time of its packets, in seconds, is its number."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, LINK_TYPE_RAW_IP))
        for number, vector in enumerate(vectors):
            data = vector.data
            for at in range(0, max(len(data), 1), SEGMENT_MAX):
                packet = segment(number, at, data[at : at + SEGMENT_MAX])
                out.write(struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet)


def segment(conversation, at, data):
    client, server = struct.pack(">I", 0x0A000000 + conversation), b"\x0a\xff\xff\xfe"
    tcp = struct.pack(">HHIIBBHHH", 40_000, 1883, 1 + at, 1, 0x50, 0x18, 0xFFFF, 0, 0) + data
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
    return header + client + server + tcp


# ---- what tshark says


def dissected(path, version):
    """For each number of a vector, the dissections of its conversation."""
    command = ["tshark", "-r", path, "-o", f"mqtt.default_version:{VERSIONS[version]}", "-T", "pdml", "-J", "mqtt"]
    pdml = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    # Texts are shown as they are, with characters that XML does not have.
    text = re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", pdml.decode("utf-8", "replace"))
    found = {}
    for packet in re.findall("<packet>.*?</packet>", text, re.DOTALL):
        protocols = ElementTree.fromstring(packet).findall("proto")
        general = next(protocol for protocol in protocols if protocol.get("name") == "geninfo")
        time = next(field.get("value") for field in general if field.get("name") == "timestamp")
        found.setdefault(int(float(time)), []).extend(protocols)
    return found


def judge(protocols, length):
    """The value of the only MQTT packet in the conversation."""
    if any(protocol.get("name") == "_ws.malformed" for protocol in protocols):
        raise Refused("malformed")
    packets = [protocol for protocol in protocols if protocol.get("name") == "mqtt"]
    if len(packets) != 1 or int(packets[0].get("size")) != length:
        sizes = [int(packet.get("size")) for packet in packets]
        raise Refused(f"packets of {sizes} bytes")
    for expert in packets[0].iter("field"):
        if expert.get("name") == "_ws.expert" and expert[0].get("name") not in HARMLESS:
            raise Refused(expert.get("showname"))
    return Packet(packets[0]).shown()


class Packet:
    """The fields of a packet, taken from first to last."""

    def __init__(self, protocol):
        self.fields = [field for field in protocol if not is_added(field)]

    def take(self, name, missing=None):
        """The bytes of the next field, if it has this name."""
        if self.fields and self.fields[0].get("name") == name:
            return raw(self.fields.pop(0))
        if missing is None:
            found = self.fields[0].get("name") if self.fields else "the end"
            raise Refused(f"{found} instead of {name}")
        return missing

    def number(self, name, missing=None):
        return int.from_bytes(self.take(name, missing), "big")

    def string(self, name):
        """A length, then text of this length; tshark leaves a field out that has no bytes."""
        return quote(self.data(name).decode("utf-8"))

    def data(self, name, length_name=None):
        self.take(length_name or f"{name}_len")
        return self.take(name, b"")

    def properties(self, name="mqtt.properties"):
        if not self.fields or self.fields[0].get("name") != name:
            return ""
        return shown_properties(self.fields.pop(0))

    def shown(self):
        first = self.number("mqtt.hdrflags")
        self.take("mqtt.len")
        show = SHOW.get(first >> 4)
        if show is None:
            raise Refused("no such packet")
        shown = show(self, first & 0x0F)
        if self.fields:
            raise Refused(f"{self.fields[0].get('name')} behind all else")
        return shown


def is_added(field):
    """Is no field of the packet: a remark, or the topic of an alias, which stands behind all else."""
    return field.get("name") == "_ws.expert" or (field.get("name") == "mqtt.topic" and field.get("size") == "0")


def raw(field):
    # A field of bits carries the whole byte aside.
    return bytes.fromhex(field.get("unmaskedvalue") or field.get("value") or "")


def flag(name, is_set):
    return f" {name}" if is_set else ""


def shown_properties(section):
    fields = [field for field in section if field.get("name") not in ("_ws.expert", "mqtt.property_len")]
    found = []
    while fields:
        identifier = raw(fields.pop(0))[0]
        if identifier not in NAMES or not fields:
            raise Refused(f"property {identifier:#04x}")
        values = []
        while fields and fields[0].get("name") != "mqtt.property_id":
            field = fields.pop(0)
            if not field.get("name").endswith("_len"):
                values.append(shown_value(identifier, field))
        found.append((identifier, f"{NAMES[identifier]}={':'.join(values)}"))
    # In the order of identifiers; those that repeat keep theirs.
    found.sort(key=lambda item: item[0])
    return f" {{{' '.join(shown for _, shown in found)}}}" if found else ""


def shown_value(identifier, field):
    data, name = raw(field), field.get("name")
    if name == "mqtt.property.content_type":
        return quote(data[2:].decode("utf-8"))
    if name in ("mqtt.prop_string", "mqtt.prop_key", "mqtt.prop_value"):
        return quote_bytes(data) if identifier in BINARY else quote(data.decode("utf-8"))
    if identifier == SUBSCRIPTION_IDENTIFIER:
        return str(sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(data)))
    return str(int.from_bytes(data, "big"))


def connect(packet, _flags):
    packet.data("mqtt.protoname", "mqtt.proto_len")
    level = packet.number("mqtt.ver")
    version = {3: "v31", 4: "v311", 5: "v5"}.get(level, str(level))
    flags = packet.number("mqtt.conflags")
    keep_alive = packet.number("mqtt.kalive")
    properties = packet.properties()
    client_id = packet.string("mqtt.clientid")
    will = ""
    if flags & 0x04:
        will_properties = packet.properties("mqtt.will_properties")
        topic = packet.string("mqtt.willtopic")
        message = quote_bytes(packet.data("mqtt.willmsg"))
        will = f" will(q{flags >> 3 & 3}{flag('retain', flags & 0x20)} {topic} {message}{will_properties})"
    user = f" user {packet.string('mqtt.username')}" if flags & 0x80 else ""
    password = f" password {quote_bytes(packet.data('mqtt.passwd'))}" if flags & 0x40 else ""
    return f"CONNECT {version}{flag('clean', flags & 0x02)} keep{keep_alive} {client_id}{will}{user}{password}{properties}"


def connack(packet, _flags):
    if packet.fields[0].get("name") == "mqtt.conack.flags.reserved":
        # In 3.1 no bit of it has a meaning.
        packet.take("mqtt.conack.flags.reserved")
        present = ""
    else:
        present = flag("present", packet.number("mqtt.conack.flags") & 1)
    if packet.fields and packet.fields[0].get("name") == "mqtt.conack.val":
        number = packet.number("mqtt.conack.val")
        reason = RETURN_CODES[number] if number < len(RETURN_CODES) else number
    else:
        reason = packet.number("mqtt.connack.reason_code")
    return f"CONNACK{present} {code(reason)}{packet.properties()}"


def publish(packet, flags):
    qos = flags >> 1 & 3
    topic = packet.string("mqtt.topic")
    identifier = f" id{packet.number('mqtt.msgid')}" if qos else ""
    properties = packet.properties()
    payload = quote_bytes(packet.take("mqtt.msg", b""))
    return f"PUBLISH q{qos}{identifier}{flag('dup', flags & 8)}{flag('retain', flags & 1)} {topic} {payload}{properties}"


def acknowledgement(name):
    def show(packet, _flags):
        identifier = packet.number("mqtt.msgid")
        reason = packet.number(f"mqtt.{name.lower()}.reason_code", b"")
        return f"{name} id{identifier} {code(reason)}{packet.properties()}"

    return show


def subscribe(packet, _flags):
    identifier, properties, filters = packet.number("mqtt.msgid"), packet.properties(), ""
    while packet.fields:
        filters += f" [{packet.string('mqtt.topic')}"
        if packet.fields and packet.fields[0].get("name") == "mqtt.subscription_options":
            options = packet.number("mqtt.subscription_options")
            handling = options >> 4 & 3
            filters += f" q{options & 3}{flag('nl', options & 4)}{flag('rap', options & 8)}{flag(f'rh{handling}', handling)}]"
        else:
            filters += f" q{packet.number('mqtt.sub.qos')}]"
    return f"SUBSCRIBE id{identifier}{filters}{properties}"


def unsubscribe(packet, _flags):
    identifier, properties, filters = packet.number("mqtt.msgid"), packet.properties(), ""
    while packet.fields:
        filters += f" [{packet.string('mqtt.topic')}]"
    return f"UNSUBSCRIBE id{identifier}{filters}{properties}"


def granted(name):
    def show(packet, _flags):
        identifier, properties, codes = packet.number("mqtt.msgid"), packet.properties(), []
        while packet.fields:
            is_v3 = packet.fields[0].get("name") == "mqtt.suback.qos"
            codes.append(code(packet.number("mqtt.suback.qos" if is_v3 else f"mqtt.{name.lower()}.reason_code")))
        return f"{name} id{identifier} [{' '.join(codes)}]{properties}"

    return show


def ending(name):
    def show(packet, _flags):
        reason = packet.number(f"mqtt.{name.lower()}.reason_code", b"")
        return f"{name} {code(reason)}{packet.properties()}"

    return show


SHOW = {
    1: connect,
    2: connack,
    3: publish,
    4: acknowledgement("PUBACK"),
    5: acknowledgement("PUBREC"),
    6: acknowledgement("PUBREL"),
    7: acknowledgement("PUBCOMP"),
    8: subscribe,
    9: granted("SUBACK"),
    10: unsubscribe,
    11: granted("UNSUBACK"),
    12: lambda packet, _flags: "PINGREQ",
    13: lambda packet, _flags: "PINGRESP",
    14: ending("DISCONNECT"),
    15: ending("AUTH"),
}


def main():
    rows = (line.rstrip("\n").split("\t") for line in sys.stdin)
    vectors = [Vector(place, version, bytes.fromhex(data)) for place, version, data in rows]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "vectors.pcap")
        for version in VERSIONS:
            chosen = [vector for vector in vectors if vector.version == version]
            capture(chosen, path)
            found = dissected(path, version)
            for number, vector in enumerate(chosen):
                try:
                    answer = "value\t" + judge(found.get(number, []), len(vector.data))
                except (Refused, UnicodeDecodeError) as error:
                    answer = f"refused\t{error}"
                print(f"{vector.place}\t{answer}")


main()
