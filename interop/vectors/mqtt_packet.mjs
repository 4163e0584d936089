// The golden vectors as mqtt-packet decodes them: lines of place, version and bytes in hex in, with tabs between; lines
// of place and `value` or `refused` with its text out. A value is in the notation of the vectors.

import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'

import { code, quote, quoteBytes } from './notation.mjs'

// The packages lie outside the repository's own files; the caller says where.
const require = createRequire(`${process.env.NODE_MODULES}/`)
const mqtt = require('mqtt-packet')

const LEVELS = { 3.1: 3, '3.1.1': 4, '5.0': 5 }

// In the order of their identifiers: what mqtt-packet calls a property, what the notation calls it, how it is written.
const PROPERTIES = [
  ['payloadFormatIndicator', 'payload_format_indicator', Number],
  ['messageExpiryInterval', 'message_expiry_interval', Number],
  ['contentType', 'content_type', quote],
  ['responseTopic', 'response_topic', quote],
  ['correlationData', 'correlation_data', bytes],
  ['subscriptionIdentifier', 'subscription_identifier', Number],
  ['sessionExpiryInterval', 'session_expiry_interval', Number],
  ['assignedClientIdentifier', 'assigned_client_identifier', quote],
  ['serverKeepAlive', 'server_keep_alive', Number],
  ['authenticationMethod', 'authentication_method', quote],
  ['authenticationData', 'authentication_data', bytes],
  ['requestProblemInformation', 'request_problem_information', Number],
  ['willDelayInterval', 'will_delay_interval', Number],
  ['requestResponseInformation', 'request_response_information', Number],
  ['responseInformation', 'response_information', quote],
  ['serverReference', 'server_reference', quote],
  ['reasonString', 'reason_string', quote],
  ['receiveMaximum', 'receive_maximum', Number],
  ['topicAliasMaximum', 'topic_alias_maximum', Number],
  ['topicAlias', 'topic_alias', Number],
  ['maximumQoS', 'maximum_qos', Number],
  ['retainAvailable', 'retain_available', Number],
  ['userProperties', 'user_property', String],
  ['maximumPacketSize', 'maximum_packet_size', Number],
  ['wildcardSubscriptionAvailable', 'wildcard_subscription_available', Number],
  ['subscriptionIdentifiersAvailable', 'subscription_identifier_available', Number],
  ['sharedSubscriptionAvailable', 'shared_subscription_available', Number],
]

// mqtt-packet slices its own list of buffers.
function bytes(slice) {
  return quoteBytes(Buffer.from(slice))
}

function properties(found) {
  if (!found) return ''
  const shown = PROPERTIES.flatMap(([theirs, ours, show]) => {
    if (!Object.hasOwn(found, theirs)) return []
    if (theirs === 'userProperties') return userProperties(found[theirs])
    return [found[theirs]].flat().map((value) => `${ours}=${show(value)}`)
  })
  return shown.length === 0 ? '' : ` {${shown.join(' ')}}`
}

function userProperties(found) {
  return Object.entries(found).flatMap(([name, values]) => [values].flat().map((value) => `user_property=${quote(name)}:${quote(value)}`))
}

const flag = (name, set) => (set ? ` ${name}` : '')
const codes = (list) => `[${(list ?? []).map(code).join(' ')}]`
const acknowledgement = (packet) => `id${packet.messageId} ${code(packet.reasonCode ?? 0)}${properties(packet.properties)}`

// 3.x return codes are shown as the reason codes that they became.
const RETURN_CODES = [0x00, 0x84, 0x85, 0x88, 0x86, 0x87]

const SHOW = {
  connect: (packet) => {
    const { will } = packet
    const version = { 3: 'v31', 4: 'v311', 5: 'v5' }[packet.protocolVersion]
    const shownWill = will && ` will(q${will.qos}${flag('retain', will.retain)} ${quote(will.topic)} ${bytes(will.payload)}${properties(will.properties)})`
    const user = packet.username === undefined ? '' : ` user ${quote(packet.username)}`
    const password = packet.password === undefined ? '' : ` password ${bytes(packet.password)}`
    return `CONNECT ${version}${flag('clean', packet.clean)} keep${packet.keepalive} ${quote(packet.clientId)}${shownWill ?? ''}${user}${password}${properties(packet.properties)}`
  },
  connack: (packet) => `CONNACK${flag('present', packet.sessionPresent)} ${code(packet.reasonCode ?? RETURN_CODES[packet.returnCode] ?? packet.returnCode)}${properties(packet.properties)}`,
  publish: (packet) => {
    const id = packet.qos === 0 ? '' : ` id${packet.messageId}`
    return `PUBLISH q${packet.qos}${id}${flag('dup', packet.dup)}${flag('retain', packet.retain)} ${quote(packet.topic)} ${bytes(packet.payload)}${properties(packet.properties)}`
  },
  puback: (packet) => `PUBACK ${acknowledgement(packet)}`,
  pubrec: (packet) => `PUBREC ${acknowledgement(packet)}`,
  pubrel: (packet) => `PUBREL ${acknowledgement(packet)}`,
  pubcomp: (packet) => `PUBCOMP ${acknowledgement(packet)}`,
  subscribe: (packet) => {
    const options = ({ qos, nl, rap, rh }) => ` q${qos}${flag('nl', nl)}${flag('rap', rap)}${rh ? ` rh${rh}` : ''}`
    const list = packet.subscriptions.map((subscription) => ` [${quote(subscription.topic)}${options(subscription)}]`)
    return `SUBSCRIBE id${packet.messageId}${list.join('')}${properties(packet.properties)}`
  },
  suback: (packet) => `SUBACK id${packet.messageId} ${codes(packet.granted)}${properties(packet.properties)}`,
  unsubscribe: (packet) => {
    const list = packet.unsubscriptions.map((filter) => ` [${quote(filter)}]`)
    return `UNSUBSCRIBE id${packet.messageId}${list.join('')}${properties(packet.properties)}`
  },
  unsuback: (packet) => `UNSUBACK id${packet.messageId} ${codes(packet.granted)}${properties(packet.properties)}`,
  pingreq: () => 'PINGREQ',
  pingresp: () => 'PINGRESP',
  disconnect: (packet) => `DISCONNECT ${code(packet.reasonCode ?? 0)}${properties(packet.properties)}`,
  auth: (packet) => `AUTH ${code(packet.reasonCode)}${properties(packet.properties)}`,
}

function judge(version, hex) {
  const parser = mqtt.parser({ protocolVersion: LEVELS[version] })
  const found = []
  let refused
  parser.on('packet', (packet) => found.push(packet))
  parser.on('error', (error) => (refused ??= error.message))
  try {
    const left = parser.parse(Buffer.from(hex, 'hex'))
    if (found.length !== 1 || left !== 0) refused ??= `${found.length} packets and ${left} bytes left`
    return refused === undefined ? ['value', SHOW[found[0].cmd](found[0])] : ['refused', refused]
  } catch (error) {
    return ['refused', `threw ${error}`]
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [place, version, hex] = line.split('\t')
  console.log([place, ...judge(version, hex)].join('\t'))
}
