// An mqtt.js client whose events become promises with an end, and the runner of the cases.

import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'

// The packages lie outside the repository's own files; the caller says where.
const require = createRequire(`${process.env.NODE_MODULES}/`)
const mqtt = require('mqtt')

const PATIENCE = 10_000
const VERSIONS = {
  v31: { protocolId: 'MQIsdp', protocolVersion: 3 },
  v311: { protocolId: 'MQTT', protocolVersion: 4 },
  v5: { protocolId: 'MQTT', protocolVersion: 5 },
}

export class Failed extends Error {}

export function check(condition, otherwise) {
  if (!condition) throw new Failed(otherwise)
}

// What arrives, in order, for whoever asks next.
class Mailbox {
  #arrived = []
  #waiting = []

  put(value) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(value)
    else this.#arrived.push(value)
  }

  take(what) {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift())
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Failed(`no ${what} within ${PATIENCE / 1000} s`)), PATIENCE)
      this.#waiting.push((value) => {
        clearTimeout(timer)
        resolve(value)
      })
    })
  }
}

// Each ends the client's part of a case: a message, a CONNACK, the end of the connection.
export class Client {
  constructor(port, version, options) {
    this.version = version
    this.messages = new Mailbox()
    this.connacks = new Mailbox()
    this.closes = new Mailbox()
    this.disconnects = new Mailbox()
    this.mqtt = mqtt.connect({ host: '127.0.0.1', port, ...VERSIONS[version], reconnectPeriod: 0, connectTimeout: PATIENCE, ...options })
    this.mqtt.on('connect', (packet) => this.connacks.put(packet))
    this.mqtt.on('message', (topic, payload, packet) => this.messages.put(packet))
    this.mqtt.on('close', () => this.closes.put(undefined))
    this.mqtt.on('disconnect', (packet) => this.disconnects.put(packet))
    // Errors show as a wait that does not end; the last one tells why.
    this.mqtt.on('error', (error) => (this.error = error))
  }

  async connected() {
    try {
      return await this.connacks.take('CONNACK')
    } catch (failed) {
      throw this.error ? new Failed(`${failed.message}: ${this.error.message}`) : failed
    }
  }

  // Subscribes and gives the granted QoS of each filter.
  async subscribe(filters, options = { qos: 0 }) {
    return (await this.mqtt.subscribeAsync(filters, options)).map((granted) => granted.qos)
  }

  unsubscribe(filter) {
    return this.mqtt.unsubscribeAsync(filter)
  }

  publish(topic, payload, options = {}) {
    return this.mqtt.publishAsync(topic, payload, options)
  }

  next() {
    return this.messages.take('PUBLISH')
  }

  async expect(topic, payload, fields = {}) {
    const packet = await this.next()
    check(packet.topic === topic && packet.payload.toString() === payload, `expected ${topic} ${payload}, got ${packet.topic} ${packet.payload}`)
    for (const [name, value] of Object.entries(fields)) {
      check(packet[name] === value, `expected ${name} ${value}, got ${packet[name]}`)
    }
    return packet
  }

  // Publishes a marker to the client's own subscription: nothing else may come before it.
  async expectNothingBefore(topic) {
    await this.publish(topic, 'marker')
    await this.expect(topic, 'marker')
  }

  // Ends the connection without a DISCONNECT.
  async cut() {
    this.mqtt.stream.destroy()
    await this.closes.take('end of the connection')
  }

  async disconnect() {
    await this.mqtt.endAsync()
  }
}

class Case {
  #clients = []

  constructor(name, port, version) {
    Object.assign(this, { name, port, version })
  }

  topic(tail = '') {
    return `mqttjs/${this.name}${tail && `/${tail}`}`
  }

  client(options = {}) {
    const clientId = `js-${this.name.replaceAll('/', '-')}-${this.#clients.length}`
    const client = new Client(this.port, this.version, { clientId, ...options })
    this.#clients.push(client)
    return client
  }

  async connected(options) {
    const client = this.client(options)
    await client.connected()
    return client
  }

  async close() {
    await Promise.all(this.#clients.map((client) => client.mqtt.endAsync(true)))
  }
}

// Runs [name, version, function] and prints a line for each, as the caller of the scripts reads them.
export async function run(cases) {
  const { values } = parseArgs({
    options: { port: { type: 'string' }, skip: { type: 'string', multiple: true, default: [] }, only: { type: 'string', default: '' } },
  })
  for (const [name, version, body] of cases) {
    if (!name.includes(values.only)) continue
    if (values.skip.includes(name)) {
      console.log(`not run ${name}: skipped`)
      continue
    }
    const it = new Case(name, Number(values.port), version)
    try {
      await body(it)
      console.log(`ok ${name}`)
    } catch (error) {
      if (!(error instanceof Failed)) console.error(error)
      console.log(`FAIL ${name}: ${String(error.message).replaceAll('\n', ' ')}`)
    }
    await it.close()
  }
  console.log('done')
}
