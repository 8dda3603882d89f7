"""Test keys, and a small whole repository made with them. Everything is derived from labels: two runs make equal bytes."""

import os

from blake3 import blake3
from kyber_py.ml_kem import ML_KEM_768
from nacl import bindings

from . import crypto, envelope, keyslot, pack, records, statement, tree
from .layout import manifest_key, outcome_key, pack_key, place_of, register_key, segment_key

CREATED = 1_700_000_000
EMPTY_TOTALS = tree.TOTALS(0, 0, 0, 0)


def fixed(label, length=32):
    """Bytes that look random and never change."""
    return blake3(b"sbf-repo test " + label.encode()).digest(length=length)


REPOSITORY = fixed("repository", 16)
CLIENT = fixed("client", 16)
OTHER_CLIENT = fixed("other client", 16)
SESSION = fixed("session", 16)
LATER_SESSION = fixed("later session", 16)
SLOT = fixed("slot", 16)
PASSPHRASE_SLOT = fixed("passphrase slot", 16)
PUBLIC_SLOT = fixed("public slot", 16)
SECRET = fixed("secret")
PASSPHRASE = b"correct horse battery staple"
AUTHORITY, MAINTENANCE, CLIENT_KEY = fixed("authority"), fixed("maintenance"), fixed("client key")
ID_KEY, GEAR_KEY = fixed("id key"), fixed("gear key")
INDEX_KEY, MANIFEST_KEY, TREE_KEY, DATA_KEY = (fixed(f"{name} key") for name in ("index", "manifest", "tree", "data"))
TREE_SEED, DATA_SEED = fixed("tree seed"), fixed("data seed")
COST = records.PASSPHRASE_COST(65536, 3, 1)
PROFILE = records.PROFILE("default", 1, 16384, 65536, 262144, 0x524A494929240000, 0x4924922492480000)
LIMITS = records.LIMITS(1 << 20, 1 << 18, 32 << 20, 8 << 20, 3, 0)
NO_FEATURES = records.FEATURES([], [], [])
CONFIG = records.CONFIG(1, REPOSITORY, CREATED, crypto.public_key_of(AUTHORITY), NO_FEATURES, [PROFILE], LIMITS,
                        records.STORE_MODE.Registers)


def hpke_seal(seed, info, associated, secret, label):
    """Encapsulated key and sealed secret; the randomness is that of the label."""
    public = crypto.xwing_public(seed)
    shared_kem, kem_ciphertext = ML_KEM_768._encaps_internal(public[:1184], fixed(label + " kem"))
    ephemeral = fixed(label + " curve")
    curve_ciphertext = bindings.crypto_scalarmult_base(ephemeral)
    shared_curve = bindings.crypto_scalarmult(ephemeral, public[1184:])
    shared = crypto.xwing_combine(shared_kem, shared_curve, curve_ciphertext, public[1184:])
    key, nonce = crypto.hpke_key_and_nonce(shared, info)
    return kem_ciphertext + curve_ciphertext, crypto.seal_chacha(key, nonce, associated, secret)


# Slots

def slot_keys():
    generation = records.GENERATION(1, INDEX_KEY, MANIFEST_KEY, TREE_KEY, DATA_KEY, crypto.xwing_public(TREE_SEED),
                                    crypto.xwing_public(DATA_SEED), TREE_SEED, DATA_SEED)
    return records.SLOT_KEYS.make(crypto.public_key_of(AUTHORITY), AUTHORITY, MAINTENANCE, CLIENT, CLIENT_KEY, ID_KEY, GEAR_KEY,
                                  [generation])


def reader_keys():
    generation = records.GENERATION(1, INDEX_KEY, MANIFEST_KEY, TREE_KEY, DATA_KEY, b"", b"", TREE_SEED, DATA_SEED)
    return slot_keys()._replace(authority=None, maintenance=None, generations=[generation])


def slot_header(slot, unlock, secret, label="laptop"):
    salt = fixed("salt" + slot.hex())
    commitment = crypto.derive("sbf-repo 1 slot commitment", secret + salt)
    return records.SLOT_HEADER(REPOSITORY, slot, CLIENT, records.ROLE.Reader, label, CREATED, unlock, salt, commitment,
                               fixed("slot nonce" + slot.hex(), 24))


def wrap_slot(header, secret, keys):
    key = crypto.derive("sbf-repo 1 slot wrap", secret + header.salt)
    return crypto.seal_xchacha(key, header.nonce, keyslot.slot_data(header), records.SLOT_KEYS.encode(keys))


