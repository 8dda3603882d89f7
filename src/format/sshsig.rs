//! Signatures and public keys in the text forms of OpenSSH, for `ssh-keygen -Y verify`.
//! Spec: format-spec/02-envelope.md, "Signed body". Source: PROTOCOL.sshsig of OpenSSH.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// A detached Ed25519 signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshSignature {
    /// Who signed.
    pub public_key: [u8; 32],
    /// For what purpose.
    pub namespace: String,
    /// R, then S.
    pub signature: [u8; 64],
}

impl SshSignature {
    /// The armoured form.
    pub fn encode(&self) -> String {
        let Self { public_key, namespace, signature } = self;
        let mut blob = MAGIC.to_vec();
        blob.extend_from_slice(&VERSION);
        push(&mut blob, &key_blob(public_key));
        push(&mut blob, namespace.as_bytes());
        push(&mut blob, b"");
        push(&mut blob, HASH);
        let mut inner = Vec::new();
        push(&mut inner, ALGORITHM);
        push(&mut inner, signature);
        push(&mut blob, &inner);
        let text = BASE64.encode(blob);
        let mut armoured = String::from(BEGIN);
        for (position, character) in text.chars().enumerate() {
            if position % LINE_LENGTH == 0 {
                armoured.push('\n');
            }
            armoured.push(character);
        }
        armoured.push('\n');
        armoured.push_str(END);
        armoured.push('\n');
        armoured
    }

    /// Decodes an armoured signature; nothing if it is not one of Ed25519 over SHA-512, or written
    /// in another way than [`Self::encode`] does.
    pub fn decode(text: &str) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let inner = text.strip_prefix(BEGIN)?.strip_suffix('\n')?.strip_suffix(END)?;
        let blob = BASE64.decode(inner.replace('\n', "")).ok()?;
        let mut rest = blob.strip_prefix(MAGIC)?.strip_prefix(VERSION.as_slice())?;
        let public_key = parse_key_blob(take(&mut rest)?)?;
        let namespace = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
        let (reserved, hash) = (take(&mut rest)?, take(&mut rest)?);
        let mut inner = take(&mut rest)?;
        let (algorithm, signature) = (take(&mut inner)?, take(&mut inner)?);
        let is_ours = reserved.is_empty() && hash == HASH && algorithm == ALGORITHM;
        if !is_ours || !rest.is_empty() || !inner.is_empty() {
            return None;
        }
        let decoded = Self { public_key, namespace, signature: signature.try_into().ok()? };
        (decoded.encode() == text).then_some(decoded)
    }
}

/// A public key as a line of `authorized_keys`, without line break.
pub fn public_key_line(public_key: &[u8; 32], comment: &str) -> String {
    let blob = BASE64.encode(key_blob(public_key));
    if comment.is_empty() {
        format!("{KEY_TYPE} {blob}")
    } else {
        format!("{KEY_TYPE} {blob} {comment}")
    }
}

/// Reads the first line that is a public key of Ed25519; what follows the key is a comment.
pub fn parse_public_key_line(text: &str) -> Option<[u8; 32]> {
    let line =
        text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    let mut words = line.split_ascii_whitespace();
    if words.next()? != KEY_TYPE {
        return None;
    }
    parse_key_blob(&BASE64.decode(words.next()?).ok()?)
}

pub(crate) fn key_blob(public_key: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    push(&mut blob, ALGORITHM);
    push(&mut blob, public_key);
    blob
}

fn parse_key_blob(mut blob: &[u8]) -> Option<[u8; 32]> {
    let (algorithm, key) = (take(&mut blob)?, take(&mut blob)?);
    if algorithm != ALGORITHM || !blob.is_empty() {
        return None;
    }
    key.try_into().ok()
}

/// Appends an SSH string: its length, big-endian, and its bytes.
#[expect(clippy::big_endian_bytes, reason = "the SSH wire format is big-endian")]
fn push(blob: &mut Vec<u8>, string: &[u8]) {
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    blob.extend_from_slice(&length.to_be_bytes());
    blob.extend_from_slice(string);
}

/// Takes an SSH string from the front.
#[expect(clippy::big_endian_bytes, reason = "the SSH wire format is big-endian")]
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (string, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

const MAGIC: &[u8] = b"SSHSIG";
const VERSION: [u8; 4] = [0, 0, 0, 1];
const ALGORITHM: &[u8] = b"ssh-ed25519";
const KEY_TYPE: &str = "ssh-ed25519";
const HASH: &[u8] = b"sha512";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// Characters of base64 on a line, as `ssh-keygen` writes them.
const LINE_LENGTH: usize = 70;
/// Longest armoured signature that is read.
const TEXT_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn signature() -> SshSignature {
        let namespace = "sbf-repo-manifest".to_owned();
        SshSignature { public_key: [7; 32], namespace, signature: [9; 64] }
    }

    #[test]
    fn a_signature_goes_round_and_has_one_form() {
        let text = signature().encode();
        assert_eq!(SshSignature::decode(&text), Some(signature()));
        assert_eq!(SshSignature::decode(&text.replace('\n', "\r\n")), None);
        assert_eq!(SshSignature::decode(text.trim_end()), None);
    }

    #[test]
    fn no_cut_or_changed_byte_decodes_to_another_signature() {
        let text = signature().encode();
        for at in 0..text.len() {
            assert_eq!(SshSignature::decode(&text[..at]), None);
            let mut changed = text.clone().into_bytes();
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
            }
            let changed = String::from_utf8_lossy(&changed).into_owned();
            assert_ne!(SshSignature::decode(&changed), Some(signature()));
        }
    }

    #[test]
    fn a_public_key_is_a_line_with_a_comment() {
        let line = public_key_line(&[3; 32], "authority");
        assert_eq!(parse_public_key_line(&format!("# a key\n{line}\n")), Some([3; 32]));
        assert_eq!(parse_public_key_line("ssh-rsa AAAA"), None);
    }
}
