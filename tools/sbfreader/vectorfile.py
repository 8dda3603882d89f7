"""Vector files: their text, and what each `input` does with a body. Form: format-spec/vectors/README.md."""

import hashlib
from collections import namedtuple

from blake3 import blake3

from . import chunking, crypto, envelope, keyslot, pack, parity, records, statement, tree
from .codec import decode_record
from .errors import AuthError, FormatError
from .layout import parse_key
from .recipe import rewrap

Vector = namedtuple("Vector", "headers body")
HEADERS_REPEATED = ("base", "pack")
NUMBERS = ("kind", "number", "height", "length", "header-length", "repeat", "min", "average", "max", "mask-small", "mask-large")
TEXTS = ("expect", "rule", "input", "note", "place", "context", "info", "namespace", "words", "content", "pack", "masks")
KINDS_BY_NUMBER = {kind.number: kind for kind in envelope.KINDS.values()}


def write_vector(vector):
    lines = []
    for name, value in vector.headers.items():
        for each in value if name in HEADERS_REPEATED else [value]:
            lines.append(f"{name}: {each.hex() if isinstance(each, bytes) else each}")
    digits = vector.body.hex()
    rows = [digits[at:at + 64] for at in range(0, len(digits), 64)]
    return "".join(line.rstrip() + "\n" for line in [*lines, "", *rows])


def parse_vector(text):
    head, _, body = text.partition("\n\n")
    headers = {}
    for line in head.rstrip("\n").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name in NUMBERS:
            value = int(value, 0)
        elif name not in TEXTS:
            value = bytes.fromhex(value)
        if name in HEADERS_REPEATED:
            headers.setdefault(name, []).append(value)
        elif name in headers:
            raise ValueError(f"the header {name} twice")
        else:
            headers[name] = value
    return Vector(headers, bytes.fromhex(body.replace("\n", "")))


def verdict(vector):
    """What a reader finds: the text of `expect`. A wrong output is an AssertionError."""
    headers = dict(vector.headers)
    body = vector.body * headers.pop("repeat", 1)
    plaintext = headers.pop("plaintext-sha256", None)
    for name in ("expect", "rule", "note"):
        headers.pop(name, None)
    word = headers.pop("input")
    arguments = {name.replace("-", "_"): value for name, value in headers.items()}
    try:
        if word in COMPUTED:
            assert COMPUTED[word](**arguments) == body, "another output"
        elif word in OPENED:
            opened = OPENED[word](body, **arguments)
            assert plaintext == hashlib.sha256(opened).digest(), "another plaintext"
        else:
            again = DECODED[word](body, **arguments)
            assert again is None or again == body, "another encoding"
    except FormatError as error:
        return f"format error {error.rule}"
    except AuthError:
        return "auth error"
    return "ok"


# Records: the body is what decodes; the functions give the encoding of what they decoded.

def _record(kind):
    return lambda body: kind.encode(decode_record(kind, body))


def _numbered(kind, rule):
    return lambda body, number: kind.encode(records.decode_numbered(kind, body, number, rule))


def _config(body):
    return records.CONFIG.encode(records.decode_config(body))


def _slot(body, repository, slot):
    decoded = keyslot.decode_slot(body, repository, slot)
    return keyslot.encode_slot(decoded.header, decoded.wrapped)


def _register(body, place):
    kind, parts = parse_key(place)
    return records.REGISTER.encode(records.decode_register(body, parts["number"], kind))


def _manifest(body, repository, place, sha256=None):
    if sha256 is not None and crypto.sha256(body) != sha256:
        raise AuthError("another manifest than the one committed")
    _, parts = parse_key(place)
    return statement.encode_json(statement.decode_manifest(body, repository, parts["client"], parts["snapshot"]))


def _statement(body, repository, place):
    return statement.encode_json(statement.decode_statement(body, repository, place))


def _inventory(body, repository, place):
    statement.decode_inventory(body, repository, parse_key(place)[1]["number"])


def _parity(body):
    return parity.encode_sidecar(*parity.decode_sidecar(body))