def key_file_slot(**wrong):
    header = slot_header(SLOT, records.UNLOCK.KeyFile, SECRET)
    return keyslot.encode_slot(header, wrap_slot(header, SECRET, reader_keys()), **wrong)


def passphrase_slot():
    unlock = records.UNLOCK.Passphrase(COST)
    salt = fixed("salt" + PASSPHRASE_SLOT.hex())
    secret = crypto.argon2id(PASSPHRASE, salt, *COST)
    header = slot_header(PASSPHRASE_SLOT, unlock, secret)
    return keyslot.encode_slot(header, wrap_slot(header, secret, reader_keys()))


def public_key_slot():
    """The secret of the slot is sealed to the X-Wing key whose seed is SECRET."""
    secret = fixed("sealed slot secret")
    unsealed = slot_header(PUBLIC_SLOT, records.UNLOCK.PublicKey(bytes(1120)), secret)
    # The encapsulated key is part of the associated data; it does not depend on it.
    encapsulated, _ = hpke_seal(SECRET, b"sbf-repo 1 slot seal", b"", secret, "slot seal")
    header = unsealed._replace(unlock=records.UNLOCK.PublicKey(encapsulated))
    _, sealed = hpke_seal(SECRET, b"sbf-repo 1 slot seal", keyslot.slot_data(header), secret, "slot seal")
    return keyslot.encode_slot(header, sealed + wrap_slot(header, secret, reader_keys()))


def renewal_of(keys, client=CLIENT, client_key=CLIENT_KEY):
    """The keys of a generation, sealed for the client that has this key."""
    secret = fixed(f"renewal secret {keys.generation}")
    associated = keyslot.renewal_data(REPOSITORY, client, keys.generation)
    encapsulated, sealed = hpke_seal(keyslot.renewal_seed(client_key), b"sbf-repo 1 renewal seal", associated, secret, "renewal seal")
    nonce = fixed("renewal nonce", 24)
    wrapped = crypto.seal_xchacha(crypto.derive("sbf-repo 1 renewal wrap", secret), nonce, associated, records.GENERATION.encode(keys))
    return records.RENEWAL(client, keys.generation, encapsulated, sealed, nonce, wrapped)


def key_file_text(slot=SLOT, secret=SECRET):
    return (f"# a test key, no secret\nsbf-repo key file 1\nrepository {REPOSITORY.hex()}\nslot {slot.hex()}\n"
            f"secret {secret.hex()}\n").encode()


# Sealed and clear objects

def clear(word, place, body, seed=AUTHORITY):
    kind = envelope.KINDS[word]
    return envelope.wrap_clear(kind, envelope.sign_body(kind, seed, REPOSITORY, place, body))


def sealed(word, key, body, seed=CLIENT_KEY, codec=1, place=None):
    kind, place = envelope.KINDS[word], place or place_of(key)
    signed = envelope.sign_body(kind, seed, REPOSITORY, place, body)
    if codec == 1 and len(crypto.encode_frame(signed)) >= len(signed):
        codec = 0
    master = INDEX_KEY if kind.wrapper == "index" else MANIFEST_KEY
    return envelope.seal(kind, signed, master, 1, fixed("nonce " + place + str(len(body)), 24), REPOSITORY, place, codec)


# Packs

