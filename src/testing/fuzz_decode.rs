//! Every decoder as a function of bytes alone: the vectors, the tests and the fuzz targets share it.
//! Invariant: no bytes make a decoder panic, and what decodes encodes to the same bytes.

use crate::chunk::ChunkParams;
use crate::chunk::Chunker;
use crate::chunk::GEAR_TABLE_BYTES;
use crate::crypto::hash::blake3;
use crate::crypto::hash::derive_long;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::attest;
use crate::format::attest::Attested;
use crate::format::attest::deletion::Deletion;
use crate::format::attest::drill::Drill;
use crate::format::attest::drill::SignOff;
use crate::format::attest::erasure::Erasure;
use crate::format::attest::erasure::Replay;
use crate::format::attest::incident::Incident;
use crate::format::attest::state::State;
use crate::format::audit::AuditRecord;
use crate::format::config::Amendment;
use crate::format::config::Config;
use crate::format::content::ListNode;
use crate::format::coverage::CheckRecord;
use crate::format::envelope;
use crate::format::envelope::Envelope;
use crate::format::envelope::ObjectKind;
use crate::format::envelope::SignedBody;
use crate::format::gc::Base;
use crate::format::gc::Plan;
use crate::format::gc::Register;
use crate::format::gc::Verdict;
use crate::format::identity::Identity;
use crate::format::index::Segment;
use crate::format::inventory::Inventory;
use crate::format::keyslot::Slot;
use crate::format::keyslot::SlotKeys;
use crate::format::label::Note;
use crate::format::label::Rewrite;
use crate::format::label::Tag;
use crate::format::layout;
use crate::format::layout::PackRef;
use crate::format::layout::SegmentRef;
use crate::format::layout::SessionRef;
use crate::format::manifest::Manifest;
use crate::format::mark::check_members;
use crate::format::mirror::MirrorNote;
use crate::format::outcome::Outcome;
use crate::format::pack::PackDirectory;
use crate::format::pack::PackHeader;
use crate::format::pack::PackTrailer;
use crate::format::parity::ParityHeader;
use crate::format::record::PREDICATE_PREFIX;
use crate::format::record::Record;
use crate::format::session::Announcement;
use crate::format::session::Heartbeat;
use crate::format::tree::TreeNode;
use crate::id::RepoId;
use crate::key::ObjectKey;
use crate::pgdump::DumpParser;
use crate::repo::index::bytes::RunBytes;
use crate::repo::index::run::Run;
use crate::repo::key_file::KeyFile;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize32;

/// What bytes are taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the record of that name")]
pub enum Input {
    Config,
    Amendment,
    Slot,
    SlotKeys,
    Identity,
    Announcement,
    Heartbeat,
    Outcome,
    Manifest,
    Record,
    Inventory,
    Register,
    Plan,
    Verdict,
    Base,
    MirrorNote,
    PackHeader,
    PackDirectory,
    PackTrailer,
    Parity,
    Segment,
    TreeNode,
    ListNode,
    Envelope,
    Clear,
    SignedBody,
    ObjectKey,
    KeyFile,
    IndexRun,
}

impl Input {
    /// Every input with the word that names it in vectors and fuzz corpora.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Config, "config"),
        (Self::Amendment, "amendment"),
        (Self::Slot, "slot"),
        (Self::SlotKeys, "slot-keys"),
        (Self::Identity, "identity"),
        (Self::Announcement, "announcement"),
        (Self::Heartbeat, "heartbeat"),
        (Self::Outcome, "outcome"),
        (Self::Manifest, "manifest"),
        (Self::Record, "record"),
        (Self::Inventory, "inventory"),
        (Self::Register, "register"),
        (Self::Plan, "plan"),
        (Self::Verdict, "verdict"),
        (Self::Base, "base"),
        (Self::MirrorNote, "mirror-note"),
        (Self::PackHeader, "pack-header"),
        (Self::PackDirectory, "pack-directory"),
        (Self::PackTrailer, "pack-trailer"),
        (Self::Parity, "parity"),
        (Self::Segment, "segment"),
        (Self::TreeNode, "tree-node"),
        (Self::ListNode, "list-node"),
        (Self::Envelope, "envelope"),
        (Self::Clear, "clear"),
        (Self::SignedBody, "signed-body"),
        (Self::ObjectKey, "object-key"),
        (Self::KeyFile, "key-file"),
        (Self::IndexRun, "index-run"),
    ];

    /// The input that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(input, _)| *input)
    }
}

