"""Sealed objects, clear objects, signed bodies. Spec: format-spec/02-envelope.md."""

from collections import namedtuple

from . import crypto
from .codec import require

ENVELOPE_MAGIC = b"SBFE"
CLEAR_MAGIC = b"SBFC"
ENVELOPE_VERSION = 1
ENVELOPE_SUITE = 1
ENVELOPE_HEADER_LEN = 40
CLEAR_HEADER_LEN = 8
SIGNED_HEADER_LEN = 80
TAG_LEN = 16
SEALED_OVERHEAD_MAX = 65536

Kind = namedtuple("Kind", "number word wrapper longest statement")
KINDS = {kind.word: kind for kind in [
    Kind(1, "config", "clear", 65536, False),
    Kind(2, "amendment", "clear", 65536, False),
    Kind(3, "identity", "clear", 65536, False),
    Kind(4, "inventory", "clear", 67108864, True),
    Kind(16, "session", "manifest", 4096, False),
    Kind(17, "heartbeat", "manifest", 4096, False),
    Kind(18, "outcome", "manifest", 16777216, False),
    Kind(19, "segment", "index", 67108864, False),
    Kind(20, "manifest", "manifest", 4194304, True),
    Kind(21, "forget", "manifest", 4194304, True),
    Kind(22, "audit", "manifest", 4194304, True),
    Kind(23, "record", "manifest", 4194304, True),
    Kind(24, "gc-register", "manifest", 4096, False),
    Kind(25, "gc-plan", "manifest", 67108864, False),
    Kind(26, "gc-verdict", "manifest", 67108864, False),
    Kind(27, "gc-base", "manifest", 67108864, False),
    Kind(28, "mirror", "manifest", 4194304, False),
]}

Header = namedtuple("Header", "kind codec generation raw_length nonce")
Signed = namedtuple("Signed", "signer signature body")


def decode_header(kind, data):
    """Checks the header and the lengths of a sealed object; opens nothing."""
    require(len(data) >= ENVELOPE_HEADER_LEN + TAG_LEN, "ENVELOPE-3", f"a sealed object of {len(data)} bytes")
    require(data[:4] == ENVELOPE_MAGIC, "ENVELOPE-1", "another magic")
    require(data[4] == ENVELOPE_VERSION, "ENVELOPE-1", f"version {data[4]}")
    require(data[5] == kind.number, "ENVELOPE-1", f"an object of kind {data[5]} where {kind.word} is expected")
    require(data[6] == ENVELOPE_SUITE, "ENVELOPE-2", f"suite {data[6]}")
    require(data[7] in (0, 1), "ENVELOPE-2", f"codec {data[7]}")
    raw_length = int.from_bytes(data[12:16], "little")
    require(len(data) - ENVELOPE_HEADER_LEN <= kind.longest + SEALED_OVERHEAD_MAX, "ENVELOPE-3", "an object that is too long")
    require(raw_length <= kind.longest, "ENVELOPE-3", f"a raw length of {raw_length}")
    return Header(kind, data[7], int.from_bytes(data[8:12], "little"), raw_length, data[16:40])


def associated_data(header_bytes, repository, place):
    return header_bytes + repository + place.encode()


def open_sealed(kind, data, master_key, repository, place):
    """The signed body of a sealed object."""
    header = decode_header(kind, data)
    key = crypto.derive(f"sbf-repo 1 envelope {kind.word}", master_key)
    opened = crypto.open_xchacha(key, header.nonce, associated_data(data[:ENVELOPE_HEADER_LEN], repository, place),
                                 data[ENVELOPE_HEADER_LEN:], place)
    if header.codec == 1:
        return crypto.decode_frame(opened, header.raw_length, "ENVELOPE-4", place)
    require(len(opened) == header.raw_length, "ENVELOPE-4", f"{len(opened)} bytes and not {header.raw_length}")
    return opened


def seal(kind, signed, master_key, generation, nonce, repository, place, codec=0, level=3, raw_length=None):
    opened = crypto.encode_frame(signed, level) if codec == 1 else signed
    raw_length = len(signed) if raw_length is None else raw_length
    header = (ENVELOPE_MAGIC + bytes([ENVELOPE_VERSION, kind.number, ENVELOPE_SUITE, codec])
              + generation.to_bytes(4, "little") + raw_length.to_bytes(4, "little") + nonce)
    key = crypto.derive(f"sbf-repo 1 envelope {kind.word}", master_key)
    return header + crypto.seal_xchacha(key, nonce, associated_data(header, repository, place), opened)


def open_clear(kind, data):
    require(len(data) >= CLEAR_HEADER_LEN, "ENVELOPE-5", f"a clear object of {len(data)} bytes")
    require(data[:4] == CLEAR_MAGIC, "ENVELOPE-5", "another magic")
    require(data[4] == ENVELOPE_VERSION, "ENVELOPE-5", f"version {data[4]}")
    require(data[5] == kind.number, "ENVELOPE-5", f"an object of kind {data[5]} where {kind.word} is expected")
    require(data[6:8] == b"\0\0", "ENVELOPE-5", "reserved bytes that are not zero")
    require(len(data) - CLEAR_HEADER_LEN <= kind.longest, "ENVELOPE-5", "an object that is too long")
    return data[CLEAR_HEADER_LEN:]


def wrap_clear(kind, signed):
    return CLEAR_MAGIC + bytes([ENVELOPE_VERSION, kind.number, 0, 0]) + signed


def split_signed(signed):
    require(len(signed) >= SIGNED_HEADER_LEN, "SIGNED-1", f"a signed body of {len(signed)} bytes")
    return Signed(signed[:16], signed[16:80], signed[80:])


def signed_message(kind, repository, place, body):
    if kind.statement:
        return body
    return repository + len(place).to_bytes(2, "little") + place.encode() + body


def sign_body(kind, seed, repository, place, body):
    signature = crypto.sign(seed, f"sbf-repo-{kind.word}", signed_message(kind, repository, place, body))
    return crypto.key_id(crypto.public_key_of(seed)) + signature + body


def verify_signed(kind, signed, public_key, repository, place):
    crypto.verify(public_key, f"sbf-repo-{kind.word}", signed_message(kind, repository, place, signed.body),
                  signed.signature, place)
