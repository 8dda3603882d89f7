"""Manifests, signed records and inventories: texts that are signed as they stand. Spec: format-spec/08, 10, 12, 19."""

import json
import re
import unicodedata
from datetime import datetime, timezone

from . import crypto
from .codec import require
from .errors import FormatError
from .layout import parse_key
from .tree import NODE_HEIGHT_MAX

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_PREFIX = "https://sbf-repo.dev/predicate/"
SNAPSHOT_PREDICATE = PREDICATE_PREFIX + "snapshot/v1"
SKIPPED_COUNT_MAX = 1000
INVENTORY_TITLE = "sbf-repo inventory 1"
JSON_DEPTH_MAX = 64
TAG_BYTES_MAX = 256
NOTE_BYTES_MAX = 2048
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


# The form of JSON

def encode_string(text):
    return '"' + "".join(ESCAPES.get(char) or (f"\\u{ord(char):04x}" if char < " " else char) for char in text) + '"'


def encode_json(value):
    """Members stand in the order of the dictionary."""
    return _encode(value).encode("utf-8")


def _encode(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return encode_string(value)
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(_encode(item) for item in value) + "]"
    return "{" + ",".join(encode_string(name) + ":" + _encode(item) for name, item in value.items()) + "}"


def decode_json(data, rule):
    """The value, whose one encoding `data` is."""
    def members(pairs):
        value = dict(pairs)
        require(len(value) == len(pairs), rule, "a member twice")
        return value

    def refuse(text):
        raise FormatError(rule, f"the number {text}")

    def integer(text):
        require(len(text) <= 20 and -(1 << 63) <= int(text) < 1 << 64, rule, f"the number {text}")
        return int(text)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=members, parse_float=refuse, parse_constant=refuse,
                           parse_int=integer)
        require(encode_json(value) == data, rule, "the text is not the one encoding of its value")
    except (UnicodeError, json.JSONDecodeError, RecursionError) as error:
        raise FormatError(rule, f"no JSON: {error}") from None
    return value


# Types of members: a function takes a value and says whether it is one.

def text(value):
    return isinstance(value, str)


def number(low, high):
    return lambda value: type(value) is int and low <= value <= high


def hexadecimal(digits):
    return lambda value: isinstance(value, str) and re.fullmatch(rf"[0-9a-f]{{{digits}}}", value, re.ASCII) is not None


def one_of(*words):
    return lambda value: isinstance(value, str) and value in words


def list_of(item):
    return lambda value: isinstance(value, list) and all(item(each) for each in value)


def boolean(value):
    return isinstance(value, bool)


