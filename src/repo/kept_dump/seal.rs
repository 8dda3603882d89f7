//! The key of this host, and what is sealed with it: chunks, each for its name, and lists, each for the dump it
//! is of.

use crate::compress::Compressor;
use crate::compress::Decompressor;
use crate::crypto::aead;
use crate::crypto::hash::ChunkNamer;
use crate::crypto::hash::derive;
use crate::crypto::secret::Secret;
use crate::format::content::CHUNK_BYTES_MAX;
use crate::id::ChunkId;
use crate::id::RepoId;
use crate::repo::environment::Environment;
use crate::repo::environment::random;
use crate::repo::error::RepoError;
use crate::repo::kept_dump::fields::Fields;
use crate::repo::repository::Repository;
use crate::repo::state::StateDirectory;
use crate::repo::state::replace_durably;
use crate::units::to_u32;
use crate::units::to_usize32;
use std::cell::RefCell;
use std::sync::Arc;

/// Seals and opens what this host keeps of a repository's dumps.
#[derive(Debug)]
pub(crate) struct DumpSeal {
    key: Secret,
    repository: RepoId,
    environment: Arc<dyn Environment>,
}

impl DumpSeal {
    /// With the key in the state directory, which is made if there is none.
    pub(crate) fn of(repository: &Repository, state: &StateDirectory) -> Result<Self, RepoError> {
        let environment = Arc::clone(&repository.environment);
        let host_key = host_key(state, environment.as_ref())?;
        Ok(Self::new(&host_key, repository.id(), environment))
    }

    /// With the key of a host.
    pub(crate) fn new(
        host_key: &Secret,
        repository: RepoId,
        environment: Arc<dyn Environment>,
    ) -> Self {
        let material = [host_key.expose().as_slice(), repository.as_bytes()];
        Self { key: derive("sbf-repo 1 kept dumps", &material), repository, environment }
    }

    /// A name that nothing else has.
    pub(crate) fn random<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        random(self.environment.as_ref())
    }

    /// Seals bytes for a place; a nonce stands behind them.
    pub(crate) fn seal(&self, what: &str, place: &[&[u8]], mut bytes: Vec<u8>) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = self.random();
        aead::seal_random(&self.key, &nonce, &self.associated_data(what, place), &mut bytes);
        bytes.extend_from_slice(&nonce);
        bytes
    }

    /// Opens what was sealed for a place, in place; `None` if it was not.
    pub(crate) fn open(&self, what: &str, place: &[&[u8]], bytes: &mut Vec<u8>) -> Option<()> {
        let nonce: [u8; NONCE_LEN] = *bytes.last_chunk()?;
        bytes.truncate(bytes.len() - NONCE_LEN);
        let associated_data = self.associated_data(what, place);
        aead::open_random(&self.key, &nonce, &associated_data, bytes).ok()
    }

    /// Compresses a chunk and seals it for its name.
    pub(crate) fn seal_chunk(&self, id: &ChunkId, plaintext: &[u8]) -> Vec<u8> {
        let record = SCRATCH.with_borrow_mut(|Scratch { compressor, frame, .. }| {
            let is_shorter = compressor.compress(plaintext, frame);
            let body = if is_shorter { frame.as_slice() } else { plaintext };
            let length = to_u32(plaintext.len()).to_le_bytes();
            let mut record = Vec::with_capacity(1 + length.len() + body.len() + ROOM_BYTES);
            record.push(u8::from(is_shorter));
            record.extend_from_slice(&length);
            record.extend_from_slice(body);
            record
        });
        self.seal(CHUNK, &[id.as_bytes()], record)
    }

    /// Opens a sealed chunk behind `output`; `None` unless it is the one of this name.
    pub(crate) fn open_chunk(
        &self,
        names: &ChunkNamer,
        id: &ChunkId,
        sealed: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Option<()> {
        self.open(CHUNK, &[id.as_bytes()], sealed)?;
        let mut fields = Fields(sealed);
        let [is_compressed] = fields.take()?;
        let length = u32::from_le_bytes(fields.take()?);
        if length > CHUNK_BYTES_MAX {
            return None;
        }
        SCRATCH.with_borrow_mut(|Scratch { decompressor, frame, .. }| {
            let plaintext = if is_compressed == 1 {
                decompressor.decompress(fields.0, to_usize32(length), frame).ok()?;
                frame.as_slice()
            } else {
                fields.0
            };
            // Whatever was kept: a delta after other bytes could never be read.
            if names.name(plaintext) != *id {
                return None;
            }
            output.extend_from_slice(plaintext);
            Some(())
        })
    }

    fn associated_data(&self, what: &str, place: &[&[u8]]) -> Vec<u8> {
        let whose = [what.as_bytes(), self.repository.as_bytes().as_slice()].concat();
        [whose, place.concat()].concat()
    }
}

/// Removes the key: what was sealed with it cannot be opened any more.
pub(crate) fn remove_key(state: &StateDirectory) -> Result<(), RepoError> {
    let path = state.file(KEY);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            let path = path.display().to_string();
            Err(RepoError::Local { call: "remove", path, source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn host_key(state: &StateDirectory, environment: &dyn Environment) -> Result<Secret, RepoError> {
    // Two runs that begin at once would make one each.
    let _lock = state.lock(KEY)?;
    let path = state.file(KEY);
    match std::fs::read(&path) {
        Ok(bytes) => {
            if let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) {
                return Ok(Secret::new(key));
            }
            // Torn: nothing opens with it, so another one loses nothing.
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => {
            let path = path.display().to_string();
            return Err(RepoError::Local { call: "read", path, source });
        }
    }
    let key = Secret::new(random(environment));
    replace_durably(&path, key.expose())?;
    Ok(key)
}

struct Scratch {
    compressor: Compressor,
    decompressor: Decompressor,
    frame: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        compressor: Compressor::new(LEVEL),
        decompressor: Decompressor::new(),
        frame: Vec::new(),
    });
}

/// The file of the key, in the state directory.
const KEY: &str = "dump-key";
const CHUNK: &str = "sbf-repo 1 kept chunk";
const NONCE_LEN: usize = 24;
/// A tag and a nonce.
const ROOM_BYTES: usize = 16 + NONCE_LEN;
/// It is read once at most, and soon replaced.
const LEVEL: i32 = 1;
