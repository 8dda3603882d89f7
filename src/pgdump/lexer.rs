//! From bytes to statements, comments and data, as `psql` takes them apart.

use crate::pgdump::rows::RowReader;
use crate::pgdump::statements::DumpSummary;
use crate::pgdump::statements::Next;
use crate::pgdump::statements::Statements;
use memchr::memchr;
use memchr::memchr2;

/// Reads a dump; what does not begin like one is passed over.
#[derive(Debug)]
pub(crate) struct DumpParser {
    state: State,
    statements: Statements,
    /// The statement that has begun, up to a limit.
    text: Vec<u8>,
    /// Whether the statement was longer.
    is_cut: bool,
    /// The last two bytes outside of quotes and comments.
    before: [u8; 2],
    /// Whether the string that ended last had escapes: one that begins at once goes on with it.
    escapes_before: bool,
}

#[derive(Debug)]
enum State {
    /// The first bytes, until it is clear what this is.
    Sniff(Vec<u8>),
    /// No dump.
    Other,
    Sql,
    Comment(Vec<u8>),
    Block {
        depth: u32,
        last: u8,
    },
    Single {
        escapes: bool,
        skip: bool,
    },
    Double,
    DollarTag(Vec<u8>),
    Dollar {
        end: Vec<u8>,
        matched: usize,
    },
    Meta(Vec<u8>),
    /// Behind the semicolon of a `COPY`.
    CopyLine(String),
    Copy(String, RowReader),
}

impl DumpParser {
    /// A parser that lists at most so many tables.
    pub(crate) fn new(tables_max: usize) -> Self {
        Self {
            state: State::Sniff(Vec::new()),
            statements: Statements::new(tables_max),
            text: Vec::new(),
            is_cut: false,
            before: [b'\n'; 2],
            escapes_before: false,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = self.step(rest);
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    /// What the dump said; `None` if it was none.
    pub(crate) fn finish(mut self) -> Option<DumpSummary> {
        match std::mem::replace(&mut self.state, State::Sql) {
            State::Sniff(_) | State::Other => return None,
            State::Sql if self.text.is_empty() => {}
            State::Comment(text) if self.text.is_empty() => self.statements.comment(&text),
            State::Meta(text) => self.statements.meta(&text),
            State::Copy(name, rows) => {
                self.statements.rows(name, &rows.finish());
                self.statements.more_follows();
            }
            State::Sql
            | State::Comment(_)
            | State::Block { .. }
            | State::Single { .. }
            | State::Double
            | State::DollarTag(_)
            | State::Dollar { .. }
            | State::CopyLine(_) => self.statements.more_follows(),
        }
        Some(self.statements.finish())
    }

    /// Takes bytes from the front; returns how many, which may be none if the state changed.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match std::mem::replace(&mut self.state, State::Sql) {
            State::Other => {
                self.state = State::Other;
                bytes.len()
            }
            State::Sniff(first) => self.sniff(first, bytes),
            State::Sql => self.sql(bytes),
            State::Comment(text) => {
                let (line, used) = self.line(text, bytes, State::Comment);
                if let Some(line) = line
                    && self.text.is_empty()
                {
                    self.statements.comment(&line);
                }
                used
            }
            State::Meta(text) => {
                let (line, used) = self.line(text, bytes, State::Meta);
                if let Some(line) = line {
                    self.statements.meta(&line);
                }
                used
            }
            State::Block { depth, last } => self.block(depth, last, bytes),
            State::Single { escapes, skip } => self.single(escapes, skip, bytes),
            State::Double => {
                let end = memchr(b'"', bytes);
                self.keep(end.map_or(bytes, |end| &bytes[..=end]));
                if end.is_none() {
                    self.state = State::Double;
                }
                end.map_or(bytes.len(), |end| end + 1)
            }
            State::DollarTag(tag) => self.dollar_tag(tag, bytes[0]),
            State::Dollar { end, matched } => self.dollar(end, matched, bytes),
            State::CopyLine(name) => {
                let end = memchr(b'\n', bytes);
                self.state = match end {
                    Some(_) => State::Copy(name, RowReader::default()),
                    None => State::CopyLine(name),
                };
                end.map_or(bytes.len(), |end| end + 1)
            }
            State::Copy(name, mut rows) => {
                let Some(used) = rows.update(bytes) else {
                    self.state = State::Copy(name, rows);
                    return bytes.len();
                };
                self.statements.rows(name, &rows.finish());
                self.before = [b'\n'; 2];
                used
            }
        }
    }

