// The notation in which a vector's value is written (crates/whinchat-codec/testdata/README.md), as far as it is written.

// A run of one character that is longer than this is written as a repetition.
const RUN_MIN = 17

const hex = (number, digits) => number.toString(16).padStart(digits, '0')

export const code = (number) => `0x${hex(number, 2)}`

export function quote(text) {
  const characters = [...text]
  if (characters.length >= RUN_MIN && characters.every((character) => character === characters[0])) {
    return `'${escape(characters[0])}'*${characters.length}`
  }
  return `'${characters.map(escape).join('')}'`
}

function escape(character) {
  if (character === "'" || character === '\\') return `\\${character}`
  return character >= ' ' && character <= '~' ? character : `\\u{${character.codePointAt(0).toString(16)}}`
}

export function quoteBytes(bytes) {
  if (bytes.every((byte) => byte >= 0x20 && byte <= 0x7e)) return quote(bytes.toString('latin1'))
  if (bytes.length >= RUN_MIN && bytes.every((byte) => byte === bytes[0])) return `x'${hex(bytes[0], 2)}'*${bytes.length}`
  return `x'${bytes.toString('hex')}'`
}
