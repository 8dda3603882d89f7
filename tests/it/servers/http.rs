//! As much of HTTP/1.1 as stands between a client and a server on this machine, to translate or disturb it.

use std::io;
use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Names and values, in order.
pub(crate) type Headers = Vec<(String, String)>;

/// A request with its whole body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sending {
    Whole,
    /// After so many bytes of it the connection ends.
    Cut(usize),
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers: Headers::new(), body: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// A value of the query, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(own, _)| *own == name).map(|(_, value)| decoded(value))
    }
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Headers::new(), body: body.into() }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// Serves on a free port of this machine until the process ends; returns the port.
pub(crate) fn serve(
    answer: impl Fn(Request) -> (Response, Sending) + Send + Sync + 'static,
) -> io::Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            // A client that went away is not missed.
            thread::spawn(move || converse(connection, answer.as_ref()).ok());
        }
    });
    Ok(port)
}

fn converse(
    mut connection: TcpStream,
    answer: &dyn Fn(Request) -> (Response, Sending),
) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let is_head = request.method == "HEAD";
        let (response, sending) = answer(request);
        let bytes = response_bytes(&response, is_head);
        match sending {
            Sending::Whole => connection.write_all(&bytes)?,
            Sending::Cut(length) => {
                let length = length.min(bytes.len());
                connection.write_all(bytes.get(..length).unwrap_or_default())?;
                return connection.shutdown(std::net::Shutdown::Both);
            }
        }
    }
    Ok(())
}

/// Asks a server of this machine, on a connection of its own.
pub(crate) fn send(port: u16, request: &Request) -> io::Result<Response> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    connection.set_nodelay(true)?;
    connection.set_read_timeout(Some(Duration::from_mins(2)))?;
    connection.write_all(&request_bytes(request))?;
    let mut reader = BufReader::new(connection);
    read_response(&mut reader, request.method == "HEAD")
}

fn request_bytes(request: &Request) -> Vec<u8> {
    let Request { method, target, headers, body } = request;
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if header(headers, "host").is_none() {
        head.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers.iter().filter(|(name, _)| !is_of_connection(name)) {
        head.extend([format!("{name}: {value}\r\n")]);
    }
    if !body.is_empty() || method == "PUT" || method == "POST" {
        head.extend([format!("Content-Length: {}\r\n", body.len())]);
    }
    head.push_str("Connection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn response_bytes(response: &Response, is_head: bool) -> Vec<u8> {
    let Response { status, headers, body } = response;
    let mut head = format!("HTTP/1.1 {status} -\r\n");
    let is_length = |name: &str| name.eq_ignore_ascii_case("content-length");
    for (name, value) in headers {
        if !is_of_connection(name) && (is_head || !is_length(name)) {
            head.extend([format!("{name}: {value}\r\n")]);
        }
    }
    if !is_head && *status != 204 && *status != 304 {
        head.extend([format!("Content-Length: {}\r\n", body.len())]);
    }
    head.push_str("\r\n");
    let body = if is_head { &[][..] } else { body };
    [head.as_bytes(), body].concat()
}

/// Headers that say how a body travels on one connection, which each of them says anew.
fn is_of_connection(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.as_str(), "connection" | "transfer-encoding" | "keep-alive" | "expect")
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let Some((first, headers)) = read_head(reader)? else { return Ok(None) };
    let mut parts = first.split(' ');
    let method = parts.next().unwrap_or_default().to_owned();
    let target = parts.next().unwrap_or_default().to_owned();
    let body = if header(&headers, "content-length").is_some() || is_chunked(&headers) {
        read_body(reader, &headers)?
    } else {
        Vec::new()
    };
    let headers =
        headers.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
    Ok(Some(Request { method, target, headers: headers.collect(), body }))
}

fn read_response(reader: &mut BufReader<TcpStream>, is_head: bool) -> io::Result<Response> {
    let head = read_head(reader)?;
    let (first, headers) = head.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or(io::ErrorKind::InvalidData)?;
    let has_body = !is_head && !matches!(status, 204 | 304);
    let body = if has_body { read_body(reader, &headers)? } else { Vec::new() };
    Ok(Response { status, headers, body })
}

fn read_head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(String, Headers)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut headers = Headers::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some((first.trim_end().to_owned(), headers)));
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

fn read_body(reader: &mut BufReader<TcpStream>, headers: &Headers) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if is_chunked(headers) {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
            reader.by_ref().take(length).read_to_end(&mut body)?;
            reader.read_line(&mut line)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
    match header(headers, "content-length") {
        Some(length) => {
            let length = length.parse().map_err(io::Error::other)?;
            reader.by_ref().take(length).read_to_end(&mut body)?;
        }
        None => drop(reader.read_to_end(&mut body)?),
    }
    Ok(body)
}

fn is_chunked(headers: &Headers) -> bool {
    header(headers, "transfer-encoding").is_some_and(|coding| coding.contains("chunked"))
}

fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// What `%` and two digits stand for.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let code = others.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let (b'%', Some(byte)) = (first, byte) {
            bytes.push(byte);
            rest = others.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = others;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text as a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