def _pack_header(body):
    header, length = pack.decode_header(body)
    return pack.header_bytes(header) + body[length:]


def _pack_trailer(body, length, header_length):
    pack.decode_trailer(body, length, header_length)


def _tree_node(body, height=None):
    return tree.TREE_NODE.encode(tree.decode_tree_node(body, height))


def _list_node(body, height=None):
    return tree.LIST_NODE.encode(tree.decode_list_node(body, height))


def _envelope(body, kind):
    envelope.decode_header(KINDS_BY_NUMBER[kind], body)


def _clear(body, kind):
    return envelope.wrap_clear(KINDS_BY_NUMBER[kind], envelope.open_clear(KINDS_BY_NUMBER[kind], body))


def _signed_body(body):
    return b"".join(envelope.split_signed(body))


def _object_key(body):
    for key in body.decode("ascii", "replace").split("\n"):
        parse_key(key)


def _key_file(body):
    keyslot.parse_key_file(body)


def _digest(body, digest):
    if crypto.digest(body) != digest:
        raise AuthError("another digest")


DECODED = {
    "config": _config, "amendment": _numbered(records.AMENDMENT, "RECORD-3"), "slot": _slot,
    "slot-keys": _record(records.SLOT_KEYS), "identity": _record(records.IDENTITY), "announcement": _record(records.ANNOUNCEMENT),
    "heartbeat": _numbered(records.HEARTBEAT, "RECORD-3"), "outcome": _record(records.OUTCOME), "manifest": _manifest,
    "record": _statement, "inventory": _inventory, "register": _register, "plan": _numbered(records.PLAN, "GC-1"),
    "verdict": _numbered(records.VERDICT, "GC-1"), "base": _numbered(records.BASE, "GC-1"),
    "mirror-note": _numbered(records.MIRROR_NOTE, "RECORD-3"), "pack-header": _pack_header,
    "pack-directory": _record(records.PACK_DIRECTORY), "pack-trailer": _pack_trailer, "parity": _parity, "segment": _record(records.SEGMENT),
    "tree-node": _tree_node, "list-node": _list_node, "envelope": _envelope, "clear": _clear, "signed-body": _signed_body,
    "object-key": _object_key, "key-file": _key_file, "digest": _digest,
}


# Objects that are opened: the functions give the plaintext.

def _open_slot(body, repository, slot, secret=None, passphrase=None):
    keys = keyslot.open_slot(keyslot.decode_slot(body, repository, slot), secret, passphrase)
    keyslot.decode_slot_keys(keys)
    return keys


def _open_renewal(body, repository, secret):
    renewal = decode_record(records.IDENTITY, body).value
    return records.GENERATION.encode(keyslot.open_renewal(renewal, repository, secret))


def _open_envelope(body, kind, repository, place, master_key, public_key):
    signed = envelope.open_sealed(KINDS_BY_NUMBER[kind], body, master_key, repository, place)
    _verify(KINDS_BY_NUMBER[kind], signed, public_key, repository, place)
    return signed


def _open_clear(body, kind, repository, place, public_key):
    signed = envelope.open_clear(KINDS_BY_NUMBER[kind], body)
    _verify(KINDS_BY_NUMBER[kind], signed, public_key, repository, place)
    return signed


def _verify(kind, signed, public_key, repository, place):
    split = envelope.split_signed(signed)
    if split.signer != crypto.key_id(public_key):
        raise AuthError("another signer")
    envelope.verify_signed(kind, split, public_key, repository, place)


