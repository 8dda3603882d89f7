"""The encoding of records. Spec: format-spec/README.md, "Records".

A type is an object with `encode(value) -> bytes` and `decode(cursor) -> value`. Structs are named tuples, so that comparing
two of them compares their fields in order; a variant of an enum is `Variant(number, name, value)`.
"""

from collections import namedtuple

from .errors import FormatError

Variant = namedtuple("Variant", "number name value")


class Cursor:
    """Reads from the front of `data`; nothing is taken beyond its end."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise FormatError("RECORD-1", f"{count} bytes expected at {self.at}, {len(self.data) - self.at} left")
        piece = bytes(self.data[self.at:self.at + count])
        self.at += count
        return piece


def decode_record(kind, data):
    """Decodes a record that fills `data`."""
    cursor = Cursor(data)
    value = kind.decode(cursor)
    if cursor.at != len(data):
        raise FormatError("RECORD-1", f"{len(data) - cursor.at} bytes after the record")
    return value


def encode_varint(value):
    if value < 251:
        return bytes([value])
    if value < 1 << 16:
        return b"\xfb" + value.to_bytes(2, "little")
    if value < 1 << 32:
        return b"\xfc" + value.to_bytes(4, "little")
    return b"\xfd" + value.to_bytes(8, "little")


class Byte:
    """`u8`: one raw byte."""

    def encode(self, value):
        return value.to_bytes(1, "little")

    def decode(self, cursor):
        return cursor.take(1)[0]


class Unsigned:
    """`u16`, `u32`, `u64`: the shortest varint that fits the type."""

    def __init__(self, bits):
        self.bits = bits

    def encode(self, value):
        if not 0 <= value < 1 << self.bits:
            raise ValueError(f"{value} is no u{self.bits}")
        return encode_varint(value)

    def decode(self, cursor):
        first = cursor.take(1)[0]
        if first < 251:
            return first
        if first > 253 or first == 252 and self.bits < 32 or first == 253 and self.bits < 64:
            raise FormatError("RECORD-1", f"an integer of {self.bits} bits starts with {first:#x}")
        value = int.from_bytes(cursor.take({251: 2, 252: 4, 253: 8}[first]), "little")
        if value < {251: 251, 252: 1 << 16, 253: 1 << 32}[first]:
            raise FormatError("RECORD-1", f"{value} is encoded longer than needed")
        return value


class Signed:
    """`i32`, `i64`: zigzag, then varint."""

    def __init__(self, bits):
        self.unsigned = Unsigned(bits)

    def encode(self, value):
        return self.unsigned.encode(2 * value if value >= 0 else -2 * value - 1)

    def decode(self, cursor):
        value = self.unsigned.decode(cursor)
        return value // 2 if value % 2 == 0 else -(value + 1) // 2


class Boolean:
    def encode(self, value):
        return b"\x01" if value else b"\x00"

    def decode(self, cursor):
        byte = cursor.take(1)[0]
        if byte > 1:
            raise FormatError("RECORD-1", f"a bool of {byte}")
        return byte == 1


class Fixed:
    """`[u8; n]`: raw bytes without a length."""

    def __init__(self, length):
        self.length = length

    def encode(self, value):
        if len(value) != self.length:
            raise ValueError(f"{len(value)} bytes for {self.length}")
        return bytes(value)

    def decode(self, cursor):
        return cursor.take(self.length)


class Bytes:
    """`Vec<u8>`: the count, then raw bytes."""

    def encode(self, value):
        return encode_varint(len(value)) + bytes(value)

    def decode(self, cursor):
        return cursor.take(U64.decode(cursor))


class String:
    def encode(self, value):
        return Bytes().encode(value.encode("utf-8"))

    def decode(self, cursor):
        data = Bytes().decode(cursor)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FormatError("RECORD-1", f"text is not UTF-8: {error}") from None


class List:
    """`Vec<T>`: the count, then the items."""

    def __init__(self, item):
        self.item = item

    def encode(self, value):
        return encode_varint(len(value)) + b"".join(self.item.encode(item) for item in value)

    def decode(self, cursor):
        count = U64.decode(cursor)
        if count > len(cursor.data) - cursor.at:
            raise FormatError("RECORD-1", f"{count} items in {len(cursor.data) - cursor.at} bytes")
        return [self.item.decode(cursor) for _ in range(count)]


class Option:
    def __init__(self, item):
        self.item = item

    def encode(self, value):
        return b"\x00" if value is None else b"\x01" + self.item.encode(value)

    def decode(self, cursor):
        byte = cursor.take(1)[0]
        if byte > 1:
            raise FormatError("RECORD-1", f"an option of {byte}")
        return self.item.decode(cursor) if byte else None


class Struct:
    """Fields in order; `Struct("Name", field=type, …)` is called to make a value."""

    def __init__(self, name, /, **fields):
        self.fields = fields
        self.make = namedtuple(name, list(fields))

    def __call__(self, *values, **named):
        return self.make(*values, **named)

    def encode(self, value):
        return b"".join(kind.encode(part) for kind, part in zip(self.fields.values(), value, strict=True))

    def decode(self, cursor):
        return self.make(*(kind.decode(cursor) for kind in self.fields.values()))


class Enum:
    """Variants in order; a variant without fields has the type `None`."""

    def __init__(self, **variants):
        self.variants = list(variants.items())
        for number, (name, kind) in enumerate(self.variants):
            setattr(self, name, Variant(number, name, None) if kind is None else
                    lambda value, number=number, name=name: Variant(number, name, value))

    def encode(self, value):
        kind = self.variants[value.number][1]
        return encode_varint(value.number) + (b"" if kind is None else kind.encode(value.value))

    def decode(self, cursor):
        number = U32.decode(cursor)
        if number >= len(self.variants):
            raise FormatError("RECORD-1", f"unknown variant {number}")
        name, kind = self.variants[number]
        return Variant(number, name, None if kind is None else kind.decode(cursor))


class Checked:
    """A type with a check of the decoded value; encoding checks nothing, so that wrong bytes can be made."""

    def __init__(self, kind, check):
        self.kind = kind
        self.check = check

    def __call__(self, *values, **named):
        return self.kind(*values, **named)

    def __getattr__(self, name):
        return getattr(self.kind, name)

    def encode(self, value):
        return self.kind.encode(value)

    def decode(self, cursor):
        value = self.kind.decode(cursor)
        self.check(value)
        return value


def require(holds, rule, what):
    if not holds:
        raise FormatError(rule, what)


def require_sorted(keys, rule, what):
    """Strictly ascending."""
    for before, after in zip(keys, keys[1:]):
        require(before < after, rule, f"{what} are not sorted and unique")


def sorted_list(item, what, rule="RECORD-2", key=lambda value: value):
    return Checked(List(item), lambda values: require_sorted([key(value) for value in values], rule, what))


def in_range(kind, low, high, rule="RECORD-3"):
    return Checked(kind, lambda value: require(low <= value <= high, rule, f"{value} is not within {low} to {high}"))


def of_length(kind, low, high, rule="RECORD-3"):
    def check(value):
        length = len(value.encode("utf-8")) if isinstance(value, str) else len(value)
        require(low <= length <= high, rule, f"a length of {length} is not within {low} to {high}")
    return Checked(kind, check)


U8 = Byte()
U16 = Unsigned(16)
U32 = Unsigned(32)
U64 = Unsigned(64)
I32 = Signed(32)
I64 = Signed(64)
BOOL = Boolean()
BYTES = Bytes()
TEXT = String()
ID16 = Fixed(16)
ID32 = Fixed(32)
