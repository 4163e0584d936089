"""The notation in which a vector's value is written (crates/whinchat-codec/testdata/README.md), as far as it is written."""

# A run of one character that is longer than this is written as a repetition.
RUN_MIN = 17


def quote(text: str) -> str:
    if len(text) >= RUN_MIN and len(set(text)) == 1:
        return f"'{_escaped(text[0])}'*{len(text)}"
    return "'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    if character in "'\\":
        return "\\" + character
    return character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}"


def quote_bytes(data: bytes) -> str:
    if all(0x20 <= byte <= 0x7E for byte in data):
        return quote(data.decode("ascii"))
    if len(data) >= RUN_MIN and len(set(data)) == 1:
        return f"x'{data[0]:02x}'*{len(data)}"
    return f"x'{data.hex()}'"


def code(number: int) -> str:
    return f"{number:#04x}"
