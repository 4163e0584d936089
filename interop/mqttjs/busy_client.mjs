// A client that does much by itself, for `whinchat conformance --client --run` to judge mqtt.js by.
//
// Subscribes, publishes at every QoS all the time over a session that is kept, and comes back when it is cut off.

import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const mqtt = createRequire(`${process.env.NODE_MODULES}/`)("mqtt");

const { values: given } = parseArgs({
  options: { host: { type: "string" }, port: { type: "string" }, version: { type: "string" } },
});
const is5 = given.version === "5";
const client = mqtt.connect({
  host: given.host,
  port: Number(given.port),
  protocol: "mqtt",
  protocolVersion: { 31: 3, 311: 4, 5: 5 }[given.version],
  protocolId: given.version === "31" ? "MQIsdp" : "MQTT",
  clientId: "busy",
  clean: false,
  keepalive: 2,
  reconnectPeriod: 100,
  username: "user",
  password: "password",
  will: { topic: "conformance/will", payload: "gone", qos: 1, retain: true },
  properties: is5 ? { sessionExpiryInterval: 3600, topicAliasMaximum: 10 } : undefined,
});

// What the broker refuses, and that the connection is cut, is part of the game.
const ignore = () => {};
client.on("error", ignore);

client.on("connect", () => {
  client.subscribe("conformance/all/#", { qos: 2 }, ignore);
  client.subscribe("conformance/other", { qos: 0 }, () => client.unsubscribe("conformance/other", ignore));
});

const properties = is5
  ? [
      { messageExpiryInterval: 1 },
      { responseTopic: "conformance/answers" },
      { contentType: "text/plain", userProperties: { a: "b" } },
    ]
  : [];

setInterval(() => {
  if (!client.connected) return;
  for (const qos of [0, 1, 2]) {
    const publish = (payload, options) =>
      client.publish("conformance/from/a/client", payload, { qos, ...options }, ignore);
    publish("plain");
    publish("kept", { retain: true });
    publish("x".repeat(1000));
    for (const one of properties) publish("text", { properties: one });
  }
}, 300);
