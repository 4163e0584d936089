"""paho-mqtt under the same load: python paho_client.py CASE PORT COUNT prints seconds and CPU seconds."""

import sys
import threading
import time

import paho.mqtt.client as mqtt

case, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
qos = 1 if case.endswith("qos1") else 0
payload, topic, window = b"x" * 16, "sensors/temperature/lab1", 1000

wall, cpu = time.perf_counter(), time.process_time()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bench", protocol=mqtt.MQTTv311)
client.max_inflight_messages_set(window)
client.max_queued_messages_set(0)
connected, done = threading.Event(), threading.Event()
room = threading.Semaphore(window)
counted = 0


def note(*_):
    global counted
    counted += 1
    room.release()
    if counted == count:
        done.set()


client.on_connect = lambda *_: connected.set()
client.on_message = note
client.on_publish = note
client.connect("127.0.0.1", port)
client.loop_start()
connected.wait()
if case.startswith("receive"):
    client.subscribe("sensors/#", qos)
else:
    for _ in range(count):
        room.acquire()
        client.publish(topic, payload, qos)
done.wait()
print(time.perf_counter() - wall, time.process_time() - cpu)
client.disconnect()
client.loop_stop()
