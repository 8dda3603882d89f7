//! Every vector of the format, read by the program's own code. Form: format-spec/vectors/README.md.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use crate::vector_file::Vector;
use crate::vector_file::all_vectors;
use sbf_repo::format::config::ChunkerProfile;
use sbf_repo::format::envelope;
use sbf_repo::format::envelope::ObjectKind;
use sbf_repo::format::error::Rule;
use sbf_repo::format::gc::Register;
use sbf_repo::format::gc::Step;
use sbf_repo::format::layout::GcObject;
use sbf_repo::format::layout::parse_gc_key;
use sbf_repo::format::manifest::Manifest;
use sbf_repo::format::mark::check_members;
use sbf_repo::format::mirror::MirrorNote;
use sbf_repo::format::pack::PackKind;
use sbf_repo::format::pack::PackTrailer;
use sbf_repo::format::pack::Wrap;
use sbf_repo::format::pack::WrappedKey;
use sbf_repo::format::record::Record;
use sbf_repo::id::PackUid;
use sbf_repo::id::RepoId;
use sbf_repo::key::ObjectKey;
use sbf_repo::testing::fuzz_decode;
use sbf_repo::testing::fuzz_decode::Input;
use sbf_repo::testing::opened;
use sbf_repo::testing::opened::GivenKeys;
use sbf_repo::testing::opened::Refusal;
use sbf_repo::testing::recipes;
use sha2::Digest as _;
use std::collections::BTreeSet;
use std::fs;

/// Vectors that the functions here read otherwise than their `expect`, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("content/lengths_beyond_64_bits.vec", "the sum saturates and then differs from the size"),
    ("content/list_internal_at_height_zero.vec", HEIGHT),
    ("content/list_leaf_at_height_one.vec", HEIGHT),
    ("tree/internal_at_height_zero.vec", HEIGHT),
    ("tree/leaf_at_height_one.vec", HEIGHT),
    ("tree/inline_internal.vec", "an inline listing is decoded when it is walked"),
    ("tree/inline_not_a_node.vec", "an inline listing is decoded when it is walked"),
    ("tree/owner_twice.vec", UNCHECKED),
    ("gc/plan_other_number.vec", PLACE),
    ("inventory/id_differs.vec", UNCHECKED),
    ("inventory/other_key.vec", UNCHECKED),
    ("inventory/other_number.vec", PLACE),
    ("inventory/other_repository.vec", PLACE),
    ("keyslot/generation_zero.vec", UNCHECKED),
    ("keyslot/other_repository.vec", PLACE),
    ("keyslot/other_slot.vec", PLACE),
    ("layout/folder_unknown.vec", UNPARSED),
    ("layout/number_beyond_type.vec", UNPARSED),
    ("layout/number_leading_zero.vec", UNPARSED),
    ("layout/number_too_short.vec", UNPARSED),
    ("layout/segment_extra.vec", UNPARSED),
    ("manifest/subject_digest_differs.vec", UNCHECKED),
    ("manifest/time_without_zone.vec", UNCHECKED),
    ("pack/directory_raw_too_short.vec", UNCHECKED),
    ("record/number_fraction.vec", UNCHECKED),
];
const HEIGHT: &str = "heights are checked where nodes are walked, in `repo::tree`";
const PLACE: &str = "the place is compared where the object is read, if anything reads it yet";
const UNCHECKED: &str = "the decoder does not check it yet";
const UNPARSED: &str = "keys of this folder are only made and never parsed";

/// Rules of the pages that no vector shows, and why.
const RULES_WITHOUT_VECTOR: &[(&str, &str)] = &[];

/// What reading a vector's body gave.
enum Read {
    /// A record, encoded again.
    Again(Vec<u8>),
    /// What was opened.
    Opened(Vec<u8>),
    /// The output of a function, which the body states.
    Output(Vec<u8>),
}