/// Checks what must hold for any bytes: no panic, and a decoded record encodes to the same bytes.
///
/// Where a checksum would keep changed bytes from being decoded at all, they are also tried with
/// the right one.
///
/// # Panics
///
/// If a promise is broken.
pub fn fuzz_decode(input: Input, bytes: &[u8]) {
    check_identity(input, bytes);
    if let Some(mended) = with_checksum(input, bytes) {
        check_identity(input, &mended);
    }
}

/// Decodes bytes and encodes what was decoded.
pub fn decode(input: Input, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    match input {
        Input::Config => Config::decode(bytes).map(|record| record.encode()),
        Input::Amendment => Amendment::decode(bytes).map(|record| record.encode()),
        Input::Slot => Slot::decode(bytes, blake3).map(|slot| slot.encode(blake3)),
        Input::SlotKeys => SlotKeys::decode(bytes).map(|record| record.encode()),
        Input::Identity => Identity::decode(bytes).map(|record| record.encode()),
        Input::Announcement => Announcement::decode(bytes).map(|record| record.encode()),
        Input::Heartbeat => Heartbeat::decode(bytes).map(|record| record.encode()),
        Input::Outcome => Outcome::decode(bytes).map(|record| record.encode()),
        Input::Manifest => Manifest::decode(bytes).map(|record| record.encode()),
        Input::Record => Record::decode(bytes).map(|record| {
            take_apart(&record);
            record.encode()
        }),
        Input::Inventory => Inventory::decode(bytes).map(|record| record.encode()),
        Input::Register => Register::decode(bytes).map(|record| record.encode()),
        Input::Plan => Plan::decode(bytes).map(|record| record.encode()),
        Input::Verdict => Verdict::decode(bytes).map(|record| record.encode()),
        Input::Base => Base::decode(bytes).map(|record| record.encode()),
        Input::MirrorNote => MirrorNote::decode(bytes).map(|record| record.encode()),
        Input::PackHeader => decode_pack_header(bytes),
        Input::PackDirectory => PackDirectory::decode(bytes).map(|record| record.encode()),
        Input::PackTrailer => decode_pack_trailer(bytes),
        Input::Parity => {
            ParityHeader::decode(bytes).map(|(header, shards)| header.encode_with(shards))
        }
        Input::Segment => Segment::decode(bytes).map(|record| record.encode()),
        Input::TreeNode => TreeNode::decode(bytes).map(|record| record.encode()),
        Input::ListNode => ListNode::decode(bytes).map(|record| record.encode()),
        Input::Envelope => decode_envelope(kind_of(bytes), bytes),
        Input::Clear => decode_clear(kind_of(bytes), bytes),
        Input::SignedBody => SignedBody::decode(bytes).map(|signed| signed.encode()),
        Input::ObjectKey => decode_object_key(bytes),
        Input::KeyFile => decode_key_file(bytes),
        Input::IndexRun => Ok(decode_run(bytes)),
    }
}

/// Decodes a sealed object's header for one kind; the rest of the object goes through unchanged.
///
/// # Panics
///
/// If the header encodes to other bytes.
pub fn decode_envelope(kind: ObjectKind, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let Envelope { header, header_bytes, sealed } = Envelope::decode(kind, bytes)?;
    let again = header.encode();
    assert_eq!(again, header_bytes, "the header's bytes are part of what is authenticated");
    Ok([again.as_slice(), sealed].concat())
}

/// Decodes a clear object of one kind.
pub fn decode_clear(kind: ObjectKind, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    envelope::decode_clear(kind, bytes).map(|signed| envelope::encode_clear(kind, &signed))
}

/// The kind that a header's number stands for; any other number is tried as a manifest.
pub fn kind_of(bytes: &[u8]) -> ObjectKind {
    let number = bytes.get(5).copied();
    let found = ObjectKind::ALL.into_iter().find(|kind| Some(kind.number()) == number);
    found.unwrap_or(ObjectKind::Manifest)
}