    fn sniff(&mut self, mut first: Vec<u8>, bytes: &[u8]) -> usize {
        let room = HEAD.len().saturating_sub(first.len()).min(bytes.len());
        first.extend_from_slice(&bytes[..room]);
        self.state = if first == HEAD {
            // The title is what the dump is: database or cluster.
            State::Comment(TITLE.to_vec())
        } else if HEAD.starts_with(&first) {
            State::Sniff(first)
        } else {
            State::Other
        };
        room
    }

    fn sql(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            let before = self.before;
            let last = before[1];
            self.before = [last, *byte];
            let next = match byte {
                b'-' if last == b'-' => {
                    self.text.pop();
                    State::Comment(Vec::new())
                }
                b'*' if last == b'/' => {
                    self.text.pop();
                    State::Block { depth: 1, last: 0 }
                }
                b'\'' => {
                    let is_escaping = matches!(last, b'e' | b'E') && !is_of_name(before[0]);
                    let goes_on = last == b'\'' && self.escapes_before;
                    let escapes = is_escaping || goes_on || self.statements.has_escapes;
                    State::Single { escapes, skip: false }
                }
                b'"' => State::Double,
                b'$' if !is_of_name(last) => State::DollarTag(Vec::new()),
                b'\\' if last == b'\n' && self.text.is_empty() => State::Meta(Vec::new()),
                b';' => {
                    self.end_statement();
                    if matches!(self.state, State::Sql) {
                        continue;
                    }
                    return index + 1;
                }
                byte if byte.is_ascii_whitespace() && self.text.is_empty() => continue,
                _ => {
                    self.keep(&[*byte]);
                    continue;
                }
            };
            if matches!(next, State::Single { .. } | State::Double | State::DollarTag(_)) {
                self.keep(&[*byte]);
            }
            self.state = next;
            return index + 1;
        }
        self.state = State::Sql;
        bytes.len()
    }

    fn end_statement(&mut self) {
        // No `COPY` is so long that it was cut; of others the beginning says enough.
        let limit = if self.is_cut { SHORT_BYTES } else { STATEMENT_BYTES_MAX };
        let next = self.statements.statement(&self.text[..self.text.len().min(limit)]);
        self.text.clear();
        self.is_cut = false;
        self.state = match next {
            Next::Sql => State::Sql,
            Next::Copy(name) => State::CopyLine(name),
        };
    }

    /// Keeps the beginning of a statement, and all of a `COPY`.
    fn keep(&mut self, bytes: &[u8]) {
        let limit = if self.text.len() < SHORT_BYTES || self.text.starts_with(b"COPY ") {
            STATEMENT_BYTES_MAX
        } else {
            SHORT_BYTES
        };
        let room = limit.saturating_sub(self.text.len()).min(bytes.len());
        self.text.extend_from_slice(&bytes[..room]);
        self.is_cut |= room < bytes.len();
    }

    /// Gathers a line up to a limit; gives it once it has ended.
    fn line(
        &mut self,
        mut text: Vec<u8>,
        bytes: &[u8],
        state: fn(Vec<u8>) -> State,
    ) -> (Option<Vec<u8>>, usize) {
        let end = memchr(b'\n', bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE_BYTES_MAX.saturating_sub(text.len()).min(part.len());
        text.extend_from_slice(&part[..room]);
        self.before = [b'\n'; 2];
        if let Some(end) = end {
            return (Some(text), end + 1);
        }
        self.state = state(text);
        (None, bytes.len())
    }

    fn block(&mut self, mut depth: u32, mut last: u8, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            let pair = [std::mem::replace(&mut last, *byte), *byte];
            if pair == *b"/*" {
                depth = depth.saturating_add(1);
                last = 0;
            } else if pair == *b"*/" {
                depth = depth.saturating_sub(1);
                last = 0;
            }
            if depth == 0 {
                self.before = [b' '; 2];
                return index + 1;
            }
        }
        self.state = State::Block { depth, last };
        bytes.len()
    }

    fn single(&mut self, escapes: bool, skip: bool, bytes: &[u8]) -> usize {
        if skip {
            self.keep(&bytes[..1]);
            self.state = State::Single { escapes, skip: false };
            return 1;
        }
        let end = if escapes { memchr2(b'\'', b'\\', bytes) } else { memchr(b'\'', bytes) };
        let used = end.map_or(bytes.len(), |end| end + 1);
        self.keep(&bytes[..used]);
        match end.and_then(|end| bytes.get(end)) {
            Some(b'\'') => {
                self.escapes_before = escapes;
                self.before = [b' ', b'\''];
            }
            Some(_) => self.state = State::Single { escapes, skip: true },
            None => self.state = State::Single { escapes, skip: false },
        }
        used
    }

    fn dollar_tag(&mut self, mut tag: Vec<u8>, byte: u8) -> usize {
        if byte == b'$' {
            self.keep(b"$");
            let end = [b"$", tag.as_slice(), b"$"].concat();
            self.state = State::Dollar { end, matched: 0 };
            return 1;
        }
        let is_first = tag.is_empty();
        if !is_of_name(byte) || (is_first && byte.is_ascii_digit()) || tag.len() >= TAG_BYTES_MAX {
            // No quote after all: the byte is looked at again.
            self.before = [b'$', tag.last().copied().unwrap_or(b'$')];
            return 0;
        }
        tag.push(byte);
        self.keep(&[byte]);
        self.state = State::DollarTag(tag);
        1
    }

    fn dollar(&mut self, end: Vec<u8>, mut matched: usize, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if matched == 0 {
                let Some(found) = memchr(b'$', &bytes[at..]) else { break };
                at += found + 1;
                matched = 1;
                continue;
            }
            let byte = bytes[at];
            if end[matched] == byte {
                matched += 1;
                if matched == end.len() {
                    self.before = [b' '; 2];
                    return at + 1;
                }
            } else {
                matched = usize::from(byte == b'$');
            }
            at += 1;
        }
        self.state = State::Dollar { end, matched };
        bytes.len()
    }
}