#[test]
fn every_vector_is_read_as_it_expects() {
    let mut wrong = Vec::new();
    for vector in all_vectors() {
        let found = verdict(&vector);
        let exception = EXCEPTIONS.iter().find(|(path, _why)| *path == vector.path);
        match (found == vector.text("expect"), exception) {
            (true, None) | (false, Some(_)) => {}
            (false, None) => {
                wrong.push(format!(
                    "{}: expects {}, found {found}",
                    vector.path,
                    vector.text("expect")
                ));
            }
            (true, Some(_)) => wrong.push(format!("{}: is no exception any more", vector.path)),
        }
        for name in vector.inputs().filter(|name| !inputs_of(vector.text("input")).contains(name)) {
            wrong.push(format!("{}: unknown header `{name}`", vector.path));
        }
    }
    assert!(wrong.is_empty(), "{} vectors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_rule_of_the_pages_has_a_vector_and_a_place_in_the_program() {
    let stated = rules_of_the_pages();
    let known: BTreeSet<String> = Rule::ALL.iter().map(|rule| rule.code().to_owned()).collect();
    assert_eq!(stated, known, "rules of the pages (left) and of the program (right)");
    let expected: Vec<String> =
        all_vectors().map(|vector| vector.text("expect").to_owned()).collect();
    for rule in stated {
        let shown = expected.contains(&format!("format error {rule}"));
        let excepted = RULES_WITHOUT_VECTOR.iter().any(|(code, _why)| *code == rule);
        assert!(shown != excepted, "{rule}: shown by a vector: {shown}, listed as not: {excepted}");
    }
}

#[test]
fn pages_name_only_vectors_that_exist() {
    let known: Vec<String> = all_vectors().map(|vector| vector.path).collect();
    for (name, text) in pages() {
        for line in text.lines().filter(|line| line.starts_with("* `vectors/")) {
            let mut folder = "";
            for quoted in line.split('`').skip(1).step_by(2).filter(|word| word.contains(".vec")) {
                let path = quoted.trim_start_matches("vectors/");
                let file = path.rsplit_once('/').map_or(path, |(inside, file)| {
                    folder = inside;
                    file
                });
                assert!(known.contains(&format!("{folder}/{file}")), "{name}: no {folder}/{file}");
            }
        }
    }
}

/// What a reader finds, in the words of `expect`.
fn verdict(vector: &Vector) -> String {
    let read = match read(vector) {
        Ok(read) => read,
        Err(refusal) => return refusal.to_string(),
    };
    let agrees = match read {
        Read::Again(bytes) | Read::Output(bytes) => bytes == vector.body,
        Read::Opened(bytes) => {
            sha2::Sha256::digest(&bytes).as_slice() == vector.hex("plaintext-sha256")
        }
    };
    if agrees { "ok".to_owned() } else { "other bytes".to_owned() }
}

fn read(vector: &Vector) -> Result<Read, Refusal> {
    let word = vector.text("input");
    // Read by every vector; `note` is for people and `rule` says again what `expect` says.
    if let Some(rule) = vector.find("rule") {
        let code = rule.split(' ').next().unwrap();
        assert_eq!(vector.text("expect"), format!("format error {code}"), "{}", vector.path);
    }
    assert!(!vector.text("note").is_empty());
    if let Some(read) = open(word, vector).or_else(|| compute(word, vector)) {
        return read;
    }
    decode(word, vector).map(Read::Again)
}

fn decode(word: &str, vector: &Vector) -> Result<Vec<u8>, Refusal> {
    let body = &vector.body;
    if word == "digest" {
        let same = blake3::hash(body).as_bytes() == vector.hex("digest").as_slice();
        return if same { Ok(body.clone()) } else { Err(Refusal::Auth) };
    }
    let again = match word {
        "envelope" => fuzz_decode::decode_envelope(kind(vector), body)?,
        "clear" => fuzz_decode::decode_clear(kind(vector), body)?,
        _ => {
            let input = Input::from_word(word).unwrap_or_else(|| panic!("no input `{word}`"));
            fuzz_decode::decode(input, body)?
        }
    };
    check_place(word, vector)?;
    Ok(again)
}

/// Checks what a record says of its place, as far as decoding it does not.
fn check_place(word: &str, vector: &Vector) -> Result<(), Refusal> {
    let body = &vector.body;
    match word {
        "register" => {
            let key = ObjectKey::new(vector.text("place")).unwrap();
            let (number, object) = parse_gc_key(&key)?;
            let step = match object {
                GcObject::Plan => Step::Plan,
                GcObject::Verdict => Step::Verdict,
                GcObject::Done => Step::Done,
                GcObject::Body(_) => panic!("a body is no register"),
            };
            Register::decode(body)?.check_place(number, step)?;
        }
        "mirror-note" => {
            let number = vector.number("number").try_into().unwrap();
            MirrorNote::decode(body)?.check_place(number)?;
        }
        "manifest" => {
            let place = vector.text("place");
            let [_folder, client, snapshot] = place.split('/').collect::<Vec<_>>()[..] else {
                panic!("{place} is no manifest");
            };
            let (client, snapshot) = (client.parse().unwrap(), snapshot.parse().unwrap());
            Manifest::decode(body)?.check_place(repository(vector), client, snapshot)?;
            let found = sha2::Sha256::digest(body);
            if vector.find_hex("sha256").is_some_and(|committed| committed != found.as_slice()) {
                return Err(Refusal::Auth);
            }
        }
        "record" => {
            let place = vector.text("place");
            let kind = place.strip_prefix("records/").unwrap_or(place).split('/').next().unwrap();
            let record = Record::decode(body)?;
            record.check_place(kind, repository(vector), place)?;
            check_members(kind, &record)?;
        }
        "pack-trailer" => {
            let header_length = vector.number("header-length").try_into().unwrap();
            PackTrailer::decode(body)?.directory_range(header_length, vector.number("length"))?;
        }
        _ => {}
    }
    Ok(())
}

fn open(word: &str, vector: &Vector) -> Option<Result<Read, Refusal>> {
    let body = &vector.body;
    let opened = match word {
        "slot-open" => {
            assert_eq!(vector.hex("repository").len() + vector.hex("slot").len(), 32);
            match vector.find_hex("passphrase") {
                Some(passphrase) => opened::open_slot_by_passphrase(body, &passphrase),
                None => opened::open_slot_by_secret(body, &vector.key("secret")),
            }
        }
        "renewal-open" => opened::open_renewal(body, repository(vector), &vector.key("secret")),
        "envelope-open" => {
            let master = Some(vector.key("master-key"));
            let keys = GivenKeys { index: master, manifest: master, ..GivenKeys::default() };
            let place = (repository(vector), vector.text("place"));
            opened::open_envelope(kind(vector), place, keys, &vector.key("public-key"), body)
        }
        "clear-open" => {
            let place = (repository(vector), vector.text("place"));
            opened::open_clear(kind(vector), place, &vector.key("public-key"), body)
        }
        "pack-open" => {
            let keys = GivenKeys {
                index: Some(vector.key("index-key")),
                id: Some(vector.key("id-key")),
                wrap: vector.find_key("wrap-key"),
                seal_seed: vector.find_key("seal-seed"),
                ..GivenKeys::default()
            };
            opened::open_pack(repository(vector), keys, &vector.all_hex("base"), body)
        }
        "hpke-open" => {
            let place = vector.hex("associated-data");
            opened::open_sealed_secret(vector.key("seed"), vector.text("info"), &place, body)
        }
        "rewrap" => recipes::rewrap(body, &vector.hex("plaintext")),
        _ => return None,
    };
    Some(opened.map(Read::Opened))
}

fn compute(word: &str, vector: &Vector) -> Option<Result<Read, Refusal>> {
    let output = match word {
        "derive" => {
            let length = vector.number("length").try_into().unwrap();
            Ok(opened::derived(vector.text("context"), &vector.hex("material"), length))
        }
        "chunk-id" => opened::chunk_ids(vector.key("id-key"), &vector.hex("plaintext")),
        "envelope-keys" => {
            let words = vector.text("words").split(' ');
            let keys: Result<Vec<_>, _> =
                words.map(|word| opened::envelope_key(vector.key("master-key"), word)).collect();
            keys.map(|keys| keys.concat())
        }
        "pack-keys" => pack_keys(vector),
        "slot-keys-derive" => {
            let material = [vector.hex("secret"), vector.hex("salt")].concat();
            let contexts = ["sbf-repo 1 slot commitment", "sbf-repo 1 slot wrap"];
            Ok(contexts.map(|context| opened::derived(context, &material, 32)).concat())
        }
        "key-id" => Ok(opened::key_id(&vector.key("public-key"))),
        "xwing-public" => opened::sealing_public_key(vector.key("seed")),
        "signed-message" => {
            let (place, message) = (vector.text("place"), vector.hex("message"));
            Ok(envelope::signed_message(kind(vector), repository(vector), place, &message))
        }
        "sshsig" => Ok(signature(vector)),
        "block-seal" => {
            let kind = vector.number("kind").try_into().unwrap();
            let place = (
                PackUid::new(vector.array("pack-uid")),
                vector.number("number").try_into().unwrap(),
            );
            let plaintext = vector.hex("plaintext");
            Ok(opened::sealed_block(
                vector.key("pack-key"),
                repository(vector),
                kind,
                place,
                &plaintext,
            ))
        }
        "merkle" => Ok(merkle_roots(vector)),
        "gear-table" => Ok(fuzz_decode::gear_table(&vector.key("gear-key")).to_vec()),
        "chunk-cuts" => Ok(chunk_lengths(vector)),
        "spread-masks" => {
            let counts = vector.text("masks").split(' ').map(|count| count.parse().unwrap());
            Ok(counts.flat_map(|ones| opened::spread_mask(ones).to_le_bytes()).collect())
        }
        _ => return None,
    };
    Some(output.map(Read::Output))
}

fn pack_keys(vector: &Vector) -> Result<Vec<u8>, Refusal> {
    let kind = match vector.number("kind") {
        1 => PackKind::Data,
        2 => PackKind::Tree,
        other => panic!("no kind {other}"),
    };
    let pack_uid = PackUid::new(vector.array("pack-uid"));
    let (nonce, sealed) = (vector.array("nonce"), vector.array("sealed"));
    let wrapped = WrappedKey {
        generation: 1,
        commitment: vector.body[32..64].try_into().unwrap(),
        wrap: Wrap::Symmetric { nonce, sealed },
    };
    let keys = GivenKeys { wrap: Some(vector.key("wrap-key")), ..GivenKeys::default() };
    // Fails as `auth error` unless the commitment in the body is the right one.
    let key = opened::pack_key(repository(vector), kind, pack_uid, keys, &wrapped)?;
    let directory_key = opened::directory_key(vector.key("index-key"), pack_uid)?;
    Ok([key.as_slice(), &wrapped.commitment, &directory_key].concat())
}

/// What is signed, taken from the body: that the signature over it is right shows that it is, too.
fn signature(vector: &Vector) -> Vec<u8> {
    let (signature, counts) =
        opened::signature(vector.key("seed"), vector.text("namespace"), &vector.hex("message"));
    assert!(counts, "{}: own signature does not count", vector.path);
    let (signed, _signature) = vector.body.split_at(vector.body.len() - signature.len());
    [signed, &signature].concat()
}

fn merkle_roots(vector: &Vector) -> Vec<u8> {
    let packs: Vec<_> = vector
        .all("pack")
        .map(|pack| {
            let (id, length) = pack.split_once(' ').unwrap();
            (id.parse().unwrap(), length.parse().unwrap())
        })
        .collect();
    (0..=packs.len()).flat_map(|count| opened::packs_root(&packs[..count])).collect()
}

fn chunk_lengths(vector: &Vector) -> Vec<u8> {
    let number = |name: &str| u32::try_from(vector.number(name)).unwrap();
    let profile = ChunkerProfile {
        name: "default".to_owned(),
        algorithm: 1,
        min_bytes: number("min"),
        average_bytes: number("average"),
        max_bytes: number("max"),
        mask_small: vector.number("mask-small"),
        mask_large: vector.number("mask-large"),
    };
    let words: Vec<&str> = vector.text("content").split(' ').collect();
    let content = match words[..] {
        ["zeros", length] => vec![0; length.parse().unwrap()],
        ["blake3", seed, length] => {
            let mut content = vec![0; length.parse().unwrap()];
            let mut hasher = blake3::Hasher::new();
            hasher.update(&Vector::bytes_of(seed)).finalize_xof().fill(&mut content);
            content
        }
        _ => panic!("{}: no such content", vector.path),
    };
    let lengths = opened::chunk_lengths(&profile, &vector.key("gear-key"), &content);
    lengths.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn repository(vector: &Vector) -> RepoId {
    RepoId::new(vector.array("repository"))
}

fn kind(vector: &Vector) -> ObjectKind {
    let number = vector.number("kind");
    let found = ObjectKind::ALL.into_iter().find(|kind| u64::from(kind.number()) == number);
    found.unwrap_or_else(|| panic!("{}: no kind {number}", vector.path))
}

/// The headers that a vector of an input may have.
fn inputs_of(word: &str) -> &'static [&'static str] {
    match word {
        "amendment" | "heartbeat" | "plan" | "verdict" | "base" | "mirror-note" => &["number"],
        "register" => &["place"],
        "slot" => &["repository", "slot"],
        "manifest" => &["repository", "place", "sha256"],
        "record" | "inventory" => &["repository", "place"],
        "pack-trailer" => &["length", "header-length"],
        "tree-node" | "list-node" => &["height"],
        "envelope" | "clear" => &["kind"],
        "digest" => &["digest"],
        "slot-open" => &["repository", "slot", "secret", "passphrase"],
        "renewal-open" => &["repository", "secret"],
        "envelope-open" => &["kind", "repository", "place", "master-key", "public-key"],
        "clear-open" => &["kind", "repository", "place", "public-key"],
        "pack-open" => &["repository", "id-key", "index-key", "wrap-key", "seal-seed", "base"],
        "hpke-open" => &["seed", "info", "associated-data"],
        "rewrap" => &["plaintext"],
        "derive" => &["context", "material", "length"],
        "chunk-id" => &["id-key", "plaintext"],
        "envelope-keys" => &["master-key", "words"],
        "pack-keys" => {
            &["repository", "kind", "pack-uid", "wrap-key", "nonce", "sealed", "index-key"]
        }
        "slot-keys-derive" => &["secret", "salt"],
        "key-id" => &["public-key"],
        "xwing-public" => &["seed"],
        "signed-message" => &["kind", "repository", "place", "message"],
        "sshsig" => &["seed", "namespace", "message"],
        "block-seal" => &["pack-key", "repository", "kind", "pack-uid", "number", "plaintext"],
        "merkle" => &["pack"],
        "gear-table" => &["gear-key"],
        "chunk-cuts" => {
            &["gear-key", "min", "average", "max", "mask-small", "mask-large", "content"]
        }
        "spread-masks" => &["masks"],
        _ => &[],
    }
}

/// The codes that stand in bold at the beginning of a page's rules.
fn rules_of_the_pages() -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (_name, text) in pages() {
        for line in text.lines().filter_map(|line| line.strip_prefix("* **")) {
            let (code, _rest) = line.split_once("**").unwrap();
            let (name, number) = code.split_once('-').unwrap_or_default();
            let is_code = !number.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase());
            if is_code && number.bytes().all(|byte| byte.is_ascii_digit()) {
                codes.insert(code.to_owned());
            }
        }
    }
    codes
}

/// The format's pages with their names.
pub(crate) fn pages() -> impl Iterator<Item = (String, String)> {
    let entries = fs::read_dir("format-spec").unwrap();
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    paths.map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap()))
}
