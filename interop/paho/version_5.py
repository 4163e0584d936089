"""Cases about what only MQTT 5.0 has."""

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from harness import check, properties, wait


def publish_properties(it):
    sent = properties(
        PacketTypes.PUBLISH,
        PayloadFormatIndicator=1,
        ContentType="application/json",
        ResponseTopic=it.topic("answer"),
        CorrelationData=b"\x00\x01order",
        UserProperty=[("unit", "kelvin"), ("unit", "celsius"), ("a", "")],
    )
    client = it.connected()
    client.subscribe(it.topic(), qos=1)
    client.publish(it.topic(), "{}", 1, False, sent)
    got = client.next().properties
    for name in ("PayloadFormatIndicator", "ContentType", "ResponseTopic", "CorrelationData", "UserProperty"):
        check(getattr(got, name, None) == getattr(sent, name), f"{name}: {getattr(got, name, None)}")


def retained_properties(it):
    client = it.connected()
    client.publish(it.topic(), "x", 1, True, properties(PacketTypes.PUBLISH, ContentType="text/plain", UserProperty=[("k", "v")]))
    late = it.connected()
    late.subscribe(it.topic(), qos=1)
    got = late.next().properties
    check(got.ContentType == "text/plain" and got.UserProperty == [("k", "v")], f"{got}")
    client.publish(it.topic(), "", 1, True)


def message_expiry_counts_down(it):
    client = it.connected()
    client.subscribe(it.topic(), qos=1)
    client.publish(it.topic(), "x", 1, False, properties(PacketTypes.PUBLISH, MessageExpiryInterval=1000))
    left = client.next().properties.MessageExpiryInterval
    check(990 <= left <= 1000, f"{left} seconds left of 1000")


def expired_message_is_not_delivered(it):
    """One message expires while its receiver is away; a retained one with a later end shows when that is over."""
    away = it.client(clean=False, expiry=300, client_id="away-for-expiry")
    away.connect()
    away.subscribe(it.topic(), qos=1)
    away.disconnect()
    publisher = it.connected()
    publisher.publish(it.topic(), "short", 1, False, properties(PacketTypes.PUBLISH, MessageExpiryInterval=1))
    publisher.publish(it.topic("clock"), "x", 1, True, properties(PacketTypes.PUBLISH, MessageExpiryInterval=2))
    while retained_is_there(publisher, it.topic("clock")):
        pass
    publisher.publish(it.topic(), "long", 1)
    away.connect()
    away.expect(it.topic(), "long")
    away.disconnect()


def retained_is_there(client, topic):
    """Whether a retained message comes before one that is sent after subscribing."""
    client.subscribe(topic, qos=0)
    client.publish(topic, "marker", 0)
    first = client.next()
    if first.retain:
        client.expect(topic, "marker")
    client.unsubscribe(topic)
    return bool(first.retain)


def subscription_identifiers(it):
    client = it.connected()
    identified = lambda number: properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=number)
    client.subscribe(it.topic("+"), qos=0, properties=identified(7))
    client.subscribe(it.topic("a"), qos=1, properties=identified(268_435_455))
    client.publish(it.topic("a"), "x", 1)
    client.publish(it.topic("end"), "x", 1)
    seen = []
    while True:
        message = client.next()
        if message.topic == it.topic("end"):
            break
        seen.extend(message.properties.SubscriptionIdentifier)
    if len(seen) < 2:
        seen.extend(client.next().properties.SubscriptionIdentifier)
    check(sorted(seen) == [7, 268_435_455], f"identifiers: {seen}")


def no_local(it):
    client, other = it.connected(), it.connected()
    client.subscribe(it.topic(), options=SubscribeOptions(qos=1, noLocal=True))
    client.publish(it.topic(), "own", 1)
    other.publish(it.topic(), "of another", 1)
    client.expect(it.topic(), "of another")


def retain_as_published(it):
    kept, cleared = it.connected(), it.connected()
    kept.subscribe(it.topic(), options=SubscribeOptions(qos=1, retainAsPublished=True))
    cleared.subscribe(it.topic(), options=SubscribeOptions(qos=1, retainAsPublished=False))
    kept.publish(it.topic(), "x", 1, True)
    kept.expect(it.topic(), "x", retain=True)
    cleared.expect(it.topic(), "x", retain=False)
    kept.publish(it.topic(), "", 1, True)


