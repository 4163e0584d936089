// Cases that mean the same in MQTT 3.1, 3.1.1 and 5.0.

import { check } from './harness.mjs'

const qosPair = (published, subscribed) => async (it) => {
  const subscriber = await it.connected()
  const publisher = await it.connected()
  const granted = await subscriber.subscribe(it.topic(), { qos: subscribed })
  check(granted[0] === subscribed, `QoS ${granted[0]} was granted`)
  await publisher.publish(it.topic(), 'hello', { qos: published })
  await subscriber.expect(it.topic(), 'hello', { qos: Math.min(published, subscribed), retain: false })
}

const retained = async (it) => {
  const publisher = await it.connected()
  await publisher.publish(it.topic(), '22.0', { qos: 1, retain: true })
  await publisher.publish(it.topic(), '22.5', { qos: 1, retain: true })
  const late = await it.connected()
  await late.subscribe(it.topic(), { qos: 1 })
  await late.expect(it.topic(), '22.5', { qos: 1, retain: true })
  await late.unsubscribe(it.topic())
  await publisher.publish(it.topic(), '', { qos: 1, retain: true })
  await late.subscribe(it.topic(), { qos: 1 })
  await late.expectNothingBefore(it.topic())
}

const willAfterCut = async (it) => {
  const watcher = await it.connected()
  await watcher.subscribe(it.topic(), { qos: 1 })
  const doomed = await it.connected({ will: { topic: it.topic(), payload: Buffer.from('offline'), qos: 1, retain: false } })
  await doomed.cut()
  await watcher.expect(it.topic(), 'offline', { qos: 1 })
}

const noWillAfterDisconnect = async (it) => {
  const watcher = await it.connected()
  await watcher.subscribe(it.topic(), { qos: 1 })
  const leaving = await it.connected({ will: { topic: it.topic(), payload: Buffer.from('offline'), qos: 1, retain: false } })
  await leaving.disconnect()
  await watcher.expectNothingBefore(it.topic())
}

const keeps = (it, clientId) => ({ clientId, clean: false, ...(it.version === 'v5' && { properties: { sessionExpiryInterval: 300 } }) })

const sessionResumed = (qos) => async (it) => {
  const options = keeps(it, `js-resumed-${it.version}-${qos}`)
  const first = await it.connected(options)
  await first.subscribe(it.topic(), { qos })
  await first.cut()
  const publisher = await it.connected()
  for (let number = 0; number < 20; number++) await publisher.publish(it.topic(), `${number}`, { qos })
  const again = it.client(options)
  const connack = await again.connected()
  check(connack.sessionPresent || it.version === 'v31', 'no session is present')
  for (let number = 0; number < 20; number++) await again.expect(it.topic(), `${number}`, { qos })
  await again.unsubscribe(it.topic())
}

// mqtt.js connects again by itself, subscribes again, and sends what was queued in between.
const reconnects = async (it) => {
  const client = await it.connected({ reconnectPeriod: 10 })
  await client.subscribe(it.topic(), { qos: 1 })
  client.mqtt.stream.destroy()
  await client.closes.take('end of the connection')
  const published = client.publish(it.topic(), 'queued', { qos: 1 })
  await client.connected()
  await published
  await client.publish(it.topic(), 'later', { qos: 1 })
  // What was queued may have left before the new SUBSCRIBE.
  const payload = (await client.next()).payload.toString()
  if (payload === 'queued') await client.expect(it.topic(), 'later')
  else check(payload === 'later', `got ${payload}`)
}

const takenOver = async (it) => {
  const clientId = `js-same-${it.version}`
  const first = await it.connected({ clientId })
  await it.connected({ clientId })
  await first.closes.take('end of the first connection')
}

// Ten at a time: mqtt.js itself pays no heed to the broker's Receive Maximum.
const manyInOrder = async (it) => {
  const client = await it.connected()
  await client.subscribe(it.topic(), { qos: 2 })
  for (let first = 0; first < 300; first += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, offset) => client.publish(it.topic(), `${first + offset}`, { qos: 2 })))
  }
  for (let number = 0; number < 300; number++) await client.expect(it.topic(), `${number}`, { qos: 2 })
}

const binaryPayload = async (it) => {
  const client = await it.connected()
  await client.subscribe(it.topic(), { qos: 1 })
  const payload = Buffer.from(Array.from({ length: 100_000 }, (_, at) => at % 256))
  await client.publish(it.topic(), payload, { qos: 1 })
  check((await client.next()).payload.equals(payload), 'the payload is not what was sent')
}

export function* cases() {
  for (const version of ['v31', 'v311', 'v5']) {
    for (const published of [0, 1, 2]) {
      for (const subscribed of [0, 1, 2]) yield [`${version}/qos/${published}-${subscribed}`, version, qosPair(published, subscribed)]
    }
    yield [`${version}/retained`, version, retained]
    yield [`${version}/will-after-cut`, version, willAfterCut]
    yield [`${version}/no-will-after-disconnect`, version, noWillAfterDisconnect]
    yield [`${version}/session-resumed-qos-1`, version, sessionResumed(1)]
    yield [`${version}/session-resumed-qos-2`, version, sessionResumed(2)]
    yield [`${version}/reconnects`, version, reconnects]
    yield [`${version}/taken-over`, version, takenOver]
    yield [`${version}/many-in-order`, version, manyInOrder]
    yield [`${version}/binary-payload`, version, binaryPayload]
  }
}
