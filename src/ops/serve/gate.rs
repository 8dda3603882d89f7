//! Who may ask: clients that know the token and ask this host by a name of its own.

use crate::id::Sha256;
use crate::repo::environment::Environment;
use crate::repo::proof::message::sha256_of;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dav_server::body::Body;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use http::Response;
use http::StatusCode;
use http::header;
use std::fmt;

/// What a client has to know.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token that nobody can guess.
    pub fn random(environment: &dyn Environment) -> Self {
        let mut bytes = [0; 24];
        environment.fill_random(&mut bytes);
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A token that was agreed on.
    ///
    /// Errors: it has fewer than 16 characters, or others than letters, digits and `-._~`.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if text.len() < TOKEN_BYTES_MIN || !text.bytes().all(is_plain) {
            return Err(
                "a token has at least 16 characters, and no others than letters, digits and `-._~`",
            );
        }
        Ok(Self(text.to_owned()))
    }

    /// Its characters.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token")
    }
}

/// Lets requests in.
pub(crate) struct Gate {
    /// Of the token: comparing it tells nothing of the token, however long it takes.
    expected: Sha256,
}

impl Gate {
    pub(crate) fn new(token: &Token) -> Self {
        Self { expected: sha256_of(token.0.as_bytes()) }
    }

    /// What a request gets that is not answered.
    pub(crate) fn refuse<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        // A page of the web whose name was made to mean this host asks by that name.
        if !asks_this_host(request.headers()) {
            return Some(refusal(StatusCode::MISDIRECTED_REQUEST, "Ask for localhost.\n"));
        }
        if self.knows_token(request.headers()) {
            return None;
        }
        let mut refused = refusal(
            StatusCode::UNAUTHORIZED,
            "The token is the password; any user name will do.\n",
        );
        let challenge = HeaderValue::from_static("Basic realm=\"sbf-repo\", charset=\"UTF-8\"");
        refused.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Some(refused)
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let stated = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, rest)) = stated.and_then(|stated| stated.split_once(' ')) else {
            return false;
        };
        let token = if scheme.eq_ignore_ascii_case("bearer") {
            Some(rest.trim().as_bytes().to_vec())
        } else if scheme.eq_ignore_ascii_case("basic") {
            let pair = STANDARD.decode(rest.trim()).ok();
            pair.and_then(|pair| {
                let colon = pair.iter().position(|byte| *byte == b':')?;
                pair.get(colon + 1..).map(<[u8]>::to_vec)
            })
        } else {
            None
        };
        token.is_some_and(|token| sha256_of(&token) == self.expected)
    }
}

fn asks_this_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn refusal(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Keeps browsers from storing, guessing at and running what comes out of a snapshot.
pub(crate) fn protect(headers: &mut HeaderMap) {
    let rules: [(HeaderName, &'static str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in rules {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

const TOKEN_BYTES_MIN: usize = 16;