class PackMaker:
    """Collects blocks; `finish` gives the bytes of the pack, `indexed` what a segment says of it."""

    def __init__(self, label, kind="Data", wrap="Symmetric"):
        self.kind = getattr(records.PACK_KIND, kind)
        self.name = kind.lower()
        self.number = self.kind.number + 1
        self.uid = fixed(label + " uid", 16)
        self.key = fixed(label + " key")
        self.wrapped = self.wrap(wrap, label)
        self.header = records.PACK_HEADER(self.kind, self.uid, self.wrapped, 1)
        self.entries, self.stored = [], []

    def wrap(self, wrap, label):
        associated = pack.key_associated(REPOSITORY, self.number, self.uid)
        commitment = crypto.derive("sbf-repo 1 pack key commitment", self.key)
        if wrap == "Symmetric":
            nonce = fixed(label + " wrap nonce", 24)
            master = crypto.derive("sbf-repo 1 pack key wrap", DATA_KEY if self.name == "data" else TREE_KEY)
            sealed_key = crypto.seal_xchacha(master, nonce, associated, self.key)
            return records.WRAPPED_KEY(1, commitment, records.WRAP.Symmetric(records.SYMMETRIC(nonce, sealed_key)))
        seed = DATA_SEED if self.name == "data" else TREE_SEED
        encapsulated, sealed_key = hpke_seal(seed, b"sbf-repo 1 pack key seal", associated, self.key, label)
        return records.WRAPPED_KEY(1, commitment, records.WRAP.Sealed(records.SEALED(encapsulated, sealed_key)))

    def chunk_id(self, plaintext):
        return pack.chunk_id(ID_KEY, self.name, plaintext)

    def add(self, chunks, codec="Raw", bases=()):
        """Seals a block; returns the ids of its chunks. `bases` are plaintexts."""
        raw = b"".join(chunks)
        opened, kind = raw, records.BLOCK_CODEC.Raw
        if codec == "Zstd":
            opened, kind = crypto.encode_frame(raw), records.BLOCK_CODEC.Zstd
        elif codec == "Delta":
            opened = crypto.encode_frame(raw, prefix=b"".join(bases))
            kind = records.BLOCK_CODEC.Delta([self.chunk_id(base) for base in bases])
        assert codec == "Raw" or len(opened) < len(raw)
        stored = pack.seal_block(self.key, REPOSITORY, self.number, self.uid, len(self.entries), opened)
        entries = [records.CHUNK_ENTRY(self.chunk_id(chunk), len(chunk)) for chunk in chunks]
        self.put(records.BLOCK_ENTRY(len(stored), len(raw), kind, None, entries), stored)
        return [entry.id for entry in entries]

    def add_foreign(self, origin, number):
        """Copies a block of another pack as it stands."""
        entry = origin.entries[number]
        copied = entry.origin or records.BLOCK_ORIGIN(origin.uid, number, origin.wrapped)
        self.put(entry._replace(origin=copied), origin.stored[number])

    def put(self, entry, stored):
        self.entries.append(entry)
        self.stored.append(stored)

    def finish(self, directory_codec="Raw", gap=b"", directory_length=None, raw_length=None, end=pack.PACK_END_MAGIC, header=None):
        """The lengths, the header and the magic at the end can be wrong on purpose."""
        header = pack.header_bytes(self.header) if header is None else header
        raw = records.PACK_DIRECTORY.encode(records.PACK_DIRECTORY(self.entries))
        opened = crypto.encode_frame(raw) if directory_codec == "Zstd" else raw
        directory = crypto.seal_chacha(pack.directory_key(self.header, INDEX_KEY), bytes(12),
                                       pack.directory_associated(REPOSITORY, pack.header_bytes(self.header)), opened)
        trailer = ((len(directory) if directory_length is None else directory_length).to_bytes(4, "little")
                   + (len(raw) if raw_length is None else raw_length).to_bytes(4, "little") + end)
        return header + b"".join(self.stored) + gap + directory + trailer

    def indexed(self, epoch=0, session=SESSION, sequence=0, **other):
        data = self.finish()
        return records.INDEXED_PACK(CLIENT, epoch, session, sequence, crypto.digest(data), crypto.sha256(data), len(data),
                                    self.header, 8 + len(records.PACK_HEADER.encode(self.header)), self.entries)._replace(**other)


# Trees

def metadata(mode=0o644, links=1, inode=1, xattrs=(), seconds=CREATED, nanoseconds=123456789, owner=0):
    time = tree.TIMESTAMP(seconds, nanoseconds)
    return tree.METADATA(mode, owner, time, tree.TIMESTAMP(CREATED + 1, 0), tree.TIMESTAMP(-1, 999999999),
                         tree.INODE(7, inode), links, 0, list(xattrs))


def file(extents, digest=None, content=None, size=None, sparse=None):
    if size is None:
        size = sum(tree.extent_length(extent) for extent in extents)
    if sparse is None:
        sparse = any(extent.name == "Hole" for extent in extents)
    return tree.ENTRY_KIND.File(tree.FILE(size, content or tree.CONTENT.Inline(list(extents)), digest, sparse))


def chunk_extent(identifier, length):
    return tree.EXTENT.Chunk(tree.CHUNK(identifier, length))


def hole_extent(length):
    return tree.EXTENT.Hole(length)


def leaf(*entries, owners=None):
    if owners is None:
        owners = [tree.OWNER(1000, 100, b"user", b"")] if entries else []
    return tree.TREE_NODE.Leaf(tree.LEAF(owners, list(entries)))


