// Cases about what only MQTT 5.0 has.

import { check } from './harness.mjs'

const publishProperties = async (it) => {
  const client = await it.connected()
  await client.subscribe(it.topic(), { qos: 1 })
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'application/json',
    responseTopic: it.topic('answer'),
    correlationData: Buffer.from([0, 1, 2]),
    userProperties: { unit: ['kelvin', 'celsius'], a: '' },
  }
  await client.publish(it.topic(), '{}', { qos: 1, properties })
  const got = (await client.next()).properties
  check(got.payloadFormatIndicator === true, `payload format indicator ${got.payloadFormatIndicator}`)
  check(got.contentType === 'application/json', `content type ${got.contentType}`)
  check(got.responseTopic === it.topic('answer'), `response topic ${got.responseTopic}`)
  check(got.correlationData.equals(properties.correlationData), `correlation data ${got.correlationData}`)
  check(JSON.stringify(got.userProperties) === JSON.stringify(properties.userProperties), `user properties ${JSON.stringify(got.userProperties)}`)
}

const subscriptionIdentifiers = async (it) => {
  const client = await it.connected()
  await client.subscribe(it.topic('+'), { qos: 0, properties: { subscriptionIdentifier: 7 } })
  await client.publish(it.topic('a'), 'x', { qos: 1 })
  const { properties } = await client.next()
  check([properties.subscriptionIdentifier].flat()[0] === 7, `identifier ${properties.subscriptionIdentifier}`)
}

const noLocal = async (it) => {
  const client = await it.connected()
  const other = await it.connected()
  await client.subscribe(it.topic(), { qos: 1, nl: true })
  await client.publish(it.topic(), 'own', { qos: 1 })
  await other.publish(it.topic(), 'of another', { qos: 1 })
  await client.expect(it.topic(), 'of another')
}

const retainAsPublished = async (it) => {
  const client = await it.connected()
  await client.subscribe(it.topic(), { qos: 1, rap: true })
  await client.publish(it.topic(), 'x', { qos: 1, retain: true })
  await client.expect(it.topic(), 'x', { retain: true })
  await client.publish(it.topic(), '', { qos: 1, retain: true })
}

const messageExpiry = async (it) => {
  const client = await it.connected()
  await client.subscribe(it.topic(), { qos: 1 })
  await client.publish(it.topic(), 'x', { qos: 1, properties: { messageExpiryInterval: 1000 } })
  const left = (await client.next()).properties.messageExpiryInterval
  check(left >= 990 && left <= 1000, `${left} seconds left of 1000`)
}

// The client sends aliases of its own accord as soon as a topic comes a second time.
const topicAliasOfClient = async (it) => {
  const receiver = await it.connected()
  await receiver.subscribe(it.topic('#'), { qos: 1 })
  const sender = await it.connected({ autoAssignTopicAlias: true, autoUseTopicAlias: true })
  const topics = ['a', 'b', 'a', 'c', 'b', 'a']
  for (const tail of topics) await sender.publish(it.topic(tail), tail, { qos: 1 })
  for (const tail of topics) await receiver.expect(it.topic(tail), tail)
}

// Allows the broker aliases: whether or not it uses them, the topics are whole.
const topicAliasOfServer = async (it) => {
  const receiver = await it.connected({ properties: { topicAliasMaximum: 10 } })
  await receiver.subscribe(it.topic('#'), { qos: 1 })
  const sender = await it.connected()
  for (let number = 0; number < 30; number++) await sender.publish(it.topic(`${number % 15}`), `${number}`, { qos: 1 })
  for (let number = 0; number < 30; number++) {
    const packet = await receiver.next()
    // With an alias of an earlier message the topic is empty on the wire, and mqtt.js puts it back for the listener.
    check(packet.payload.toString() === `${number}`, `expected ${number}, got ${packet.payload}`)
  }
}

const requestResponse = async (it) => {
  const server = await it.connected()
  const client = await it.connected()
  await server.subscribe(it.topic('ask'), { qos: 1 })
  await client.subscribe(it.topic('answer'), { qos: 1 })
  const properties = { responseTopic: it.topic('answer'), correlationData: Buffer.from('42') }
  await client.publish(it.topic('ask'), 'how much?', { qos: 1, properties })
  const asked = (await server.next()).properties
  await server.publish(asked.responseTopic, '100.0', { qos: 1, properties: { correlationData: asked.correlationData } })
  const answer = await client.expect(it.topic('answer'), '100.0')
  check(answer.properties.correlationData.toString() === '42', 'another request was answered')
}

const sharedSubscription = async (it) => {
  const members = [await it.connected(), await it.connected()]
  for (const member of members) {
    await member.subscribe(`$share/group/${it.topic()}`, { qos: 1 })
    await member.subscribe(it.topic('end'), { qos: 1 })
  }
  const publisher = await it.connected()
  for (let number = 0; number < 50; number++) await publisher.publish(it.topic(), `${number}`, { qos: 1 })
  await publisher.publish(it.topic('end'), 'end', { qos: 1 })
  const seen = []
  for (const member of members) {
    for (let packet = await member.next(); packet.topic !== it.topic('end'); packet = await member.next()) seen.push(Number(packet.payload))
  }
  seen.sort((one, other) => one - other)
  check(seen.length === 50 && seen.every((number, at) => number === at), `the group got ${seen}`)
}

const assignedClientId = async (it) => {
  const ids = []
  for (let count = 0; count < 2; count++) ids.push((await it.client({ clientId: '' }).connected()).properties.assignedClientIdentifier)
  check(ids[0] && ids[1] && ids[0] !== ids[1], `assigned: ${ids}`)
}

const willProperties = async (it) => {
  const watcher = await it.connected()
  await watcher.subscribe(it.topic(), { qos: 1 })
  const will = { topic: it.topic(), payload: Buffer.from('offline'), qos: 1, retain: false, properties: { contentType: 'text/plain', userProperties: { k: 'v' } } }
  await (await it.connected({ will })).cut()
  const { properties } = await watcher.expect(it.topic(), 'offline', { qos: 1 })
  check(properties.contentType === 'text/plain' && properties.userProperties.k === 'v', JSON.stringify(properties))
}

export function* cases() {
  const all = {
    publishProperties,
    subscriptionIdentifiers,
    noLocal,
    retainAsPublished,
    messageExpiry,
    topicAliasOfClient,
    topicAliasOfServer,
    requestResponse,
    sharedSubscription,
    assignedClientId,
    willProperties,
  }
  for (const [name, body] of Object.entries(all)) yield [`v5/${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, 'v5', body]
}