def time_seconds(value):
    """Seconds and nanoseconds since 1970 of an RFC 3339 time in UTC."""
    matched = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", value, re.ASCII)
    if not matched:
        return None
    try:
        seconds = datetime.strptime(matched[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None
    return int(seconds), int((matched[2] or "").ljust(9, "0"))


def time(value):
    return isinstance(value, str) and time_seconds(value) is not None


def fields(optional=(), /, **types):
    """An object with exactly these members in this order; a trailing `_` of a name is dropped."""
    wanted = {name.rstrip("_"): kind for name, kind in types.items()}

    def check(value):
        if not isinstance(value, dict):
            return False
        present = [name for name in wanted if name in value or name not in optional]
        return list(value) == present and all(wanted[name](value[name]) for name in present)
    return check


U8, U32, U64 = number(0, (1 << 8) - 1), number(0, (1 << 32) - 1), number(0, (1 << 64) - 1)
I32 = number(-(1 << 31), (1 << 31) - 1)
HEX16, HEX32 = hexadecimal(32), hexadecimal(64)

SUBJECT = fields(name=text, digest=fields(sha256=HEX32))
RECORD_SUBJECT = fields(name=text, digest=fields(sha256=text))
COMMAND = fields(argv=list_of(text), exit_status=I32)
TABLE = fields(("database",), database=text, name=text, rows=U64, bytes=U64, digest=HEX32)
DUMP = fields(
    form=one_of("postgresql-plain", "postgresql-cluster", "postgresql-directory"), server=text, program=text, tables=list_of(TABLE),
    tables_count=U64, rows=U64, bytes=U64, inserts=U64, objects=list_of(fields(kind=text, count=U64)))
STREAM = fields(("command", "dump"), name=text, command=COMMAND, dump=DUMP)
TABLES_COUNT_MAX, STREAMS_COUNT_MAX, KINDS_COUNT_MAX = 8192, 256, 64


def streams(value):
    """What a manifest states of streams."""
    if not list_of(STREAM)(value) or not 1 <= len(value) <= STREAMS_COUNT_MAX:
        return False
    dumps = [each["dump"] for each in value if "dump" in each]
    kinds = [[each["kind"].encode("utf-8") for each in dump["objects"]] for dump in dumps]
    return (sum(len(dump["tables"]) for dump in dumps) <= TABLES_COUNT_MAX
            and all(len(each) <= KINDS_COUNT_MAX and all(a < b for a, b in zip(each, each[1:])) for each in kinds))


PREDICATE = dict(
    repository=HEX16, client=HEX16, snapshot=HEX16, source=text, kind=one_of("files", "stream", "command", "postgres", "several"),
    paths=list_of(text), tags=list_of(text), host=text, tool=text,
    actor=fields(("sudo_user",), user_id=U32, sudo_user=text),
    times=fields(data=time, started=time, finished=time),
    command=COMMAND, streams=streams,
    parent=HEX16, origin=fields(repository=HEX16, client=HEX16, snapshot=HEX16, manifest=HEX32), profile=text, root=fields(node=HEX32, height=U8),
    totals=fields(files=U64, directories=U64, others=U64, bytes=U64),
    run=fields(files_new=U64, files_changed=U64, files_unchanged=U64, bytes_read=U64, bytes_new=U64, bytes_stored=U64),
    incomplete=boolean, skipped=list_of(fields(path=text, reason=text)), skipped_count=U64,
    packs=fields(root=HEX32, count=U64, scope=one_of("all", "session")),
    verdict=fields(number=U64, digest=HEX32))
OPTIONAL = ("command", "streams", "parent", "origin")
MANIFEST = fields(_type=text, subject=list_of(SUBJECT), predicateType=text, predicate=fields(OPTIONAL, **PREDICATE))


# Manifests (08)

def decode_manifest(data, repository, client, snapshot):
    """The decoded statement; its predicate is the snapshot."""
    value = decode_json(data, "MANIFEST-1")
    if isinstance(value, dict) and isinstance(value.get("predicate"), dict):
        for name, kind in PREDICATE.items():
            given = value["predicate"].get(name)
            require(name in OPTIONAL and name not in value["predicate"] or kind(given), "MANIFEST-1", f"the member {name}: {given!r}")
    require(MANIFEST(value), "MANIFEST-1", "the members of the statement")
    predicate = value["predicate"]
    require(value["_type"] == STATEMENT_TYPE and value["predicateType"] == SNAPSHOT_PREDICATE, "MANIFEST-1", "another type")
    require(len(value["subject"]) == 1, "MANIFEST-1", "not exactly one subject")
    require(value["subject"][0]["name"] == "snapshot:" + predicate["snapshot"], "MANIFEST-1", "another subject")
    require(value["subject"][0]["digest"]["sha256"] == predicate["packs"]["root"], "MANIFEST-1", "another digest of the subject")
    require(len(predicate["skipped"]) <= SKIPPED_COUNT_MAX, "MANIFEST-1", "too many skipped paths")
    require(predicate["root"]["height"] <= NODE_HEIGHT_MAX, "TREE-10", f"a root of height {predicate['root']['height']}")
    for name, identifier in (("repository", repository), ("client", client), ("snapshot", snapshot)):
        require(predicate[name] == identifier.hex(), "MANIFEST-2", f"another {name}: {predicate[name]}")
    return value


def merkle_leaf(pack_id, length):
    return crypto.sha256(b"\x00" + pack_id + length.to_bytes(8, "little"))


def merkle_root(leaves):
    if not leaves:
        return crypto.sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return crypto.sha256(b"\x01" + merkle_root(leaves[:split]) + merkle_root(leaves[split:]))


def packs_root(packs):
    """Merkle root of pairs of PackId and length."""
    return merkle_root([merkle_leaf(pack, length) for pack, length in sorted(packs)])


# Records (10)

def decode_statement(data, repository, key):
    """The decoded statement of a forget, an audit record or another record."""
    rule = "STATEMENT-1"
    value = decode_json(data, rule)
    form = fields(_type=text, subject=list_of(RECORD_SUBJECT), predicateType=text, predicate=lambda member: isinstance(member, dict))
    require(form(value), rule, "the members of the statement")
    kind, parts = parse_key(key)
    word = parts["kind"] if kind == "record" else kind
    require(value["_type"] == STATEMENT_TYPE, rule, "another type of statement")
    require(value["predicateType"] == f"{PREDICATE_PREFIX}{word}/v1", rule, f"the predicate {value['predicateType']} of a {word}")
    predicate = value["predicate"]
    _require_sorted_members(predicate, rule)
    require(predicate.get("place") == key, rule, f"the place {predicate.get('place')!r}")
    require(predicate.get("repository") == repository.hex(), rule, f"the repository {predicate.get('repository')!r}")
    if word in ("hold", "release", "tag", "note") or (word in ("forget", "undo", "policy") and "snapshots" in predicate):
        _require_sorted_texts(predicate, "snapshots", HEX16, rule)
    if word == "forget":
        require("snapshots" in predicate or "checkpoints" in predicate, rule, "neither snapshots nor checkpoints")
        if "checkpoints" in predicate:
            _require_sorted_texts(predicate, "checkpoints", HEX16, rule)
    if word in ("forget", "hold", "release", "tag", "note", "rewrite"):
        for name in ("reason", "time", "until", "source", "origin"):
            require(name not in predicate or text(predicate[name]), rule, f"the {name}")
    if word == "forget":
        require(isinstance(predicate.get("policy", {}), dict), rule, "the policy")
    if word == "policy":
        require(text(predicate.get("source")) and text(predicate.get("time")), rule, "no source or time")
        require(isinstance(predicate.get("policy"), dict), rule, "no policy")
    if word == "release":
        _require_sorted_texts(predicate, "holds", text, rule)
    if word == "heads":
        heads = predicate.get("heads")
        require(list_of(_is_head)(heads) and heads, rule, "no heads")
        require(all(a["client"] < b["client"] for a, b in zip(heads, heads[1:])), rule, "heads are not sorted and unique")
    if word == "check":
        _require_check(predicate, rule)
    if word == "damage":
        _require_sorted_texts(predicate, "packs", HEX32, rule)
    if word == "tag":
        _require_tag(predicate, rule)
    if word == "note":
        require(text(predicate.get("text")) and 1 <= len(predicate["text"].encode("utf-8")) <= NOTE_BYTES_MAX, rule, "the text")
    if word == "rewrite":
        require(HEX16(predicate.get("snapshot")) and HEX16(predicate.get("replaces")), rule, "the snapshots")
        require(predicate["snapshot"] != predicate["replaces"], rule, "a snapshot that replaces itself")
        require(U64(predicate.get("entries")) and U64(predicate.get("bytes")), rule, "what was left out")
    if word == "undo":
        require(HEX16(predicate.get("forget")), rule, "no forget")
    if word == "audit":
        _require_audit(predicate, parts, rule)
    if word in ATTESTED:
        require(not _has_null(predicate), rule, "a null")
        require(ATTESTED[word](predicate), rule, f"the members of a {word}")
    return value


# What was planned, seen, tried and promised (19)

WORD_BYTES_MAX = 2048


def word_of_person(value):
    return text(value) and 1 <= len(value.encode("utf-8")) <= WORD_BYTES_MAX


def line(value):
    return word_of_person(value) and not any(unicodedata.category(char) == "Cc" for char in value)


def members(optional=(), /, **types):
    """An object with at least these members in any order; others are ignored."""
    def check(value):
        if not isinstance(value, dict):
            return False
        return all(kind(value[name]) if name in value else name in optional for name, kind in types.items())
    return check


def map_of(item):
    return lambda value: isinstance(value, dict) and all(item(each) for each in value.values())


def sorted_by(name, form):
    def check(value):
        return list_of(form)(value) and all(a[name].encode() < b[name].encode() for a, b in zip(value, value[1:]))
    return check


def sorted_texts(form, least=0):
    def check(value):
        return list_of(form)(value) and len(value) >= least and all(a.encode() < b.encode() for a, b in zip(value, value[1:]))
    return check


def _has_null(value):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return value is None
    return any(_has_null(item) for item in value)


SAID = dict(time=time, host=text, tool=text)
OUTCOME = one_of("pass", "fail", "not-verified")
STORE = members(("versions", "locked_days"), kind=one_of("directory", "s3", "gs", "az"), versions=boolean, locked_days=U32)
DELETED = members(
    ("unreadable", "forgotten", "reason"), snapshot=HEX16, client=HEX16, source=text, manifest=HEX32, data_time=time, started=time, finished=time,
    files=U64, bytes=U64, bytes_stored=U64, incomplete=boolean, unreadable=boolean, forgotten=time, reason=text, by_policy=boolean)
DRILL = members(
    ("job", "snapshot", "manifest", "data_time", "copy", "rto_milliseconds", "rpo_seconds", "rto_target_seconds", "rpo_target_seconds"),
    **SAID, finished=time, name=word_of_person, job=text, source=text, snapshot=HEX16, manifest=HEX32, data_time=time,
    target=one_of("scratch", "url", "files", "command", "scenario"), copy=text, cache=one_of("cold", "warm"), from_kit=boolean, outcome=OUTCOME,
    phases=list_of(members(("confirmed_by",), name=text, milliseconds=U64, confirmed_by=text)),
    checks=list_of(members(name=text, outcome=OUTCOME, detail=text)), rto_milliseconds=U64, rpo_seconds=U64, rto_target_seconds=U64,
    rpo_target_seconds=U64, bytes=U64, environment=map_of(text), scratch=one_of("wiped", "failed", "kept"))


def drill(value):
    return DRILL(value) and (value["outcome"] != "pass" or all(check["outcome"] == "pass" for check in value["checks"]))


ATTESTED = {
    "plan": members(
        ("within", "read_seconds", "key_seconds"), **SAID,
        jobs=sorted_by("name", members(("schedule", "trigger", "rpo_seconds", "rto_seconds"), name=word_of_person, source=word_of_person,
                                       schedule=text, trigger=text, rpo_seconds=U64, rto_seconds=U64, grace_seconds=U64)),
        copies=sorted_by("name", members(("lag_seconds",), name=word_of_person, mode=one_of("mirror", "snapshots"), location=text, lag_seconds=U64)),
        drills=sorted_by("name", members(("job", "age_seconds"), name=word_of_person, job=text, age_seconds=U64)),
        keep=map_of(number(1, (1 << 32) - 1)), within=map_of(text), timezone=text, read_seconds=U64, key_seconds=U64),
    "state": members(
        ("read_packs", "read_bytes", "read_oldest"), **SAID, store=STORE, snapshots=U64, source_bytes=U64, packs=U64, stored_bytes=U64, read_packs=U64,
        read_bytes=U64, read_oldest=time,
        copies=sorted_by("name", members(("behind_seconds", "error"), name=word_of_person, store=STORE, behind_seconds=U64, error=text))),
    "drill": drill,
    "sign-off": members(("function", "words"), time=time, drill=word_of_person, sha256=HEX32, by=word_of_person, function=text, words=text),
    "incident": members(
        ("sources", "ticket", "snapshots", "data_time"), time=time, incident=HEX16, phase=one_of("open", "close"), at=time, sources=list_of(text),
        words=word_of_person, ticket=text, snapshots=list_of(HEX16), data_time=time),
    "erasure": members(
        ("reason", "ticket", "origin"), time=time, erasure=HEX16, erased_at=time, sources=sorted_texts(text, 1), subject=line, reason=text,
        ticket=text, origin=text),
    "replay": members(
        time=time, host=text, erasures=sorted_texts(HEX16, 1), snapshot=HEX16, operation=one_of("restore", "dump", "drill"), run=HEX16,
        is_done=boolean, words=text),
    "deletion": members(
        ("versions",), **SAID, verdict=U64, phase=one_of("decided", "gone"), snapshots=sorted_by("snapshot", DELETED), packs=U64, bytes=U64,
        versions=members(("free_at", "locked_until"), count=U64, bytes=U64, free_at=time, locked_until=time)),
}


def _require_tag(predicate, rule):
    """The members of a record of tags."""
    def is_tag(value):
        return text(value) and 1 <= len(value.encode("utf-8")) <= TAG_BYTES_MAX

    require("add" in predicate or "remove" in predicate, rule, "neither tags to add nor to remove")
    for name, form in dict(add=is_tag, remove=is_tag, records=text).items():
        if name in predicate:
            _require_sorted_texts(predicate, name, form, rule)
    require(not set(predicate.get("add", [])) & set(predicate.get("remove", [])), rule, "a tag that is added and removed")


def _require_check(predicate, rule):
    """The members of the record of a check."""
    for name, form in dict(time=time, finished=time, tool=text, host=text, packs=U64, bytes=U64, chunks=U64, findings=U64, snapshots_count=U64,
                           verdict=U64, inventory=U64, covered=list_of(text), damaged=list_of(HEX32), snapshots=list_of(HEX16)).items():
        require(form(predicate.get(name)), rule, f"the {name}")
    for name in ("damaged", "snapshots", "covered"):
        values = [value.split(":")[0] for value in predicate[name]]
        require(all(a < b for a, b in zip(values, values[1:])), rule, f"{name} are not sorted and unique")
    packs = len(predicate["damaged"])
    for line in predicate["covered"]:
        session, _, ranges = line.partition(":")
        require(HEX16(session), rule, f"the session {session!r}")
        before = -2
        for part in ranges.split(","):
            matched = re.fullmatch(r"(0|[1-9][0-9]{0,9})(?:-([1-9][0-9]{0,9}))?", part, re.ASCII)
            require(matched, rule, f"the range {part!r}")
            first, last = int(matched[1]), int(matched[2] or matched[1])
            require(before + 1 < first and (first < last or not matched[2]) and last < 1 << 32, rule, f"the range {part!r} after {before}")
            before, packs = last, packs + last - first + 1
    require(packs - len(predicate["damaged"]) <= 1000000, rule, "too many packs")
    require(packs == predicate["packs"], rule, f"{packs} packs and not {predicate['packs']}")


def _is_head(value):
    return isinstance(value, dict) and HEX16(value.get("client")) and U32(value.get("seq")) and HEX32(value.get("sha256"))


def _require_audit(predicate, parts, rule):
    """The members of a record of the audit log; others are ignored."""
    wanted = dict(seq=U32, prev=HEX32, version=number(1, 1), time=time, operation=text, run=HEX16, phase=one_of("begin", "end"),
                  host=text, tool=text)
    ends = dict(exit_code=U8, milliseconds=U64)
    optional = dict(delivered=time, subject=text, reason=text, ticket=text, accepted_rollback=text)
    optional_ends = dict(began=U32, error=text, bytes=U64)
    if predicate.get("phase") == "end":
        wanted, optional = wanted | ends, optional | optional_ends
    for name, form in wanted.items():
        require(form(predicate.get(name)), rule, f"the {name}")
    for name, form in optional.items():
        require(name not in predicate or form(predicate[name]), rule, f"the {name}")
    actor = predicate.get("actor")
    require(isinstance(actor, dict), rule, "no actor")
    require(actor.get("client") == parts["client"].hex() and U32(actor.get("user_id")), rule, "the actor")
    require("sudo_user" not in actor or text(actor["sudo_user"]), rule, "the sudo_user")
    require(predicate["seq"] == parts["number"], rule, f"seq {predicate['seq']} under number {parts['number']}")
    if "snapshots" in predicate:
        _require_sorted_texts(predicate, "snapshots", HEX16, rule)


def _require_sorted_texts(predicate, name, form, rule):
    values = predicate.get(name)
    require(list_of(form)(values) and values, rule, f"no {name}")
    require(all(a < b for a, b in zip(values, values[1:])), rule, f"{name} are not sorted and unique")


def _require_sorted_members(value, rule):
    if isinstance(value, dict):
        names = [name.encode("utf-8") for name in value]
        require(all(a < b for a, b in zip(names, names[1:])), rule, "members are not sorted")
        value = value.values()
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        for item in value:
            _require_sorted_members(item, rule)


# Inventories (12)

def decode_inventory(data, repository, number_of_key):
    """The lines of packs: SHA-256, PackId, length, key."""
    rule = "INVENTORY-1"
    try:
        content = data.decode("ascii")
    except UnicodeDecodeError:
        raise FormatError(rule, "not ASCII") from None
    require(content.endswith("\n"), rule, "no line feed at the end")
    lines = content[:-1].split("\n")
    require(len(lines) >= 4 and lines[0] == INVENTORY_TITLE, rule, "another title")
    require(lines[1] == repository.hex(), rule, f"the repository {lines[1]}")
    require(lines[2] == str(number_of_key), rule, f"the number {lines[2]}")
    require(lines[3] == str(len(lines) - 4), rule, f"{len(lines) - 4} lines of packs and not {lines[3]}")
    packs = []
    for line in lines[4:]:
        words = line.split(" ")
        require(len(words) == 4 and HEX32(words[0]) and HEX32(words[1]), rule, f"the line {line!r}")
        require(re.fullmatch(r"0|[1-9][0-9]{0,19}", words[2], re.ASCII) and int(words[2]) < 1 << 64, rule, f"the length {words[2]!r}")
        try:
            kind, parts = parse_key(words[3])
        except FormatError as error:
            raise FormatError(rule, str(error)) from None
        require(kind == "pack" and parts["id"].hex() == words[1], rule, f"the key {words[3]}")
        packs.append((bytes.fromhex(words[0]), bytes.fromhex(words[1]), int(words[2]), words[3]))
    keys = [pack[3] for pack in packs]
    require(all(a < b for a, b in zip(keys, keys[1:])), rule, "packs are not sorted and unique")
    return packs