def retain_handling(it):
    publisher = it.connected()
    publisher.publish(it.topic(), "kept", 1, True)
    handling = lambda value: SubscribeOptions(qos=1, retainHandling=value)
    always, once, never = it.connected(), it.connected(), it.connected()
    for _ in range(2):
        always.subscribe(it.topic(), options=handling(0))
        always.expect(it.topic(), "kept", retain=True)
    once.subscribe(it.topic(), options=handling(1))
    once.expect(it.topic(), "kept", retain=True)
    once.subscribe(it.topic(), options=handling(1))
    never.subscribe(it.topic(), options=handling(2))
    publisher.publish(it.topic(), "live", 1)
    once.expect(it.topic(), "live")
    never.expect(it.topic(), "live")
    publisher.publish(it.topic(), "", 1, True)


def topic_alias_of_client(it):
    sender, receiver = it.client(), it.connected()
    _, _, connack = sender.connect()
    check(getattr(connack, "TopicAliasMaximum", 0) >= 2, "the broker takes no aliases")
    receiver.subscribe(it.topic("#"), qos=1)
    alias = lambda number: properties(PacketTypes.PUBLISH, TopicAlias=number)
    for topic, number, payload in ((it.topic("a"), 1, "1"), (it.topic("b"), 2, "2"), ("", 1, "3"), ("", 2, "4"), (it.topic("c"), 1, "5"), ("", 1, "6")):
        sender.publish(topic, payload, 1, False, alias(number))
    for topic, payload in (("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"), ("c", "5"), ("c", "6")):
        receiver.expect(it.topic(topic), payload)


def assigned_client_id(it):
    first, second = it.client(client_id=""), it.client(client_id="")
    ids = [client.connect()[2].AssignedClientIdentifier for client in (first, second)]
    check(ids[0] and ids[1] and ids[0] != ids[1], f"assigned: {ids}")


def session_expires_at_disconnect(it):
    client = it.client(clean=False, expiry=0, client_id="expires-at-once")
    client.connect()
    client.subscribe(it.topic(), qos=1)
    client.disconnect()
    flags, _, _ = client.connect()
    check(not flags.session_present, "the session is still there")


def expiry_set_by_disconnect(it):
    client = it.client(clean=False, expiry=300, client_id="expiry-by-disconnect")
    client.connect()
    client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Normal disconnection"), properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
    flags, _, _ = client.connect()
    check(not flags.session_present, "the session is still there")


def will_on_request(it):
    watcher = it.connected()
    watcher.subscribe(it.topic(), qos=1)
    leaving = it.connected(will={"topic": it.topic(), "payload": "offline", "qos": 1, "properties": properties(PacketTypes.WILLMESSAGE, ContentType="text/plain", UserProperty=[("k", "v")])})
    leaving.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
    got = watcher.expect(it.topic(), "offline", qos=1).properties
    check(got.ContentType == "text/plain" and got.UserProperty == [("k", "v")], f"{got}")


def will_delay_ended_by_return(it):
    watcher = it.connected()
    watcher.subscribe(it.topic(), qos=1)
    will = {"topic": it.topic(), "payload": "offline", "qos": 1, "properties": properties(PacketTypes.WILLMESSAGE, WillDelayInterval=300)}
    client = it.client(clean=False, expiry=600, client_id="back-in-time", will=will)
    client.connect()
    client.cut()
    client.connect()
    client.disconnect()
    watcher.expect_nothing_before(it.topic())


def will_delay_ends_with_session(it):
    watcher = it.connected()
    watcher.subscribe(it.topic(), qos=1)
    will = {"topic": it.topic(), "payload": "offline", "qos": 1, "properties": properties(PacketTypes.WILLMESSAGE, WillDelayInterval=300)}
    client = it.connected(clean=False, expiry=600, client_id="never-back", will=will)
    client.cut()
    fresh = it.client(clean=True, client_id="never-back")
    fresh.connect()
    watcher.expect(it.topic(), "offline")


def receive_maximum_of_client(it):
    """With one message at a time in flight, all still come, in order."""
    client = it.connected(connect_properties=properties(PacketTypes.CONNECT, ReceiveMaximum=1))
    client.subscribe(it.topic(), qos=2)
    publisher = it.connected()
    for number in range(20):
        publisher.publish(it.topic(), str(number), 1 + number % 2)
    got = sorted(int(client.next().payload) for _ in range(20))
    check(got == list(range(20)), f"got {got}")


