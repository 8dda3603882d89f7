//! What the vectors open and compute: keys, envelopes, packs, signatures, as functions of bytes.
//! Spec: format-spec/13-crypto.md. The steps are those of `repo`, without a store.

use crate::chunk::ChunkParams;
use crate::chunk::params_for_average;
use crate::compress::Decompressor;
use crate::crypto::aead;
use crate::crypto::hash;
use crate::crypto::hash::blake3;
use crate::crypto::hash::derive;
use crate::crypto::seal;
use crate::crypto::secret::Secret;
use crate::crypto::sign;
use crate::crypto::sign::Signer;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::block;
use crate::format::block::BASE_BYTES_MAX;
use crate::format::block::BlockCodec;
use crate::format::block::BlockEntry;
use crate::format::config::ChunkerProfile;
use crate::format::envelope;
use crate::format::envelope::CLEAR_HEADER_LEN;
use crate::format::envelope::Envelope;
use crate::format::envelope::EnvelopeCodec;
use crate::format::envelope::ObjectKind;
use crate::format::identity::Identity;
use crate::format::keyslot::GenerationKeys;
use crate::format::keyslot::Role;
use crate::format::keyslot::Slot;
use crate::format::keyslot::SlotHeader;
use crate::format::keyslot::SlotKeys;
use crate::format::pack;
use crate::format::pack::PackDirectory;
use crate::format::pack::PackHeader;
use crate::format::pack::PackKind;
use crate::format::pack::PackTrailer;
use crate::id::ChunkId;
use crate::id::PackId;
use crate::id::PackUid;
use crate::id::RepoId;
use crate::id::SlotId;
use crate::id::to_hex;
use crate::repo::error::RepoError;
use crate::repo::key_file::KeyFile;
use crate::repo::keyring::KeyRing;
use crate::repo::objects;
use crate::repo::packkey;
use crate::repo::renewal;
use crate::repo::slots;
use crate::repo::slots::Credential;
use crate::repo::slots::Passphrase;
use crate::repo::slots::Unlocked;
use crate::repo::statement::merkle_root;
use crate::testing::fuzz_decode;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;

/// Why stored bytes are refused, in the kinds of format-spec/README.md.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// They break a rule.
    #[error("format error {}", .0.rule.code())]
    Format(FormatError),
    /// They are not what an authorised writer made for this place, or the key is another.
    #[error("auth error")]
    Auth,
    /// The program refuses them for a reason that the format does not know.
    #[error("other error: {0}")]
    Other(Box<RepoError>),
}

impl From<FormatError> for Refusal {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

impl From<RepoError> for Refusal {
    fn from(error: RepoError) -> Self {
        let unauthentic = matches!(
            error,
            RepoError::Open { .. }
                | RepoError::OpenSlot { .. }
                | RepoError::Signature { .. }
                | RepoError::Generation { .. }
                | RepoError::WrongHash { .. }
        );
        if unauthentic {
            return Self::Auth;
        }
        if matches!(error, RepoError::Decompress { .. }) {
            return broken(Rule::EnvelopeRawLength);
        }
        if let RepoError::Decode { source, .. } = error {
            return Self::Format(source);
        }
        Self::Other(Box::new(error))
    }
}

/// Keys of one generation, as a vector names them.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenKeys {
    /// The index key.
    pub index: Option<[u8; 32]>,
    /// The manifest key.
    pub manifest: Option<[u8; 32]>,
    /// The data or tree key: whichever kind of pack is opened.
    pub wrap: Option<[u8; 32]>,
    /// The seed that opens sealed keys of packs.
    pub seal_seed: Option<[u8; 32]>,
    /// The id key.
    pub id: Option<[u8; 32]>,
}

/// Opens a slot with the secret of a key file; gives the encoded keys.
pub fn open_slot_by_secret(bytes: &[u8], secret: &[u8; 32]) -> Result<Vec<u8>, Refusal> {
    let slot = Slot::decode(bytes, blake3)?;
    let SlotHeader { repository, slot: id, .. } = slot.header;
    let secret = to_hex(secret);
    let text =
        format!("sbf-repo key file 1\nrepository {repository}\nslot {id}\nsecret {secret}\n");
    open_slot(&slot, &Credential::KeyFile(KeyFile::parse(&text)?))
}

/// Opens a slot with a passphrase; gives the encoded keys.
pub fn open_slot_by_passphrase(bytes: &[u8], passphrase: &[u8]) -> Result<Vec<u8>, Refusal> {
    let slot = Slot::decode(bytes, blake3)?;
    open_slot(&slot, &Credential::Passphrase(Passphrase::new(passphrase.to_vec())))
}