/// Whether a byte may be part of a name.
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// How every plain dump begins.
const HEAD: &[u8] = b"--\n-- PostgreSQL database ";
/// What of it belongs to the comment that it opens.
const TITLE: &[u8] = b" PostgreSQL database ";
/// A `COPY` of as many columns as a table can have, with the longest names, is shorter.
const STATEMENT_BYTES_MAX: usize = 262_144;
/// Enough to tell a statement.
const SHORT_BYTES: usize = 64;
const LINE_BYTES_MAX: usize = 1024;
const TAG_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::proptest;

    /// A dump with everything that may be taken for something else.
    const DUMP: &str = r#"--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 15.4 (Debian)
-- Dumped by pg_dump version 16.1

SET standard_conforming_strings = on;

--
-- Name: f(); Type: FUNCTION; Schema: public; Owner: o
--

CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $_$ SELECT '
COPY public.evil (x) FROM stdin;
1
\.
-- Name: evil; Type: TABLE; Schema: public; Owner: o
-- PostgreSQL database dump complete
$$ $1 $_x$ it''s "' $_$;
COMMENT ON TABLE x IS 'it''s -- no comment; /* nor " this
COPY public.evil2 FROM stdin;
\';
SELECT E'\'; COPY evil3 FROM stdin;\\'; SELECT E'a''\'b;'; /* ' /* " */ $$ ; */
SELECT $1, a$b, "x;'""", 5 - -3 --; '
;

--
-- Name: odd; Type: x; Type: TABLE; Schema: public; Owner: o
--

