//! The one place that names `bincode`: the encoding of every record that is not fixed-width.
//! Spec: format-spec/README.md, "Records".

use crate::format::FormatError;
use crate::format::Rule;
use crate::id;
use crate::units::to_u64;
use bincode::config::Configuration;
use bincode::config::Limit;
use bincode::config::LittleEndian;
use bincode::config::Varint;

pub(crate) use bincode::Decode;
pub(crate) use bincode::Encode;

/// Encodes a record.
pub(crate) fn encode<T: Encode>(record: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(record, &mut bytes);
    bytes
}

/// Appends the encoding of a record to `bytes`.
#[expect(clippy::expect_used, reason = "a vector takes every byte, and the types have no maps")]
pub(crate) fn encode_into<T: Encode>(record: &T, bytes: &mut Vec<u8>) {
    bincode::encode_into_std_write(record, bytes, bincode::config::standard())
        .expect("writing to a vector cannot fail");
}

/// Decodes a record that fills `bytes` to the last one, allocating at most `LIMIT` bytes.
///
/// Errors: rule [`Rule::RecordEncoding`] for anything that [`encode`] would not have written,
/// longer forms of integers included.
pub(crate) fn decode<T: Encode + Decode<()>, const LIMIT: usize>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, FormatError> {
    let wrong = |at: usize| FormatError::new(what, Rule::RecordEncoding, to_u64(at));
    let configuration: Configuration<LittleEndian, Varint, Limit<LIMIT>> =
        bincode::config::standard().with_limit::<LIMIT>();
    let (record, used) =
        bincode::decode_from_slice(bytes, configuration).map_err(|_source| wrong(0))?;
    if used != bytes.len() {
        return Err(wrong(used));
    }
    // Integers have longer forms that decode to the same value; a signed byte has one form only.
    let again = encode(&record);
    match again.iter().zip(bytes).position(|(left, right)| left != right) {
        Some(at) => Err(wrong(at)),
        None if again.len() != bytes.len() => Err(wrong(again.len().min(bytes.len()))),
        None => Ok(record),
    }
}

macro_rules! encode_as_raw_bytes {
    ($($name:ident),*) => { $(
        impl Encode for id::$name {
            fn encode<E: bincode::enc::Encoder>(
                &self,
                encoder: &mut E,
            ) -> Result<(), bincode::error::EncodeError> {
                Encode::encode(self.as_bytes(), encoder)
            }
        }

        impl<Context> Decode<Context> for id::$name {
            fn decode<D: bincode::de::Decoder<Context = Context>>(
                decoder: &mut D,
            ) -> Result<Self, bincode::error::DecodeError> {
                Ok(Self::new(Decode::decode(decoder)?))
            }
        }

        bincode::impl_borrow_decode!(id::$name);
    )* };
}

encode_as_raw_bytes!(
    RepoId, ChunkId, PackId, PackUid, SegmentId, ClientId, SessionId, SnapshotId, SlotId, KeyId,
    RecordId, Sha256, Digest, HistoryId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        assert_eq!(decode::<u64, 64>("number", &[5]).unwrap(), 5);
        assert!(decode::<u64, 64>("number", &[251, 5, 0]).is_err());
        assert!(decode::<u64, 64>("number", &[5, 0]).is_err());
    }

    #[test]
    fn a_hostile_length_does_not_allocate() {
        let mut bytes = vec![253];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Vec<u64>, 1024>("list", &bytes).is_err());
    }
}