/// Opens the keys of a later generation with a client's key; gives them encoded.
pub fn open_renewal(
    bytes: &[u8],
    repository: RepoId,
    client_key: &[u8; 32],
) -> Result<Vec<u8>, Refusal> {
    let Identity::Renewal(renewal) = Identity::decode(bytes)? else {
        return Err(broken(Rule::RecordRange));
    };
    let keys = renewal::open(repository, &Secret::new(*client_key), &renewal)?;
    Ok(keys.encode())
}

/// Opens a sealed object and checks its signature by `public`; gives the signed body.
pub fn open_envelope(
    kind: ObjectKind,
    (repository, place): (RepoId, &str),
    keys: GivenKeys,
    public: &[u8; 32],
    bytes: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let Envelope { header, header_bytes, sealed } = Envelope::decode(kind, bytes)?;
    let ring = key_ring(repository, header.generation, keys);
    let opened = objects::open(kind, &ring, place, bytes)?;
    if opened.signer() != sign::key_id(public) {
        return Err(Refusal::Auth);
    }
    opened.verified(repository, public)?;
    // A second time by hand: what was opened above does not show its signature.
    let sealing = kind.sealing_key().ok_or(Refusal::Auth)?;
    let key = ring.envelope_key(ring.newest(), sealing, kind.word())?;
    let place = envelope::associated_data(header_bytes, repository, place);
    let mut plaintext = sealed.to_vec();
    aead::open_random(&key, &header.nonce, &place, &mut plaintext).map_err(|_| Refusal::Auth)?;
    match header.codec {
        EnvelopeCodec::Raw => Ok(plaintext),
        EnvelopeCodec::Zstd => {
            decompress(&[], &plaintext, header.raw_length, Rule::EnvelopeRawLength)
        }
    }
}

/// Takes a clear object apart and checks its signature by `public`; gives the signed body.
pub fn open_clear(
    kind: ObjectKind,
    (repository, place): (RepoId, &str),
    public: &[u8; 32],
    bytes: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let opened = objects::open_clear(kind, place, bytes)?;
    if opened.signer() != sign::key_id(public) {
        return Err(Refusal::Auth);
    }
    opened.verified(repository, public)?;
    Ok(bytes.get(CLEAR_HEADER_LEN..).unwrap_or_default().to_vec())
}

/// Opens every block of a pack and compares its chunks; gives their plaintexts back to back.
pub fn open_pack(
    repository: RepoId,
    keys: GivenKeys,
    bases: &[Vec<u8>],
    bytes: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let (header, header_length) = PackHeader::decode(bytes)?;
    let trailer = PackTrailer::decode(bytes)?;
    let range = trailer.directory_range(header_length, to_u64(bytes.len()))?;
    let sealed = bytes.get(to_usize(range.start)..to_usize(range.end)).unwrap_or_default();
    let directory = open_directory(repository, keys, &header, trailer, sealed)?;
    directory.check_fills(header_length, range.start)?;
    let ring = key_ring(repository, header.key.generation, keys);
    let namer = ring.namer(header.kind)?;
    let bases: Vec<_> = bases.iter().map(|base| (namer.name(base), base.as_slice())).collect();
    let mut plaintexts = Vec::new();
    let ranges = directory.block_ranges(header_length);
    for ((number, block), range) in (0..).zip(&directory.blocks).zip(ranges) {
        let stored = bytes.get(to_usize(range.start)..to_usize(range.end)).unwrap_or_default();
        let opened = open_block(repository, keys, &header, (number, block), stored)?;
        let plaintext = decode_block(block, &bases, opened)?;
        let mut rest = plaintext.as_slice();
        for chunk in &block.chunks {
            let split = rest.split_at_checked(to_usize32(chunk.length));
            let (piece, behind) = split.ok_or_else(|| broken(Rule::BlockChunks))?;
            if namer.name(piece) != chunk.id {
                return Err(Refusal::Auth);
            }
            rest = behind;
        }
        plaintexts.extend_from_slice(&plaintext);
    }
    Ok(plaintexts)
}

/// Opens a secret that was sealed for a public key: the encapsulated key, then what was sealed.
pub fn open_sealed_secret(
    seed: [u8; 32],
    info: &str,
    associated_data: &[u8],
    bytes: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let split = bytes.split_at_checked(pack::XWING_ENCAPSULATED_LEN);
    let (encapsulated, sealed) = split.ok_or(Refusal::Auth)?;
    let sealed = sealed.try_into().map_err(|_source| Refusal::Auth)?;
    seal::open_secret(&Secret::new(seed), info, associated_data, encapsulated, sealed)
        .map(|secret| secret.expose().to_vec())
        .map_err(|_source| Refusal::Auth)
}