def packet_too_large_for_client(it):
    """A message over the client's maximum is left out, and the connection stays."""
    client = it.connected(connect_properties=properties(PacketTypes.CONNECT, MaximumPacketSize=200))
    client.subscribe(it.topic(), qos=1)
    publisher = it.connected()
    publisher.publish(it.topic(), "x" * 1_000, 1)
    publisher.publish(it.topic(), "small", 1)
    client.expect(it.topic(), "small")


def nobody_subscribed(it):
    reason = it.connected().publish(it.topic(), "x", 1)
    check(reason in (0x00, 0x10), f"reason code {reason:#04x}")


def unsubscribe_reason_codes(it):
    client = it.connected()
    client.subscribe(it.topic(), qos=0)
    reasons = [[reason.value for reason in client.unsubscribe(it.topic())] for _ in range(2)]
    check(reasons == [[0x00], [0x11]], f"reason codes {reasons}")


def shared_subscription(it):
    members = [it.connected(), it.connected()]
    for member in members:
        member.subscribe(f"$share/group/{it.topic()}", qos=1)
        member.subscribe(it.topic("end"), qos=1)
    publisher = it.connected()
    for number in range(100):
        publisher.publish(it.topic(), str(number), 1)
    publisher.publish(it.topic("end"), "end", 1)
    seen = []
    for member in members:
        while (message := member.next()).topic != it.topic("end"):
            seen.append(int(message.payload))
    check(sorted(seen) == list(range(100)), f"the group got {sorted(seen)}")


def shared_subscription_fails_over(it):
    """What a member had in flight or would have got goes to the other when its session ends."""
    leaving = it.connected(manual_ack=True)
    staying = it.client()
    staying.connect()
    leaving.subscribe(f"$share/group/{it.topic()}", qos=1)
    publisher = it.connected()
    publisher.publish(it.topic(), "first", 1)
    leaving.expect(it.topic(), "first")
    staying.subscribe(f"$share/group/{it.topic()}", qos=1)
    leaving.cut()
    staying.expect(it.topic(), "first")
    publisher.publish(it.topic(), "second", 1)
    staying.expect(it.topic(), "second")


def request_response(it):
    server, client = it.connected(), it.connected()
    server.subscribe(it.topic("ask"), qos=1)
    client.subscribe(it.topic("answer"), qos=1)
    client.publish(it.topic("ask"), "how much?", 1, False, properties(PacketTypes.PUBLISH, ResponseTopic=it.topic("answer"), CorrelationData=b"42"))
    asked = server.next().properties
    server.publish(asked.ResponseTopic, "100.0", 1, False, properties(PacketTypes.PUBLISH, CorrelationData=asked.CorrelationData))
    check(client.expect(it.topic("answer"), "100.0").properties.CorrelationData == b"42", "another request was answered")


def malformed_filter_is_refused(it):
    """Refused in SUBACK or by the end of the connection: both are allowed, a grant is not."""
    client = it.connected()
    # paho looks at filters itself; the packet is therefore built past its check.
    client.paho._filter_wildcard_len_check = lambda _: 0
    client.paho.subscribe([(it.topic("a#"), SubscribeOptions(qos=1))])
    try:
        _, reasons = client.subacks.get(timeout=2)
        check(all(reason.is_failure for reason in reasons), f"SUBACK says {reasons}")
    except Exception as error:
        if not client.disconnects.empty():
            return
        raise error


def cases():
    for function in (
        publish_properties,
        retained_properties,
        message_expiry_counts_down,
        expired_message_is_not_delivered,
        subscription_identifiers,
        no_local,
        retain_as_published,
        retain_handling,
        topic_alias_of_client,
        assigned_client_id,
        session_expires_at_disconnect,
        expiry_set_by_disconnect,
        will_on_request,
        will_delay_ended_by_return,
        will_delay_ends_with_session,
        receive_maximum_of_client,
        packet_too_large_for_client,
        nobody_subscribed,
        unsubscribe_reason_codes,
        shared_subscription,
        shared_subscription_fails_over,
        request_response,
        malformed_filter_is_refused,
    ):
        yield f"v5/{function.__name__.replace('_', '-')}", "v5", function
