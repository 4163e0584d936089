"""Cases that mean the same in MQTT 3.1, 3.1.1 and 5.0."""

from harness import check, wait


def qos_pair(published, subscribed):
    def case(it):
        subscriber, publisher = it.connected(), it.connected()
        check(subscriber.subscribe(it.topic(), qos=subscribed) == [subscribed], "another QoS was granted")
        publisher.publish(it.topic(), "hello", published)
        subscriber.expect(it.topic(), "hello", qos=min(published, subscribed), retain=False)

    return case


def retained(it):
    publisher = it.connected()
    publisher.publish(it.topic(), "22.0", 1, True)
    publisher.publish(it.topic(), "22.5", 1, True)
    late = it.connected()
    late.subscribe(it.topic(), qos=1)
    late.expect(it.topic(), "22.5", qos=1, retain=True)
    late.unsubscribe(it.topic())
    publisher.publish(it.topic(), "", 1, True)
    late.subscribe(it.topic(), qos=1)
    late.expect_nothing_before(it.topic())


def retained_by_wildcard(it):
    publisher = it.connected()
    topics = [it.topic(tail) for tail in ("a/x", "a/y", "b/x")]
    for topic in topics:
        publisher.publish(topic, topic, 1, True)
    late = it.connected()
    late.subscribe(it.topic("+/x"), qos=0)
    got = sorted(late.next().topic for _ in range(2))
    check(got == [topics[0], topics[2]], f"got {got}")
    for topic in topics:
        publisher.publish(topic, "", 1, True)


def unsubscribed(it):
    client = it.connected()
    client.subscribe(it.topic(), it.topic("other"), qos=0)
    client.unsubscribe(it.topic())
    client.publish(it.topic(), "unheard", 1)
    client.expect_nothing_before(it.topic("other"))


def overlapping_filters(it):
    """However many copies come, each has the QoS of a filter and the highest is among them."""
    client, publisher = it.connected(), it.connected()
    client.subscribe(it.topic("#"), qos=0)
    client.subscribe(it.topic("a/b"), qos=2)
    publisher.publish(it.topic("a/b"), "x", 2)
    publisher.publish(it.topic("end"), "x", 2)
    seen = []
    while True:
        message = client.next()
        if message.topic == it.topic("end"):
            break
        seen.append(message.qos)
    check(max(seen, default=-1) == 2 or client.next().qos == 2, f"QoS seen: {seen}")


def order_kept(it):
    client, publisher = it.connected(), it.connected()
    for qos in (0, 1, 2):
        client.subscribe(it.topic(str(qos)), qos=qos)
        for number in range(200):
            publisher.paho.publish(it.topic(str(qos)), str(number), qos)
        for number in range(200):
            client.expect(it.topic(str(qos)), str(number), qos=qos)


def large_payload(it):
    client = it.connected()
    client.subscribe(it.topic(), qos=2)
    payload = "0123456789abcdef" * 65_536
    client.publish(it.topic(), payload, 2)
    check(client.next().payload.decode() == payload, "the payload is not what was sent")


def empty_payload(it):
    client = it.connected()
    client.subscribe(it.topic(), qos=1)
    client.publish(it.topic(), "", 1)
    client.expect(it.topic(), "", qos=1)


def text_of_every_plane(it):
    topic = it.topic("température/東京/🌡/\ufeff")
    client = it.connected()
    client.subscribe(topic, qos=1)
    client.publish(topic, "22.5 °C", 1)
    client.expect(topic, "22.5 °C")


def will_after_cut(it):
    watcher = it.connected()
    watcher.subscribe(it.topic(), qos=1)
    doomed = it.connected(will={"topic": it.topic(), "payload": "offline", "qos": 1, "retain": True})
    doomed.cut()
    watcher.expect(it.topic(), "offline", qos=1, retain=False)
    late = it.connected()
    late.subscribe(it.topic(), qos=1)
    late.expect(it.topic(), "offline", qos=1, retain=True)
    late.publish(it.topic(), "", 1, True)


def no_will_after_disconnect(it):
    watcher = it.connected()
    watcher.subscribe(it.topic(), qos=1)
    leaving = it.connected(will={"topic": it.topic(), "payload": "offline", "qos": 1})
    leaving.disconnect()
    watcher.expect_nothing_before(it.topic())


def keeps(it, **more):
    """Arguments of a client whose session outlives its connection."""
    return {"clean": False, **({"expiry": 300} if it.version == "v5" else {}), **more}


def session_resumed(it):
    for qos in (1, 2):
        topic = it.topic(str(qos))
        client = it.client(**keeps(it, client_id=f"paho-resumed-{it.version}-{qos}"))
        flags, _, _ = client.connect()
        check(not flags.session_present, "a session is present at the first connection")
        client.subscribe(topic, qos=qos)
        client.cut()
        publisher = it.connected()
        for number in range(50):
            publisher.publish(topic, str(number), qos)
        flags, _, _ = client.connect()
        check(flags.session_present or it.version == "v31", "no session is present at the second connection")
        for number in range(50):
            client.expect(topic, str(number), qos=qos)
        client.disconnect()


def clean_start_forgets(it):
    topic = it.topic()
    kept = it.client(**keeps(it, client_id=f"paho-forgotten-{it.version}"))
    kept.connect()
    kept.subscribe(topic, qos=1)
    kept.disconnect()
    fresh = it.client(client_id=f"paho-forgotten-{it.version}")
    flags, _, _ = fresh.connect()
    check(not flags.session_present, "a session is present after a clean start")
    fresh.publish(topic, "unheard", 1)
    fresh.subscribe(it.topic("other"), qos=0)
    fresh.expect_nothing_before(it.topic("other"))


def taken_over(it):
    first = it.connected(client_id=f"paho-same-{it.version}")
    first.subscribe(it.topic(), qos=0)
    second = it.connected(client_id=f"paho-same-{it.version}")
    _, reason, _ = wait(first.disconnects, "end of the first connection")
    if it.version == "v5":
        check(reason.value == 0x8E, f"the first connection was told {reason}")
    second.subscribe(it.topic("second"), qos=0)
    second.expect_nothing_before(it.topic("second"))


def unfinished_exchange(qos):
    """A message that was not acknowledged comes again, marked, after a cut."""

    def case(it):
        client = it.client(**keeps(it, client_id=f"paho-unfinished-{it.version}-{qos}", manual_ack=True))
        client.connect()
        client.subscribe(it.topic(), qos=qos)
        publisher = it.connected()
        publisher.publish(it.topic(), "once more", qos)
        first = client.next()
        check(not first.dup, "the first delivery is marked as a repeat")
        client.cut()
        client.paho.manual_ack_set(False)
        client.connect()
        again = client.expect(it.topic(), "once more", qos=qos)
        check(again.dup, "the second delivery is not marked as a repeat")
        client.disconnect()

    return case


def cases():
    for version in ("v31", "v311", "v5"):
        for published in (0, 1, 2):
            for subscribed in (0, 1, 2):
                yield f"{version}/qos/{published}-{subscribed}", version, qos_pair(published, subscribed)
        yield f"{version}/unfinished-qos-1", version, unfinished_exchange(1)
        for function in (
            retained,
            retained_by_wildcard,
            unsubscribed,
            overlapping_filters,
            order_kept,
            large_payload,
            empty_payload,
            text_of_every_plane,
            will_after_cut,
            no_will_after_disconnect,
            session_resumed,
            clean_start_forgets,
            taken_over,
        ):
            yield f"{version}/{function.__name__.replace('_', '-')}", version, function
