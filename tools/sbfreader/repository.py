"""Opens a repository in a directory: keys, signers, what is valid, chunks. Spec: format-spec/03, 04, 06, 09, 10, 11."""

import os
from collections import OrderedDict, defaultdict, namedtuple

from . import crypto, envelope, keyslot, pack, records, statement
from .codec import decode_record
from .errors import AuthError, FormatError, LimitError, Missing, NoKey, NoRepository, ReadError, Refused, WrongKey
from .layout import manifest_key, pack_key, parse_key, place_of, register_key, segment_key
from .tree import TreeWalk

CACHE_BYTES_MAX = 128 << 20
STARTS_OVER_MAX = 5
# Features of the config that this reader knows: format 1 defines none.
FEATURES_KNOWN = frozenset()

# Kinds whose signature must be in time when they are received; outcomes only if they commit.
TIMED = frozenset(["gc-register", "forget", "record", "audit", "inventory"])

Certified = namedtuple("Certified", "subject public_key role valid_from valid_until")
Snapshot = namedtuple("Snapshot", "id client manifest source session_epoch")
Location = namedtuple("Location", "pack block")


class Store:
    """Objects are files under their key."""

    def __init__(self, root):
        self.root = root

    def path(self, key):
        return os.path.join(self.root, *key.split("/"))

    def read(self, key):
        try:
            with open(self.path(key), "rb") as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"{key} is missing") from None

    def read_range(self, key, offset, length):
        try:
            with open(self.path(key), "rb") as file:
                file.seek(offset)
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            raise Missing(f"{key} is missing") from None

    def received(self, key):
        """When the object was stored, in seconds since 1970."""
        return int(os.stat(self.path(key)).st_mtime)

    def has(self, key):
        return os.path.isfile(self.path(key))

    def keys(self, folder):
        """Every key under a folder, sorted; names that start with a dot are the store's own."""
        found = []
        for directory, folders, files in os.walk(os.path.join(self.root, folder)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            below = os.path.relpath(directory, self.root).split(os.sep)
            found += ["/".join([*below, name]) for name in files if not name.startswith(".")]
        return sorted(found)


class Repository:
    """What a slot may read of a repository; `findings` are what is wrong without keeping a reader from going on."""

    def __init__(self, root, key_file=None, passphrase=None):
        self.store = Store(root)
        self.findings = []
        self.notes = []
        if not self.store.has("config"):
            raise NoRepository(f"there is no repository at {root}")
        self.config = self._claimed_config()
        self.id = self.config.repository
        self.keys = self._unlock(key_file, passphrase)
        self.generations = {keys.generation: keys for keys in self.keys.generations}
        self.certificates = defaultdict(list)
        self.revocations = defaultdict(list)
        self._verify_config()
        self._read_identities()
        self._read_amendments()
        unknown = [name for name in self.features.read if name not in FEATURES_KNOWN]
        if unknown:
            raise Refused(f"reading needs the feature {unknown[0]}")
        self.packs = []
        self.locations = defaultdict(list)
        self.removed = set()
        self.pack_keys = {}
        self.blocks = OrderedDict()
        self.blocks_bytes = 0

    # Opening

    def _claimed_config(self):
        """The config before any signature: it names the repository that slots belong to."""
        kind = envelope.KINDS["config"]
        signed = envelope.split_signed(envelope.open_clear(kind, self.store.read("config")))
        return records.decode_config(signed.body)

    def _unlock(self, key_file, passphrase):
        if key_file is not None:
            parsed = keyslot.parse_key_file(key_file)
            if parsed.repository != self.id:
                raise WrongKey("the key file is for another repository")
            key = f"keys/{parsed.slot.hex()}"
            if not self.store.has(key):
                raise WrongKey("the slot of the key file does not exist")
            slot = keyslot.decode_slot(self.store.read(key), self.id, parsed.slot)
            keys = self._keys_of(slot, unlock_secret=parsed.secret)
            if parsed.authority not in (None, keys.authority_public):
                raise AuthError("the slot names another authority than the key file")
            return keys
        failure = None
        for key in self.listed("keys", "slot"):
            try:
                slot = keyslot.decode_slot(self.store.read(key), self.id, parse_key(key)[1]["slot"])
                if slot.header.unlock.name == "Passphrase":
                    return self._keys_of(slot, passphrase=passphrase)
            except WrongKey:
                continue
            except ReadError as error:
                failure = error
        raise failure or WrongKey("no slot opens with the passphrase")

    @staticmethod
    def _keys_of(slot, **secret):
        keys = keyslot.decode_slot_keys(keyslot.open_slot(slot, **secret))
        if keys.client != slot.header.client:
            raise AuthError("the slot is of another client than it says")
        return keys

    def _verify_config(self):
        authority = self.keys.authority_public
        if self.config.authority != authority:
            raise AuthError("the config names another authority than the slot")
        self.open_clear("config", "config")

    def _read_identities(self):
        for key in self.listed("ids", "identity"):
            identity = decode_record(records.IDENTITY, self.open_clear("identity", key))
            value = identity.value
            if identity.name == "Certificate":
                self.certificates[crypto.key_id(value.public_key)].append(
                    Certified(value.subject, value.public_key, value.role, value.valid_from, value.valid_until))
            elif identity.name == "Revocation":
                self.revocations[value.key].append(value.start)
            elif identity.name == "Renewal" and value.client == self.keys.client and value.generation not in self.generations:
                self.generations[value.generation] = keyslot.open_renewal(value, self.id, self.keys.client_key)

    def _read_amendments(self):
        self.features = self.config.features
        self.profiles = {profile.name: profile for profile in self.config.profiles}
        number = 1
        while self.store.has(key := f"amendments/{number:08}"):
            amendment = records.decode_numbered(records.AMENDMENT, self.open_clear("amendment", key), number, "RECORD-3")
            for change in amendment.changes:
                if change.name == "Features":
                    self.features = change.value
                elif change.name == "Profile":
                    self.profiles[change.value.name] = change.value
            number += 1

    # Objects

    def listed(self, folder, *kinds):
        """The keys of these kinds in a folder; keys of another form are noted and ignored."""
        found = []
        for key in self.store.keys(folder):
            try:
                kind, _ = parse_key(key)
            except FormatError as error:
                self.note(f"ignored: {error}")
                continue
            if kind in kinds:
                found.append(key)
        return found

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def finding(self, key, error):
        text = f"{key}: {error}"
        if text not in self.findings:
            self.findings.append(text)

    def generation(self, generation):
        if generation not in self.generations:
            raise AuthError(f"the slot has no generation {generation}")
        return self.generations[generation]

    def key_of(self, generation, name):
        key = getattr(self.generation(generation), name)
        if key is None:
            raise NoKey(f"the slot lacks the {name.replace('_', ' ')} key of generation {generation}")
        return key

    def open_clear(self, word, key):
        kind = envelope.KINDS[word]
        signed = envelope.split_signed(envelope.open_clear(kind, self.store.read(key)))
        if word == "inventory":
            self.verify(kind, signed, key, ["maintenance"])
        else:
            if signed.signer != crypto.key_id(self.keys.authority_public):
                raise AuthError(f"{key} is not signed by the authority")
            envelope.verify_signed(kind, signed, self.keys.authority_public, self.id, place_of(key))
        return signed.body

    def open_sealed(self, word, key, subjects, stored=None):
        """Opens and verifies a sealed object; returns its signed body and which of `subjects` signed it."""
        kind = envelope.KINDS[word]
        stored = self.store.read(key) if stored is None else stored
        header = envelope.decode_header(kind, stored)
        master = self.key_of(header.generation, kind.wrapper)
        signed = envelope.split_signed(envelope.open_sealed(kind, stored, master, self.id, place_of(key)))
        return signed, self.verify(kind, signed, key, subjects)

    def verify(self, kind, signed, key, subjects):
        """Verifies a signature; `subjects` are client ids, or `"maintenance"`. Returns the one that signed."""
        certified = self.certificates.get(signed.signer)
        if not certified:
            raise AuthError(f"{key} is signed by an unknown key")
        for certificate in certified:
            subject = "maintenance" if certificate.subject.name == "Maintenance" else certificate.subject.value
            if subject in subjects:
                envelope.verify_signed(kind, signed, certificate.public_key, self.id, place_of(key))
                if kind.word in TIMED:
                    self.verify_received(signed, key)
                return subject
        raise AuthError(f"{key} is signed by a key that may not sign it")

    def verify_received(self, signed, key):
        """The bounds of certificates and revocations at the time when the store received the object; not in mirrors."""
        if self.store.has("amendments/mirror/00000001"):
            return
        received = self.store.received(key)
        certified = self.certificates[signed.signer]
        if not any(each.valid_until is None or received <= each.valid_until for each in certified):
            raise AuthError(f"{key} came after the end of its signer's certificate")
        if any(received >= start for start in self.revocations.get(signed.signer, [])):
            raise AuthError(f"{key} came after its signer was revoked")

    def verify_time(self, signed, key, seconds, nanoseconds):
        """The bounds of certificates and revocations, for a signature of a known time."""
        moment = (seconds, nanoseconds)
        within = any((each.valid_from, 0) <= moment and (each.valid_until is None or moment <= (each.valid_until, 0))
                     for each in self.certificates[signed.signer])
        if not within:
            raise AuthError(f"{key} is signed outside the bounds of the certificate")
        if any(moment >= (start, 0) for start in self.revocations.get(signed.signer, [])):
            raise AuthError(f"{key} is signed by a revoked key")

    # What is valid

    def newest_verdict(self):
        numbers = [parse_key(key)[1]["number"] for key in self.listed("gc", "verdict")]
        return max(numbers, default=0)

    def read_register(self, number, step):
        key = register_key(number, step)
        signed, _ = self.open_sealed("gc-register", key, ["maintenance"])
        return records.decode_register(signed.body, number, step)

    def read_body(self, word, kind, number, digest):
        key = f"gc/{number:012}/{digest.hex()}"
        stored = self.store.read(key)
        if crypto.digest(stored) != digest:
            raise AuthError(f"the bytes of {key} do not hash to its name")
        signed, _ = self.open_sealed(word, key, ["maintenance"], stored)
        return records.decode_numbered(kind, signed.body, number, "GC-1")

    def read_verdict(self, number):
        return self.read_body("gc-verdict", records.VERDICT, number, self.read_register(number, "verdict").body)

    def load(self):
        """Finds what is valid and reads the valid segments."""
        for _ in range(STARTS_OVER_MAX):
            number = self.newest_verdict()
            try:
                if self._load_at(number):
                    return
            except Missing:
                if self.newest_verdict() == number:
                    raise
        raise LimitError("collections overtook this reader too often")

    def _load_at(self, number):
        self.verdict = self.base = None
        if number:
            self.verdict = self.read_verdict(number)
            self.base = self.read_body("gc-base", records.BASE, number, self.verdict.base)
        epoch_min = self.verdict.epoch_min if self.verdict else 0
        self.commits = self._read_outcomes(epoch_min)
        forgotten = self._forgotten()
        if self.newest_verdict() != number:
            return False
        segments = set(self.base.segments) if self.base else set()
        self.snapshots = {}
        if self.base:
            for each in self.base.snapshots:
                self.snapshots[each.snapshot] = Snapshot(each.snapshot, each.client, each.manifest, each.source, None)
        for key, (parts, commit) in self.commits.items():
            for name in commit.segments:
                if name.client != parts["client"]:
                    self.finding(key, f"format error OUTCOME-1: a segment of another client, {segment_key(name)}")
                    continue
                segments.add(name)
            if commit.subject.name == "Snapshot":
                subject = commit.subject.value
                self.snapshots[parts["session"]] = Snapshot(parts["session"], parts["client"], subject.manifest,
                                                            subject.source, parts["epoch"])
        for snapshot in forgotten:
            self.snapshots.pop(snapshot, None)
        self._read_segments(sorted(segments))
        self.removed = set(self.verdict.removed) if self.verdict else set()
        return True

    def _read_outcomes(self, epoch_min):
        """The commits that count; an outcome that cannot be verified does not count and is a finding."""
        commits = {}
        self.outcome_digests = {}
        for key in self.listed("outcomes", "outcome"):
            _, parts = parse_key(key)
            if parts["epoch"] < epoch_min:
                continue
            try:
                stored = self.store.read(key)
                signed, subject = self.open_sealed("outcome", key, [parts["client"], "maintenance"], stored)
                outcome = decode_record(records.OUTCOME, signed.body)
                by_collection = outcome.name == "Fence" and outcome.value.reason.name == "Collection"
                if (subject == "maintenance") != by_collection:
                    raise AuthError("an outcome signed by a key that may not sign it")
                if outcome.name == "Commit" and not self.writes(signed.signer):
                    raise AuthError("a commit signed by a key that was certified to read")
            except (FormatError, AuthError) as error:
                self.finding(key, error)
                continue
            self.outcome_digests[parts["session"]] = crypto.digest(stored)
            if outcome.name == "Commit":
                try:
                    self.verify_received(signed, key)
                except AuthError as error:
                    self.finding(key, error)
                    continue
                commits[key] = (parts, outcome.value)
        return commits

    def read_statement(self, word, key):
        _, parts = parse_key(key)
        subjects = ["maintenance"] if word == "forget" else [parts["client"]]
        signed, _ = self.open_sealed(word, key, subjects)
        return statement.decode_statement(signed.body, self.id, key), signed

    def _forgotten(self):
        """Snapshots that a forget names, unless it is undone for them or something holds them."""
        # Forgets first: whatever kept a snapshot before its forget was stored is then seen too.
        requests = {}
        for key in self.listed("forget", "forget"):
            try:
                signed = self._predicate("forget", key)
            except Missing:
                continue  # swept since it was listed
            if signed:
                requests[parse_key(key)[1]["record"]] = signed[0].get("snapshots", [])
        undos, holds, releases = [], [], []
        kinds = {"undo": undos, "hold": holds, "release": releases}
        for key in self.listed("records", "record"):
            kind = parse_key(key)[1]["kind"]
            if kind in kinds:
                read = self._predicate("record", key)
                if read and (kind == "release" or self.writes(read[1])):
                    kinds[kind].append((key, *read))
        held = {snapshot for hold in holds for snapshot in hold[1]["snapshots"] if not self._is_released(hold, snapshot, releases)}
        return {bytes.fromhex(snapshot) for request, snapshots in requests.items() for snapshot in snapshots
                if snapshot not in held and not any(_undoes(undo, request, snapshot) for _, undo, _ in undos)}

    def _is_released(self, hold, snapshot, releases):
        """A client ends its own holds; one that may forget ends those of others too."""
        key = hold[0]
        client = parse_key(key)[1]["client"]
        for place, release, signer in releases:
            may_forget = any(certificate.role.name in ("Admin", "Pruner") for certificate in self.certificates[signer])
            if key in release["holds"] and snapshot in release["snapshots"] and (may_forget or parse_key(place)[1]["client"] == client):
                return True
        return False

    def writes(self, signer):
        """Whether a key was certified for a role that does more than read: only then its commits, holds and undos count."""
        return any(certificate.role.name in ("Admin", "Writer", "Pruner") for certificate in self.certificates[signer])

    def _predicate(self, word, key):
        """What a record states and the key that signed it; `None`, and a finding, if it does not count."""
        try:
            value, signed = self.read_statement(word, key)
            return value["predicate"], signed.signer
        except (FormatError, AuthError) as error:
            self.finding(key, error)
            return None

    def _read_segments(self, names):
        self.packs, self.locations = [], defaultdict(list)
        self.segments, self.locked = {}, None
        for name in names:
            try:
                self.segments[name] = segment = self.read_segment(name)
            except NoKey as error:
                self.locked = error
                return
            except Missing:
                if self.newest_verdict() != (self.verdict.number if self.verdict else 0):
                    raise
                self.finding(segment_key(name), "a valid segment is missing")
                continue
            except (FormatError, AuthError) as error:
                self.finding(segment_key(name), error)
                continue
            for indexed in segment.packs:
                position = len(self.packs)
                self.packs.append(indexed)
                kind = "tree" if indexed.header.kind.name == "Tree" else "data"
                for number, block in enumerate(indexed.blocks):
                    for chunk in block.chunks:
                        self.locations[kind, chunk.id].append(Location(position, number))

    def read_segment(self, name):
        key = segment_key(name)
        stored = self.store.read(key)
        if crypto.digest(stored) != name.id:
            raise AuthError(f"the bytes of {key} do not hash to its name")
        signed, _ = self.open_sealed("segment", key, [name.client], stored)
        return decode_record(records.SEGMENT, signed.body)

    # Snapshots

    def manifest(self, snapshot):
        """The verified statement of a live snapshot."""
        key = manifest_key(snapshot.client, snapshot.id)
        signed, _ = self.open_sealed("manifest", key, [snapshot.client])
        if crypto.sha256(signed.body) != snapshot.manifest:
            raise AuthError(f"{key} is not the manifest that was committed")
        value = statement.decode_manifest(signed.body, self.id, snapshot.client, snapshot.id)
        if snapshot.session_epoch is not None:  # a base accepted the others
            self.verify_time(signed, key, *statement.time_seconds(value["predicate"]["times"]["finished"]))
        if value["predicate"]["source"] != snapshot.source:
            raise AuthError(f"{key} names another source than its commit")
        return value

    def find_snapshot(self, name):
        """By id, by the start of an id, or `latest`."""
        if name == "latest" and self.snapshots:
            return max(self.snapshots.values(), key=lambda each: (
                statement.time_seconds(self.manifest(each)["predicate"]["times"]["finished"]), each.id))
        found = [each for each in self.snapshots.values() if each.id.hex().startswith(name)]
        if len(found) != 1:
            raise Refused(f"{len(found)} snapshots are named {name}")
        return found[0]

    # Chunks

    def walk(self):
        return TreeWalk(lambda chunk: self.chunk("tree", chunk))

    def chunk(self, kind, chunk_id, plain_blocks_only=False):
        """The verified plaintext of a chunk, from any valid copy that opens."""
        failure = self.locked
        for location in self.locations.get((kind, chunk_id), []):
            indexed = self.packs[location.pack]
            if plain_blocks_only and indexed.blocks[location.block].codec.name == "Delta":
                continue
            if self.name_of(indexed) in self.removed or not self.store.has(pack_key(indexed)):
                continue
            try:
                return self._chunk_at(kind, chunk_id, location)
            except (FormatError, AuthError) as error:
                failure = error
        if failure:
            raise failure
        rule = "BLOCK-3" if plain_blocks_only and (kind, chunk_id) in self.locations else None
        if rule:
            raise FormatError(rule, f"the base chunk {chunk_id.hex()} is in no block that is not delta")
        raise Missing(f"the {kind} chunk {chunk_id.hex()} is in no valid pack")

    @staticmethod
    def name_of(indexed):
        return records.PACK_NAME.make(*indexed[:5])

    def _chunk_at(self, kind, chunk_id, location):
        block = self.packs[location.pack].blocks[location.block]
        plaintext = self.block(location)
        at = 0
        for chunk in block.chunks:
            if chunk.id == chunk_id:
                piece = plaintext[at:at + chunk.length]
                if pack.chunk_id(self._id_key(), kind, piece) != chunk_id:
                    raise AuthError(f"the {kind} chunk {chunk_id.hex()} has other bytes")
                return piece
            at += chunk.length
        raise AssertionError("the location was made from the block's chunks")

    def _id_key(self):
        if self.keys.id_key is None:
            raise NoKey("the slot lacks the id key")
        return self.keys.id_key

    def block(self, location):
        """The plaintext of a block; the names of its chunks are not checked here."""
        if location in self.blocks:
            self.blocks.move_to_end(location)
            return self.blocks[location]
        indexed = self.packs[location.pack]
        block = indexed.blocks[location.block]
        offset = indexed.header_length + sum(each.stored_length for each in indexed.blocks[:location.block])
        stored = self.store.read_range(pack_key(indexed), offset, block.stored_length)
        plaintext = self.open_block(indexed.header, location.block, block, stored)
        self.blocks[location] = plaintext
        self.blocks_bytes += len(plaintext)
        while self.blocks_bytes > CACHE_BYTES_MAX and len(self.blocks) > 1:
            self.blocks_bytes -= len(self.blocks.popitem(last=False)[1])
        return plaintext

    def open_block(self, header, number, block, stored):
        kind = pack.kind_number(header)
        origin = block.origin
        pack_uid = origin.pack_uid if origin else header.pack_uid
        key = self.pack_key(origin.key if origin else header.key, kind, pack_uid)
        return pack.open_block(block, stored, key, self.id, kind, pack_uid, origin.number if origin else number,
                               lambda bases: self._prefix("tree" if kind == 2 else "data", bases))

    def _prefix(self, kind, bases):
        pieces, total = [], 0
        for base in bases:
            pieces.append(self.chunk(kind, base, plain_blocks_only=True))
            total += len(pieces[-1])
            if total > records.BASE_BYTES_MAX:
                raise FormatError("BLOCK-3", f"bases of more than {records.BASE_BYTES_MAX} bytes")
        return b"".join(pieces)

    def pack_key(self, wrapped, kind, pack_uid):
        cached = (records.WRAPPED_KEY.encode(wrapped), kind, pack_uid)
        if cached not in self.pack_keys:
            name = "tree" if kind == 2 else "data"
            self.pack_keys[cached] = pack.open_pack_key(
                wrapped, self.id, kind, pack_uid, lambda generation: self.key_of(generation, name),
                lambda generation: self.key_of(generation, f"{name}_seal_secret"))
        return self.pack_keys[cached]


def _undoes(undo, request, snapshot):
    return bytes.fromhex(undo["forget"]) == request and ("snapshots" not in undo or snapshot in undo["snapshots"])