def entry(name, node, **fields):
    return tree.TREE_ENTRY(name, node, metadata(**fields))


def directory(listing, totals):
    return tree.ENTRY_KIND.Directory(tree.DIRECTORY(listing, totals))


def inline_listing(node):
    return tree.LISTING.Inline(tree.TREE_NODE.encode(node))


def node_listing(node, height):
    return tree.LISTING.Node(tree.LISTING_NODE(node, height))


def list_content(node, height, extents):
    return tree.CONTENT.List(tree.CONTENT_LIST(node, height, extents))


# Statements

def manifest(session=SESSION, root=bytes(32), height=0, totals=(0, 0, 0, 0), packs=(), verdict=(0, bytes(32)), kind="files",
             command=None, source="home", **changes):
    merkle = statement.packs_root(packs).hex()
    predicate = {
        "repository": REPOSITORY.hex(), "client": CLIENT.hex(), "snapshot": session.hex(), "source": source, "kind": kind,
        "paths": ["/home/u"], "tags": ["a \"tag\"\n"], "host": "höst", "tool": "sbf-repo 0.1.0",
        "actor": {"user_id": 1000}, "times": {name: "2023-11-14T22:13:20Z" for name in ("data", "started", "finished")},
        "command": command, "streams": None, "parent": None, "origin": None, "profile": "default", "root": {"node": root.hex(), "height": height},
        "totals": dict(zip(("files", "directories", "others", "bytes"), totals)),
        "run": {"files_new": 3, "files_changed": 0, "files_unchanged": 0, "bytes_read": 10, "bytes_new": 10, "bytes_stored": 9},
        "incomplete": False, "skipped": [{"path": "/home/u/\\xff", "reason": "denied"}], "skipped_count": 1,
        "packs": {"root": merkle, "count": len(packs), "scope": "session"},
        "verdict": {"number": verdict[0], "digest": verdict[1].hex()}}
    predicate.update(changes)
    predicate = {name: value for name, value in predicate.items() if value is not None}
    return {"_type": statement.STATEMENT_TYPE, "subject": [{"name": f"snapshot:{session.hex()}", "digest": {"sha256": merkle}}],
            "predicateType": statement.SNAPSHOT_PREDICATE, "predicate": predicate}


def record_statement(word, key, **members):
    predicate = dict(sorted({"place": key, "repository": REPOSITORY.hex(), **members}.items()))
    return {"_type": statement.STATEMENT_TYPE, "subject": [], "predicateType": f"{statement.PREDICATE_PREFIX}{word}/v1",
            "predicate": predicate}


def audit_members(number, before, **members):
    """The members of a record of the audit log."""
    return dict(dict(seq=number, prev=before.hex(), version=1, time="2023-11-14T22:13:20Z", operation="snapshot", run=fixed("run", 16).hex(),
                     actor=dict(client=CLIENT.hex(), user_id=1000), host="host", tool="sbf-repo 0.1.0"), **members)


# A whole repository