/// Cuts bytes with a profile drawn from their first ones, and checks each length against the rule
/// of format-spec/14-chunking.md, written here a second time.
///
/// # Panics
///
/// If a cut is elsewhere.
pub fn fuzz_chunk_cuts(bytes: &[u8]) {
    let Some(([profile, key], content)) = bytes.split_first_chunk::<2>() else { return };
    let params = ChunkParams {
        min_bytes: 16 + 2 * u32::from(profile & 7),
        average_bytes: 64 + 2 * u32::from(profile >> 3 & 7),
        max_bytes: 128 + 2 * u32::from(profile >> 6),
        // Few bits: chunks of a few dozen bytes, so that short inputs have many cuts.
        mask_small: 0x0101_0100_0000_0000,
        mask_large: 0x0001_0100_0000_0000,
    };
    let table = gear_table(&[*key; 32]);
    let chunker = Chunker::new(params, &table);
    let mut rest = content;
    while !rest.is_empty() {
        let length = chunker.next_length(rest);
        assert_eq!(length, cut_by_the_page(&params, &table, rest), "cut of {params:?}");
        assert!(length > 0 && length <= rest.len(), "a chunk of {length} bytes");
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// Reads bytes as a dump of a database, whole and in pieces, whose length the first byte gives.
///
/// # Panics
///
/// If it matters how the bytes arrive.
pub fn fuzz_dump(bytes: &[u8]) {
    let Some((step, content)) = bytes.split_first() else { return };
    let parse = |step: usize| {
        let mut parser = DumpParser::new(100);
        content.chunks(step).for_each(|part| parser.update(part));
        parser.finish()
    };
    let whole = parse(content.len().max(1));
    assert_eq!(parse(usize::from(*step).max(1)), whole, "pieces of {step} bytes");
    assert!(whole.is_none_or(|dump| dump.tables.len() <= 100), "more tables than are to be kept");
}

/// The chunker's table for a gear key.
pub fn gear_table(gear_key: &[u8; 32]) -> Box<[u8; GEAR_TABLE_BYTES]> {
    let mut table = Box::new([0; GEAR_TABLE_BYTES]);
    derive_long("sbf-repo 1 gear table", gear_key, table.as_mut_slice());
    table
}

/// The lengths of the chunks of a content.
pub fn chunk_lengths(params: ChunkParams, gear_key: &[u8; 32], content: &[u8]) -> Vec<u32> {
    let chunker = Chunker::new(params, &gear_table(gear_key));
    let mut lengths = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let length = chunker.next_length(rest).max(1);
        lengths.push(to_u32(length));
        rest = rest.get(length..).unwrap_or_default();
    }
    lengths
}

fn check_identity(input: Input, bytes: &[u8]) {
    if let Ok(again) = decode(input, bytes) {
        assert!(again == bytes, "{input:?} decoded and encoded to other bytes");
    }
}

fn with_checksum(input: Input, bytes: &[u8]) -> Option<Vec<u8>> {
    if input == Input::Slot {
        let content = bytes.get(..bytes.len().checked_sub(32)?)?;
        return Some([content, blake3(content).as_slice()].concat());
    }
    if input == Input::IndexRun {
        let (head, rest) = bytes.split_at_checked(24)?;
        let checked = rest.get(32..)?;
        return Some([head, blake3(checked).as_slice(), checked].concat());
    }
    None
}

fn decode_pack_header(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let (header, length) = PackHeader::decode(bytes)?;
    Ok([header.encode().as_slice(), bytes.get(length..).unwrap_or_default()].concat())
}

fn decode_pack_trailer(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let trailer = PackTrailer::decode(bytes)?.encode();
    let before = bytes.len().saturating_sub(trailer.len());
    Ok([bytes.get(..before).unwrap_or_default(), &trailer].concat())
}

/// Keys one a line, each in the form that its folder asks for.
fn decode_object_key(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let wrong = |line: usize| FormatError::new("object key", Rule::ObjectKey, to_u64(line));
    let text = std::str::from_utf8(bytes).map_err(|_source| wrong(0))?;
    let mut again = Vec::new();
    for (line, key) in text.split('\n').enumerate() {
        let key = ObjectKey::new(key).map_err(|_source| wrong(line))?;
        again.push(parsed_key(&key)?.to_string());
    }
    Ok(again.join("\n").into_bytes())
}

/// The key made again from what it was parsed into; keys that nobody parses go through.
fn parsed_key(key: &ObjectKey) -> Result<ObjectKey, FormatError> {
    match key.segments().next().unwrap_or_default() {
        layout::SESSIONS => SessionRef::parse_announcement(key).map(|it| it.announcement_key()),
        layout::OUTCOMES => SessionRef::parse_outcome(key).map(|it| it.outcome_key()),
        layout::PACKS => PackRef::parse(key).map(|it| it.key()),
        layout::INDEX => SegmentRef::parse(key).map(|it| it.key()),
        layout::KEYS => layout::parse_slot_key(key).map(layout::slot_key),
        layout::GC => {
            layout::parse_gc_key(key).map(|(number, object)| layout::gc_key(number, object))
        }
        _ => Ok(key.clone()),
    }
}

/// Whatever a record says, taking it apart is no panic, and what an audit record says is written as it is read.
fn take_apart(record: &Record) {
    let kind = record.predicate_type.strip_prefix(PREDICATE_PREFIX);
    let kind = kind.and_then(|rest| rest.strip_suffix("/v1")).unwrap_or_default();
    if check_members(kind, record).is_ok() && kind == AuditRecord::KIND {
        let read = AuditRecord::read(record);
        let mut again = record.clone();
        if let Ok(read) = &read {
            read.write(&mut again);
        }
        assert_eq!(AuditRecord::read(&again), read, "an audit record reads back");
    }
    take_attested::<attest::plan::Plan>(record);
    take_attested::<State>(record);
    take_attested::<Drill>(record);
    take_attested::<SignOff>(record);
    take_attested::<Incident>(record);
    take_attested::<Erasure>(record);
    take_attested::<Replay>(record);
    take_attested::<Deletion>(record);
    if let Ok(read) = Tag::read(record) {
        let mut again = record.clone();
        read.write(&mut again);
        assert_eq!(Tag::read(&again), Ok(read), "a record of tags reads back");
    }
    if let Ok(read) = Note::read(record) {
        let mut again = record.clone();
        read.write(&mut again);
        assert_eq!(Note::read(&again), Ok(read), "a note reads back");
    }
    if let Ok(read) = Rewrite::read(record) {
        let mut again = record.clone();
        read.write(&mut again);
        assert_eq!(Rewrite::read(&again), Ok(read), "a record of a rewrite reads back");
    }
    if let Ok(read) = CheckRecord::read(record) {
        let mut again = record.clone();
        read.write(&mut again);
        assert_eq!(again, *record, "the record of a check is written as it is read");
    }
}

/// Whatever of page 19 a record says, it is written as it is read.
fn take_attested<T: Attested + PartialEq + std::fmt::Debug>(record: &Record) {
    if let Ok(read) = attest::read::<T>(record) {
        let mut again = record.clone();
        attest::write(&read, &mut again);
        assert_eq!(attest::read(&again), Ok(read), "a record of the kind {} reads back", T::KIND);
    }
}

/// A key file may have comments, so only what a file without them says is made again.
fn decode_key_file(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let wrong = || FormatError::new("key file", Rule::SlotHeader, 0);
    let text = std::str::from_utf8(bytes).map_err(|_source| wrong())?;
    let file = KeyFile::parse(text).map_err(|_source| wrong())?;
    let again = KeyFile::parse(&file.to_text()).map_err(|_source| wrong())?;
    assert_eq!(*again.to_text(), *file.to_text(), "a key file reads back");
    Ok(bytes.to_vec())
}

/// Reads everything that a run of the local cache says; a damaged run is no error, but no run.
fn decode_run(bytes: &[u8]) -> Vec<u8> {
    let repository = bytes.get(8..24).and_then(|id| id.try_into().ok()).unwrap_or_default();
    if let Some(run) = Run::open(RepoId::new(repository), RunBytes::Memory(bytes.to_vec())) {
        for index in 0..run.chunk_count() {
            let Some((id, place)) = run.chunk_at(index) else { continue };
            let _found = run.find(&id);
            let _block = run.block(place.block);
        }
    }
    bytes.to_vec()
}

/// The cut rule as the page writes it.
fn cut_by_the_page(params: &ChunkParams, table: &[u8; GEAR_TABLE_BYTES], bytes: &[u8]) -> usize {
    let ChunkParams { min_bytes, average_bytes, max_bytes, mask_small, mask_large } = *params;
    let minimum = to_usize32(min_bytes);
    if bytes.len() <= minimum {
        return bytes.len();
    }
    let end = bytes.len().min(to_usize32(max_bytes));
    let center = bytes.len().min(to_usize32(average_bytes));
    let (gears, _rest) = table.as_chunks::<8>();
    let mut hash = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(2 * (end / 2)).skip(minimum) {
        let gear = gears.get(usize::from(*byte)).copied().unwrap_or_default();
        hash = hash.wrapping_mul(2).wrapping_add(u64::from_le_bytes(gear));
        let mask = if at < 2 * (center / 2) { mask_small } else { mask_large };
        if hash & mask == 0 {
            return at;
        }
    }
    end
}
