//! A proxy before a server that delays, refuses, cuts or alters what goes through it.

use crate::servers::http;
use crate::servers::http::Request;
use crate::servers::http::Response;
use crate::servers::http::Sending;

/// Asks the server behind the proxy.
pub(crate) type Upstream<'a> = &'a dyn Fn(&Request) -> Response;

/// Starts a proxy before the server at `port` whose answers `answer` gives; returns its port.
pub(crate) fn start(
    port: u16,
    answer: impl Fn(&Request, Upstream<'_>) -> (Response, Sending) + Send + Sync + 'static,
) -> u16 {
    let upstream = move |request: &Request| match http::send(port, request) {
        Ok(response) => response,
        Err(error) => Response::new(502, error.to_string()),
    };
    http::serve(move |request| answer(&request, &upstream)).unwrap()
}

/// An answer of S3 that is no success.
pub(crate) fn refusal(status: u16, code: &str) -> (Response, Sending) {
    let body = format!("<Error><Code>{code}</Code><Message>{code} it is</Message></Error>");
    (Response::new(status, body).with("Content-Type", "application/xml"), Sending::Whole)
}