class Example:
    """Two sessions with a collection between them. `objects` maps keys to bytes, `expected` paths to contents."""

    def __init__(self):
        self.objects, self.expected = {}, {}
        self._setup()
        data, other, nodes, snapshot = self._first_session()
        self._collection(data, other, nodes, snapshot)
        self._later_session()

    def put(self, key, data):
        assert key not in self.objects
        self.objects[key] = data

    def _setup(self):
        self.put("config", clear("config", "config", records.CONFIG.encode(CONFIG)))
        self.put(f"keys/{SLOT.hex()}", key_file_slot())
        self.put(f"keys/{PASSPHRASE_SLOT.hex()}", passphrase_slot())
        self.put(f"keys/{PUBLIC_SLOT.hex()}", public_key_slot())
        subjects = [(records.SUBJECT.Client(CLIENT), CLIENT_KEY), (records.SUBJECT.Maintenance, MAINTENANCE)]
        for number, (subject, seed) in enumerate(subjects, 1):
            certificate = records.CERTIFICATE(subject, crypto.public_key_of(seed), records.ROLE.Admin, CREATED, None)
            key = f"ids/{number:08}"
            self.put(key, clear("identity", key, records.IDENTITY.encode(records.IDENTITY.Certificate(certificate))))

    def _put_packs(self, epoch, session, makers):
        indexed = [maker.indexed(epoch, session, sequence) for sequence, maker in enumerate(makers)]
        for each, maker in zip(indexed, makers):
            self.put(pack_key(each), maker.finish())
        body = records.SEGMENT.encode(records.SEGMENT.make(sorted(indexed)))
        place = f"index/{CLIENT.hex()}/{epoch:012}/{session.hex()}/000000"
        stored = sealed("segment", None, body, place=place)
        name = records.SEGMENT_NAME(CLIENT, epoch, session, 0, crypto.digest(stored))
        self.put(segment_key(name), stored)
        return indexed, name

    def _announce(self, epoch, session):
        key = f"sessions/{CLIENT.hex()}/{epoch:012}/{session.hex()}"
        body = records.ANNOUNCEMENT(records.PURPOSE.Write, "sbf-repo 0.1.0", "host", 4711, "home", CREATED, fixed(f"nonce {epoch}", 16))
        self.put(key, sealed("session", key, records.ANNOUNCEMENT.encode(body)))

    def _commit(self, epoch, session, value, segments, verdict):
        body = statement.encode_json(value)
        key = manifest_key(CLIENT, session)
        self.put(key, sealed("manifest", key, body))
        subject = records.COMMIT_SUBJECT.Snapshot(records.SNAPSHOT_SUBJECT(crypto.sha256(body), "home"))
        commit = records.COMMIT(subject, segments, [], verdict, fixed(f"commit {epoch}", 16))
        key = outcome_key(CLIENT, epoch, session)
        self.put(key, sealed("outcome", key, records.OUTCOME.encode(records.OUTCOME.Commit(commit))))
        return key, crypto.sha256(body)

    def _first_session(self):
        self._announce(0, SESSION)
        noise, text = fixed("noise", 3000), b"some text that is repeated; " * 200
        changed = text[:2000] + b"a change" + text[2000:]
        data, other, gone = PackMaker("first data"), PackMaker("second data", wrap="Sealed"), PackMaker("gone data")
        noise_id, = data.add([noise])
        text_id, = data.add([text], "Zstd")
        other.add([noise[:10]])
        changed_id, = other.add([changed], "Delta", [text])
        gone.add([b"never stored"])
        foreign = [fixed(f"foreign {number}", 100) for number in range(4)]
        foreign_ids = gone.add(foreign)
        other.add_foreign(gone, 1)
        nodes = PackMaker("tree", "Tree")
        root_chunk, totals = self._tree(nodes, {
            "noise": (noise_id, noise), "text": (text_id, text), "changed": (changed_id, changed),
            "foreign": list(zip(foreign_ids, foreign))})
        indexed, segment = self._put_packs(0, SESSION, [data, other, nodes])
        value = manifest(SESSION, root_chunk, 1, totals, [(each.id, each.length) for each in indexed])
        key, digest = self._commit(0, SESSION, value, [segment], records.VERDICT_SEEN(0, bytes(32)))
        return indexed, segment, key, digest

    def _tree(self, nodes, content):
        """Stores the nodes; returns the root of height 1 and the totals."""
        blocks = []

        def store(kind, value):
            blocks.append(kind.encode(value))
            return nodes.chunk_id(blocks[-1])

        def whole(name, mode=0o640, **fields):
            identifier, plaintext = content[name]
            self.expected[name.encode()] = plaintext
            return entry(name.encode(), file([chunk_extent(identifier, len(plaintext))]), mode=mode, **fields)

        foreign = content["foreign"]
        many = [chunk_extent(identifier, len(plaintext)) for identifier, plaintext in foreign * 3]
        plain = b"".join(plaintext for _, plaintext in foreign * 3)
        left, right = store(tree.LIST_NODE, tree.LIST_NODE.Leaf(many[:5])), store(tree.LIST_NODE, tree.LIST_NODE.Leaf(many[5:]))
        references = [tree.LIST_REFERENCE(left, 500), tree.LIST_REFERENCE(right, 700)]
        top = store(tree.LIST_NODE, tree.LIST_NODE.Internal(references))
        self.expected[b"many"] = plain
        holes = [hole_extent(1 << 20), chunk_extent(foreign[0][0], 100), hole_extent(5000)]
        sparse = bytes(1 << 20) + foreign[0][1] + bytes(5000)
        self.expected[b"dir/sparse"] = sparse
        self.expected[b"dir/\xff"] = b""
        below = leaf(entry(b"fifo", tree.ENTRY_KIND.Fifo, mode=0o600, inode=30),
                     entry(b"link", tree.ENTRY_KIND.Symlink(b"../text"), mode=0o777, inode=31),
                     entry(b"sparse", file(holes, crypto.digest(foreign[0][1])), inode=32),
                     entry(b"\xff", file([]), inode=33))
        deep = leaf(entry(b"socket", tree.ENTRY_KIND.Socket, inode=50))
        deep_node = store(tree.TREE_NODE, deep)
        self.expected[b"hard"] = content["text"][1]
        hard = entry(b"hard", file([chunk_extent(content["text"][0], len(content["text"][1]))]), mode=0o600, links=2, inode=40)
        first = leaf(whole("changed", inode=60),
                     entry(b"deep", directory(node_listing(deep_node, 0), tree.TOTALS(0, 0, 1, 0)), mode=0o755, inode=49),
                     entry(b"dir", directory(inline_listing(below), tree.TOTALS(2, 0, 2, len(sparse))), mode=0o2750, inode=29),
                     hard)
        second = leaf(entry(b"many", file(many, crypto.digest(plain), list_content(top, 1, 12)), inode=61),
                      whole("noise", inode=62, xattrs=[tree.XATTR(b"user.a", b"1"), tree.XATTR(b"user.b", b"\0")]),
                      whole("text", mode=0o600, links=2, inode=40))
        references = [tree.NODE_REFERENCE(b"hard", store(tree.TREE_NODE, first)), tree.NODE_REFERENCE(b"text", store(tree.TREE_NODE, second))]
        root = store(tree.TREE_NODE, tree.TREE_NODE.Internal(references))
        nodes.add(blocks[:2])
        nodes.add(blocks[2:], "Zstd")
        return root, (7, 2, 3, sum(len(plaintext) for plaintext in self.expected.values()))

    def _collection(self, indexed, segment, outcome, manifest_digest):
        def body(word, kind, value):
            stored = sealed(word, None, kind.encode(value), MAINTENANCE, place="gc/000000000001/body")
            self.put(f"gc/000000000001/{crypto.digest(stored).hex()}", stored)
            return crypto.digest(stored)

        def register(step, digest):
            key = register_key(1, step.name.lower())
            value = records.REGISTER(1, step, digest, fixed(key, 16))
            self.put(key, sealed("gc-register", key, records.REGISTER.encode(value), MAINTENANCE))

        plan = body("gc-plan", records.PLAN, records.PLAN(1, [], [SESSION], []))
        register(records.STEP.Plan, plan)
        snapshot = records.BASE_SNAPSHOT(SESSION, CLIENT, manifest_digest, "home", CREATED)
        base = body("gc-base", records.BASE, records.BASE(1, [snapshot], [], [segment]))
        folded = records.FOLDED(SESSION, CLIENT, 0, crypto.digest(self.objects.pop(outcome)), CREATED)
        self.verdict = body("gc-verdict", records.VERDICT, records.VERDICT(1, plan, bytes(32), base, [], [], [folded], 1))
        register(records.STEP.Verdict, self.verdict)
        register(records.STEP.Done, bytes(32))
        lines = [f"{each.sha256.hex()} {each.id.hex()} {each.length} {pack_key(each)}" for each in sorted(indexed, key=pack_key)]
        text = "\n".join(["sbf-repo inventory 1", REPOSITORY.hex(), "1", str(len(lines)), *lines, ""]).encode()
        self.put("inventory/000000000001", clear("inventory", "inventory/000000000001", text, MAINTENANCE))

    def _later_session(self):
        self._announce(1, LATER_SESSION)
        nodes = PackMaker("later tree", "Tree", "Sealed")
        node = tree.TREE_NODE.encode(leaf())
        root, = nodes.add([node])
        indexed, segment = self._put_packs(1, LATER_SESSION, [nodes])
        value = manifest(LATER_SESSION, root, packs=[(each.id, each.length) for each in indexed], verdict=(1, self.verdict))
        self._commit(1, LATER_SESSION, value, [segment], records.VERDICT_SEEN(1, self.verdict))
        key = f"audit/{CLIENT.hex()}/00000001"
        value = record_statement("audit", key, **audit_members(1, bytes(32), phase="begin"))
        self.put(key, sealed("audit", key, statement.encode_json(value)))

    def write(self, directory):
        """Writes the objects into a new directory."""
        for key, data in self.objects.items():
            path = os.path.join(directory, *key.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as out:
                out.write(data)