/// `length` bytes derived from `material`.
///
/// # Panics
///
/// If the short derivation gives other bytes than the long one.
pub fn derived(context: &str, material: &[u8], length: usize) -> Vec<u8> {
    let mut output = vec![0; length];
    hash::derive_long(context, material, &mut output);
    let short = derive(context, &[material]);
    let agree = short.expose().iter().zip(&output).all(|(left, right)| left == right);
    assert!(agree, "both derivations begin alike");
    output
}

/// The names of a chunk: as a data chunk, then as a tree chunk.
pub fn chunk_ids(id_key: [u8; 32], plaintext: &[u8]) -> Result<Vec<u8>, Refusal> {
    let keys = GivenKeys { id: Some(id_key), ..GivenKeys::default() };
    let ring = key_ring(RepoId::new([0; 16]), 1, keys);
    let names = [PackKind::Data, PackKind::Tree].map(|kind| Ok(ring.namer(kind)?.name(plaintext)));
    let names: Result<Vec<_>, RepoError> = names.into_iter().collect();
    Ok(names?.iter().flat_map(|name| *name.as_bytes()).collect())
}

/// The key that seals objects of a kind under a master key.
pub fn envelope_key(master: [u8; 32], word: &str) -> Result<Vec<u8>, Refusal> {
    let keys = GivenKeys { index: Some(master), manifest: Some(master), ..GivenKeys::default() };
    let ring = key_ring(RepoId::new([0; 16]), 1, keys);
    let kind = ObjectKind::ALL.into_iter().find(|kind| kind.word() == word);
    let sealing = kind.and_then(ObjectKind::sealing_key).ok_or(Refusal::Auth)?;
    Ok(ring.envelope_key(ring.newest(), sealing, word)?.expose().to_vec())
}

/// The key that seals the directory of a pack.
pub fn directory_key(index: [u8; 32], pack_uid: PackUid) -> Result<Vec<u8>, Refusal> {
    let keys = GivenKeys { index: Some(index), ..GivenKeys::default() };
    let ring = key_ring(RepoId::new([0; 16]), 1, keys);
    Ok(ring.directory_key(ring.newest(), pack_uid)?.expose().to_vec())
}

/// The key of a pack from its wrapped form.
pub fn pack_key(
    repository: RepoId,
    kind: PackKind,
    pack_uid: PackUid,
    keys: GivenKeys,
    wrapped: &pack::WrappedKey,
) -> Result<Vec<u8>, Refusal> {
    let ring = key_ring(repository, wrapped.generation, keys);
    Ok(packkey::unwrap(&ring, kind, pack_uid, wrapped, &"a pack")?.expose().to_vec())
}

/// The name of a public key.
pub fn key_id(public: &[u8; 32]) -> Vec<u8> {
    sign::key_id(public).as_bytes().to_vec()
}

/// The public X-Wing key of a seed.
pub fn sealing_public_key(seed: [u8; 32]) -> Result<Vec<u8>, Refusal> {
    seal::public_key(&Secret::new(seed)).map_err(|_source| Refusal::Auth)
}

/// The signature of a message, and whether it counts for it.
pub fn signature(seed: [u8; 32], namespace: &str, message: &[u8]) -> ([u8; 64], bool) {
    let signer = Signer::new(&Secret::new(seed));
    let signature = signer.sign(namespace, message);
    let counts = sign::verify(&signer.public(), namespace, message, &signature).is_ok();
    (signature, counts)
}

/// A block sealed without compression.
pub fn sealed_block(
    key: [u8; 32],
    repository: RepoId,
    kind_number: u8,
    (pack_uid, number): (PackUid, u32),
    plaintext: &[u8],
) -> Vec<u8> {
    let place = block::associated_data(repository, kind_number, pack_uid, number);
    let mut sealed = plaintext.to_vec();
    aead::seal(&Secret::new(key), &block::nonce(number), &place, &mut sealed);
    sealed
}

/// The root of the Merkle tree over packs and their lengths.
pub fn packs_root(packs: &[(PackId, u64)]) -> Vec<u8> {
    merkle_root(packs).as_bytes().to_vec()
}

/// The lengths of the chunks of a content under a profile.
pub fn chunk_lengths(profile: &ChunkerProfile, gear_key: &[u8; 32], content: &[u8]) -> Vec<u32> {
    let params = ChunkParams {
        min_bytes: profile.min_bytes,
        average_bytes: profile.average_bytes,
        max_bytes: profile.max_bytes,
        mask_small: profile.mask_small,
        mask_large: profile.mask_large,
    };
    fuzz_decode::chunk_lengths(params, gear_key, content)
}