def _open_pack(body, repository, id_key, index_key, wrap_key=None, seal_seed=None, base=()):
    header, at, directory = pack.open_directory(body, repository, lambda generation: index_key)
    number = pack.kind_number(header)
    name = header.kind.name.lower()
    bases = {pack.chunk_id(id_key, name, piece): piece for piece in base}
    plaintexts = []
    for index, block in enumerate(directory.blocks):
        wrapped, uid, sealed_as = (block.origin.key, block.origin.pack_uid, block.origin.number) if block.origin else \
            (header.key, header.pack_uid, index)
        key = pack.open_pack_key(wrapped, repository, number, uid, lambda generation: wrap_key, lambda generation: seal_seed)
        plaintext = pack.open_block(block, body[at:at + block.stored_length], key, repository, number, uid, sealed_as,
                                    lambda ids: b"".join(bases[each] for each in ids))
        at += block.stored_length
        offset = 0
        for chunk in block.chunks:
            if pack.chunk_id(id_key, name, plaintext[offset:offset + chunk.length]) != chunk.id:
                raise AuthError("a chunk of another name")
            offset += chunk.length
        plaintexts.append(plaintext)
    return b"".join(plaintexts)


def _open_hpke(body, seed, info, associated_data):
    return crypto.hpke_open(seed, info.encode(), body[:1120], associated_data, body[1120:], "the message")


OPENED = {"slot-open": _open_slot, "renewal-open": _open_renewal, "envelope-open": _open_envelope, "clear-open": _open_clear, "pack-open": _open_pack,
          "hpke-open": _open_hpke, "rewrap": lambda body, plaintext: rewrap(body, plaintext)}


# Functions: the body is the output.

def content_bytes(content):
    word, *rest = content.split(" ")
    if word == "zeros":
        return bytes(int(rest[0]))
    assert word == "blake3"
    return blake3(bytes.fromhex(rest[0])).digest(length=int(rest[1]))


def _signed_message(kind, repository, place, message):
    return envelope.signed_message(KINDS_BY_NUMBER[kind], repository, place, message)


def _merkle(pack):
    packs = [(bytes.fromhex(each.split(" ")[0]), int(each.split(" ")[1])) for each in pack]
    return b"".join(statement.packs_root(packs[:count]) for count in range(len(packs) + 1))


def _pack_keys(repository, kind, pack_uid, wrap_key, nonce, sealed, index_key):
    wrapping = crypto.derive("sbf-repo 1 pack key wrap", wrap_key)
    key = crypto.open_xchacha(wrapping, nonce, pack.key_associated(repository, kind, pack_uid), sealed, "the key")
    return (key + crypto.derive("sbf-repo 1 pack key commitment", key)
            + crypto.derive("sbf-repo 1 pack directory", index_key + pack_uid))


def _chunk_cuts(gear_key, min, average, max, mask_small, mask_large, content):
    lengths = chunking.cuts(content_bytes(content), gear_key, min, average, max, mask_small, mask_large)
    return b"".join(length.to_bytes(4, "little") for length in lengths)


COMPUTED = {
    "derive": lambda context, material, length: crypto.derive(context, material, length),
    "chunk-id": lambda id_key, plaintext: pack.chunk_id(id_key, "data", plaintext) + pack.chunk_id(id_key, "tree", plaintext),
    "envelope-keys": lambda master_key, words: b"".join(
        crypto.derive(f"sbf-repo 1 envelope {word}", master_key) for word in words.split(" ")),
    "pack-keys": _pack_keys,
    "slot-keys-derive": lambda secret, salt: crypto.derive("sbf-repo 1 slot commitment", secret + salt)
    + crypto.derive("sbf-repo 1 slot wrap", secret + salt),
    "key-id": lambda public_key: crypto.key_id(public_key),
    "xwing-public": lambda seed: crypto.xwing_public(seed),
    "signed-message": _signed_message,
    "sshsig": lambda seed, namespace, message: crypto.ssh_signed_data(namespace, message) + crypto.sign(seed, namespace, message),
    "block-seal": lambda pack_key, repository, kind, pack_uid, number, plaintext: pack.seal_block(
        pack_key, repository, kind, pack_uid, number, plaintext),
    "merkle": _merkle,
    "gear-table": lambda gear_key: chunking.gear_table(gear_key),
    "chunk-cuts": _chunk_cuts,
    "spread-masks": lambda masks: b"".join(chunking.spread(int(count)).to_bytes(8, "little") for count in masks.split(" ")),
}
