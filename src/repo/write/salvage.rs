//! What a pack alone says of itself: the index entry of a pack that no segment lists.

use crate::compress::Decompressor;
use crate::crypto::aead;
use crate::crypto::hash::blake3;
use crate::crypto::hash::sha256;
use crate::format::FormatError;
use crate::format::Rule;
use crate::format::index::IndexedPack;
use crate::format::layout::PackRef;
use crate::format::layout::SessionRef;
use crate::format::pack;
use crate::format::pack::PACK_BYTES_MAX;
use crate::format::pack::PACK_TRAILER_LEN;
use crate::format::pack::PackDirectory;
use crate::format::pack::PackHeader;
use crate::format::pack::PackTrailer;
use crate::repo::error::RepoError;
use crate::repo::repository::Repository;
use crate::units::to_u32;
use crate::units::to_u64;
use crate::units::to_usize;
use crate::units::to_usize32;

/// Reads a whole pack, checks its hash and opens its directory.
pub(crate) fn read_pack_index(
    repository: &Repository,
    reference: PackRef,
) -> Result<IndexedPack, RepoError> {
    let key = reference.key();
    let bytes = repository.store.read(&key, PACK_BYTES_MAX)?;
    if blake3(&bytes) != *reference.id.as_bytes() {
        return Err(RepoError::WrongHash { key: key.to_string() });
    }
    index_of(repository, reference, &bytes)
}

/// The index entry of a pack whose bytes were read and hashed.
pub(crate) fn index_of(
    repository: &Repository,
    reference: PackRef,
    bytes: &[u8],
) -> Result<IndexedPack, RepoError> {
    let key = reference.key();
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let (header, header_length) = PackHeader::decode(bytes).map_err(decode)?;
    let trailer = PackTrailer::decode(bytes).map_err(decode)?;
    let length = to_u64(bytes.len());
    let range = trailer.directory_range(header_length, length).map_err(decode)?;
    let directory = open_directory(repository, &key, bytes, &header, trailer)?;
    directory.check_fills(header_length, range.start).map_err(decode)?;
    let SessionRef { client, epoch, session } = reference.session;
    Ok(IndexedPack {
        client,
        epoch,
        session,
        sequence: reference.sequence,
        id: reference.id,
        sha256: sha256(bytes),
        length,
        header,
        header_length: to_u32(header_length),
        blocks: directory.blocks,
    })
}

fn open_directory(
    repository: &Repository,
    key: &crate::key::ObjectKey,
    bytes: &[u8],
    header: &PackHeader,
    trailer: PackTrailer,
) -> Result<PackDirectory, RepoError> {
    let decode = |source| RepoError::Decode { key: key.to_string(), source };
    let keys = &repository.keys;
    let generation = keys.generation(header.directory_generation, key)?;
    let directory_key = keys.directory_key(&generation, header.pack_uid)?;
    let header_bytes = header.encode();
    let end = bytes.len().saturating_sub(PACK_TRAILER_LEN);
    let start = end.saturating_sub(to_usize32(trailer.directory_length));
    let mut plain = bytes.get(start..end).unwrap_or_default().to_vec();
    let associated_data = pack::directory_associated_data(repository.id(), &header_bytes);
    aead::open(&directory_key, &[0; 12], &associated_data, &mut plain)
        .map_err(|source| RepoError::Open { key: key.to_string(), source })?;
    let raw_length = to_usize(u64::from(trailer.directory_raw_length));
    if plain.len() < raw_length {
        let mut raw = Vec::new();
        Decompressor::new()
            .decompress(&plain, raw_length, &mut raw)
            .map_err(|source| RepoError::Decompress { key: key.to_string(), source })?;
        plain = raw;
    }
    if plain.len() != raw_length {
        let at = to_u64(start);
        return Err(decode(FormatError::new("pack", Rule::PackDirectoryRange, at)));
    }
    PackDirectory::decode(&plain).map_err(decode)
}