COPY public."a ""b"" FROM stdin;
c" (x, "y (") FROM stdin;
1	one
\\.
-- PostgreSQL database dump complete
COPY public.evil FROM stdin;
\N	\N
\.

COPY public.empty (x) FROM stdin;
\.

INSERT INTO public.i VALUES (1, 'COPY z FROM stdin;');

--
-- PostgreSQL database dump complete
--

\unrestrict abc

"#;

    fn parse(text: &[u8], step: usize) -> Option<DumpSummary> {
        let mut parser = DumpParser::new(100);
        text.chunks(step.max(1)).for_each(|part| parser.update(part));
        parser.finish()
    }

    #[test]
    fn what_looks_like_data_or_an_end_is_told_from_it() {
        let found = parse(DUMP.as_bytes(), DUMP.len()).unwrap();
        assert!(found.is_complete && !found.is_cluster);
        assert_eq!((found.server.as_str(), found.program.as_str()), ("15.4 (Debian)", "16.1"));
        let tables: Vec<_> =
            found.tables.iter().map(|table| (table.name.as_str(), table.rows.rows)).collect();
        let odd = "public.\"a \"\"b\"\" FROM stdin;\nc\"";
        assert_eq!(tables, [(odd, 5), ("public.empty", 0)]);
        assert_eq!(found.inserts, 1);
        let objects: Vec<_> = found.objects.into_iter().collect();
        assert_eq!(objects, [("FUNCTION".to_owned(), 1), ("TABLE".to_owned(), 1)]);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_arrive() {
        let whole = parse(DUMP.as_bytes(), DUMP.len());
        for step in 1..200 {
            assert_eq!(parse(DUMP.as_bytes(), step), whole, "steps of {step}");
        }
    }

    #[test]
    fn every_cut_is_seen_but_those_that_take_blank_lines_alone() {
        let end = DUMP.trim_end().len();
        for length in 0..=DUMP.len() {
            let complete = parse(&DUMP.as_bytes()[..length], 4096).is_some_and(|it| it.is_complete);
            assert_eq!(complete, length >= end, "{length} of {end} bytes");
        }
    }

    #[test]
    fn databases_of_a_cluster_are_told_apart() {
        let copy = "COPY public.t (x) FROM stdin;\n1\n\\.\n";
        let text = format!(
            "--\n-- PostgreSQL database cluster dump\n--\n\n\\connect one\n\n{copy}--\n-- PostgreSQL database dump \
             complete\n--\n\\connect -reuse-previous=on \"dbname='t wo'\"\n{copy}{copy}--\n-- PostgreSQL database cluster \
             dump complete\n--\n"
        );
        let found = parse(text.as_bytes(), text.len()).unwrap();
        let tables = found.tables.iter();
        let tables: Vec<_> =
            tables.map(|each| (each.database.as_deref().unwrap(), each.rows.rows)).collect();
        assert_eq!(tables, [("one", 1), ("t wo", 2)]);
        assert!(found.is_cluster && found.is_complete);
    }

    #[test]
    fn tables_without_end_are_counted_and_not_kept() {
        let mut parser = DumpParser::new(10);
        parser.update(DUMP.as_bytes());
        for number in 0..1000 {
            let copy = format!("COPY t{number} FROM stdin;\n1\n\\.\n");
            parser.update(copy.as_bytes());
        }
        parser.update("COPY ".as_bytes());
        (0..100).for_each(|_| parser.update(&[b'x'; 10_000]));
        assert!(parser.text.len() <= STATEMENT_BYTES_MAX);
        let found = parser.finish().unwrap();
        assert_eq!((found.tables.len(), found.tables_count), (10, 1002));
        assert!(!found.is_complete);
    }

    proptest! {
        #[test]
        fn no_bytes_and_no_way_to_cut_them_matter(
            tail in proptest::collection::vec(any::<u8>(), 0..300),
            words in proptest::collection::vec(0_usize..WORDS.len(), 0..60),
            step in 1_usize..40,
        ) {
            let words: Vec<&[u8]> = words.iter().map(|at| WORDS[*at].as_bytes()).collect();
            let text = [HEAD, b"dump\n", words.concat().as_slice(), &tail].concat();
            assert_eq!(parse(&text, step), parse(&text, text.len()));
        }
    }

    const WORDS: [&str; 19] = [
        "'",
        "\"",
        "$$",
        "$a$",
        "$",
        "\\",
        "\n",
        "\\.\n",
        "COPY t FROM stdin",
        ";",
        "-",
        "--",
        "/*",
        "*/",
        "E'",
        "''",
        " PostgreSQL database dump complete",
        "x",
        "\\unrestrict a\n",
    ];
}