/// The mask of `ones` bits, as a profile made by `init` has it.
pub fn spread_mask(ones: u32) -> u64 {
    params_for_average(1 << (ones - 1)).mask_small
}

fn open_slot(slot: &Slot, credential: &Credential) -> Result<Vec<u8>, Refusal> {
    match slots::unlock(slot, credential)? {
        Unlocked::Keys(keys) => Ok(keys.encode()),
        Unlocked::OtherSecret => Err(Refusal::Auth),
    }
}

fn open_directory(
    repository: RepoId,
    keys: GivenKeys,
    header: &PackHeader,
    trailer: PackTrailer,
    sealed: &[u8],
) -> Result<PackDirectory, Refusal> {
    let ring = key_ring(repository, header.directory_generation, keys);
    let key = ring.directory_key(ring.newest(), header.pack_uid)?;
    let place = pack::directory_associated_data(repository, &header.encode());
    let mut plaintext = sealed.to_vec();
    aead::open(&key, &[0; 12], &place, &mut plaintext).map_err(|_source| Refusal::Auth)?;
    let raw_length = trailer.directory_raw_length;
    if plaintext.len() < to_usize32(raw_length) {
        plaintext = decompress(&[], &plaintext, raw_length, Rule::PackDirectoryRange)?;
    }
    if plaintext.len() != to_usize32(raw_length) {
        return Err(broken(Rule::PackDirectoryRange));
    }
    Ok(PackDirectory::decode(&plaintext)?)
}

fn open_block(
    repository: RepoId,
    keys: GivenKeys,
    header: &PackHeader,
    (number, block): (u32, &BlockEntry),
    stored: &[u8],
) -> Result<Vec<u8>, Refusal> {
    let (wrapped, pack_uid, number) = match &block.origin {
        Some(origin) => (&origin.key, origin.pack_uid, origin.number),
        None => (&header.key, header.pack_uid, number),
    };
    let ring = key_ring(repository, wrapped.generation, keys);
    let key = packkey::unwrap(&ring, header.kind, pack_uid, wrapped, &"a pack")?;
    let place = block::associated_data(repository, header.kind.number(), pack_uid, number);
    let mut opened = stored.to_vec();
    aead::open(&key, &block::nonce(number), &place, &mut opened)
        .map_err(|_source| Refusal::Auth)?;
    Ok(opened)
}

fn decode_block(
    block: &BlockEntry,
    bases: &[(ChunkId, &[u8])],
    opened: Vec<u8>,
) -> Result<Vec<u8>, Refusal> {
    let mut prefix = Vec::new();
    match &block.codec {
        BlockCodec::Raw => return Ok(opened),
        BlockCodec::Zstd => {}
        BlockCodec::Delta { bases: named } => {
            for name in named {
                let base = bases.iter().find(|(id, _bytes)| id == name);
                let (_id, base) = base.ok_or_else(|| broken(Rule::BlockBases))?;
                prefix.extend_from_slice(base);
            }
        }
    }
    if to_u64(prefix.len()) > BASE_BYTES_MAX {
        return Err(broken(Rule::BlockBases));
    }
    decompress(&prefix, &opened, block.raw_length, Rule::BlockLengths)
}

fn decompress(prefix: &[u8], frame: &[u8], length: u32, rule: Rule) -> Result<Vec<u8>, Refusal> {
    let length = to_usize32(length);
    let mut output = Vec::new();
    let mut decompressor = Decompressor::new();
    let done = if prefix.is_empty() {
        decompressor.decompress(frame, length, &mut output)
    } else {
        decompressor.decompress_after(prefix, frame, length, &mut output)
    };
    done.map_err(|_source| broken(rule))?;
    Ok(output)
}

fn key_ring(repository: RepoId, generation: u32, keys: GivenKeys) -> KeyRing {
    let GivenKeys { index, manifest, wrap, seal_seed, id } = keys;
    let generation = GenerationKeys {
        generation,
        index,
        manifest,
        tree: wrap,
        data: wrap,
        tree_seal_public: Vec::new(),
        data_seal_public: Vec::new(),
        tree_seal_secret: seal_seed,
        data_seal_secret: seal_seed,
    };
    let keys = SlotKeys {
        authority_public: [0; 32],
        authority: None,
        maintenance: None,
        client: [0; 16],
        client_key: [0; 32],
        id_key: id,
        gear_key: None,
        generations: vec![generation],
    };
    KeyRing::new(repository, SlotId::new([0; 16]), Role::Reader, keys)
}

fn broken(rule: Rule) -> Refusal {
    Refusal::Format(FormatError::new("object", rule, 0))
}
