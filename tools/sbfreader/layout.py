"""Object keys. Spec: format-spec/01-layout.md."""

import re

from .errors import FormatError

KEY_BYTES_MAX = 512

# A pattern of segments: a literal, or (field, form). Forms: id16, id32, number width and type, kind.
FORMS = {
    "config": ["config"],
    "amendment": ["amendments", ("number", "from1", 8, 32)],
    "mirror": ["amendments", "mirror", ("number", "from1", 8, 32)],
    "slot": ["keys", ("slot", "hex", 32)],
    "identity": ["ids", ("number", "from1", 8, 32)],
    "session": ["sessions", ("client", "hex", 32), ("epoch", "number", 12, 64), ("session", "hex", 32)],
    "heartbeat": ["heartbeats", ("client", "hex", 32), ("session", "hex", 32), ("number", "from1", 8, 32)],
    "pack": ["packs", ("client", "hex", 32), ("epoch", "number", 12, 64), ("session", "hex", 32), ("sequence", "named", 6, 32)],
    "parity": ["parity", ("client", "hex", 32), ("epoch", "number", 12, 64), ("session", "hex", 32), ("sequence", "named", 6, 32)],
    "segment": ["index", ("client", "hex", 32), ("epoch", "number", 12, 64), ("session", "hex", 32), ("sequence", "named", 6, 32)],
    "manifest": ["manifests", ("client", "hex", 32), ("snapshot", "hex", 32)],
    "outcome": ["outcomes", ("client", "hex", 32), ("epoch", "number", 12, 64), ("session", "hex", 32)],
    "forget": ["forget", ("record", "hex", 32)],
    "audit": ["audit", ("client", "hex", 32), ("number", "from1", 8, 32)],
    "record": ["records", ("kind", "kind"), ("client", "hex", 32), ("number", "from1", 8, 32)],
    "inventory": ["inventory", ("number", "number", 12, 64)],
    "plan": ["gc", ("number", "from1", 12, 64), "plan"],
    "verdict": ["gc", ("number", "from1", 12, 64), "verdict"],
    "done": ["gc", ("number", "from1", 12, 64), "done"],
    "body": ["gc", ("number", "from1", 12, 64), ("digest", "hex", 64)],
}


def parse_key(key):
    """Returns the kind of the key and its fields: identifiers as bytes, numbers as int."""
    if len(key) > KEY_BYTES_MAX:
        raise FormatError("LAYOUT-1", "a key is too long")
    segments = key.split("/")
    for segment in segments:
        if not re.fullmatch(r"[a-z0-9\-_][a-z0-9.\-_]*", segment, re.ASCII):
            raise FormatError("LAYOUT-1", f"the key {key!r} has a segment of another form")
    for kind, form in FORMS.items():
        fields = _match(form, segments)
        if fields is not None:
            return kind, fields
    raise FormatError("LAYOUT-1", f"the key {key!r} has none of the known forms")


def _match(form, segments):
    if len(form) != len(segments):
        return None
    fields = {}
    for part, segment in zip(form, segments):
        if isinstance(part, str):
            if part != segment:
                return None
            continue
        name, shape, *size = part
        if shape == "hex":
            if not re.fullmatch(rf"[0-9a-f]{{{size[0]}}}", segment, re.ASCII):
                return None
            fields[name] = bytes.fromhex(segment)
        elif shape == "kind":
            if not re.fullmatch(r"[a-z\-]+", segment, re.ASCII):
                return None
            fields[name] = segment
        else:
            if shape == "named":
                segment, dash, identifier = segment.partition("-")
                if not dash or not re.fullmatch(r"[0-9a-f]{64}", identifier, re.ASCII):
                    return None
                fields["id"] = bytes.fromhex(identifier)
            number = parse_number(segment, *size)
            if number is None or shape == "from1" and number == 0:
                return None
            fields[name] = number
    return fields


def parse_number(text, width, bits):
    if not re.fullmatch(rf"[0-9]{{{width}}}|[1-9][0-9]{{{width},}}", text, re.ASCII):
        return None
    return int(text) if int(text) < 1 << bits else None


def client_folder(folder, client, epoch, session):
    return f"{folder}/{client.hex()}/{epoch:012}/{session.hex()}"


def pack_key(name):
    return f"{client_folder('packs', name.client, name.epoch, name.session)}/{name.sequence:06}-{name.id.hex()}"


def segment_key(name):
    return f"{client_folder('index', name.client, name.epoch, name.session)}/{name.sequence:06}-{name.id.hex()}"


def outcome_key(client, epoch, session):
    return client_folder("outcomes", client, epoch, session)


def manifest_key(client, snapshot):
    return f"manifests/{client.hex()}/{snapshot.hex()}"


def register_key(number, step):
    return f"gc/{number:012}/{step}"


def place_of(key):
    """The part of a key that an object is bound to."""
    kind, _ = parse_key(key)
    if kind in ("pack", "segment"):
        return key[:-65]
    if kind == "body":
        return key[:-64] + "body"
    return key
