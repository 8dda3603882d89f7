//! `serve`: snapshots over `WebDAV` and HTTP on this host, read-only, for whoever knows the token.

mod files;
mod gate;
mod index;

pub use gate::Token;

use crate::ops::error::OpError;
use crate::ops::progress::Progress;
use crate::ops::select::Selected;
use crate::ops::serve::files::Files;
use crate::ops::serve::gate::Gate;
use crate::ops::view::View;
use crate::ops::view::Warn;
use crate::repo::repository::Repository;
use dav_server::DavHandler;
use dav_server::DavMethodSet;
use dav_server::body::Body;
use http::Method;
use http::Request;
use http::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Where snapshots are served, and for whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// An address of this host that no other host reaches; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What a client has to know.
    pub token: Token,
    /// Plaintext bytes of blocks that are kept in memory.
    pub cache_bytes: usize,
}

impl ServeOptions {
    /// Serves at an address for those who know the token.
    pub const fn new(listen: SocketAddr, token: Token) -> Self {
        Self { listen, token, cache_bytes: CACHE_BYTES }
    }
}

/// Serves all snapshots, or what is `selected`, until the caller asks to stop; `serving` is called
/// with the address when everything is there. Returns how many bytes of files were read.
///
/// Errors: [`OpError::Refused`] if other hosts could reach the address: what is sent is not encrypted;
/// [`OpError::Local`] if nobody can listen there.
pub fn serve(
    repository: &Repository,
    selected: Option<&Selected>,
    options: &ServeOptions,
    warn: &Warn,
    serving: &dyn Fn(SocketAddr),
    progress: &dyn Progress,
) -> Result<u64, OpError> {
    let address = options.listen;
    if !address.ip().is_loopback() {
        let why = format!(
            "other hosts could reach {address}, and what is sent there is not encrypted: listen at 127.0.0.1 and use a tunnel, as `ssh -L`"
        );
        return Err(OpError::Refused { why });
    }
    let view = View::new(repository, selected, options.cache_bytes, Arc::clone(warn))?;
    let bytes_read = Arc::clone(&view.bytes_read);
    let local =
        |call| move |source| OpError::Local { call, path: address.to_string().into(), source };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(ASYNC_THREADS)
        .max_blocking_threads(READING_THREADS)
        .enable_io()
        .enable_time()
        .build()
        .map_err(local("start threads for"))?;
    let ended = runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(local("listen at"))?;
        let address = listener.local_addr().map_err(local("listen at"))?;
        let desk = Arc::new(Desk::new(view, &options.token));
        serving(address);
        accept(&listener, &desk, progress).await.map_err(local("accept connections at"))
    });
    // Whoever still reads is cut off: it sees that its answer is not whole.
    runtime.shutdown_timeout(CLOSING);
    ended.map(|()| bytes_read.load(Ordering::Relaxed))
}

async fn accept(
    listener: &TcpListener,
    desk: &Arc<Desk>,
    progress: &dyn Progress,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_COUNT_MAX));
    while !progress.is_cancelled() {
        let Ok(accepted) = tokio::time::timeout(LOOK_AGAIN, listener.accept()).await else {
            continue;
        };
        // An error is one of this connection alone, or for want of descriptors, which come back.
        let Ok((stream, _peer)) = accepted else { continue };
        // One too many is closed.
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let desk = Arc::clone(desk);
        tokio::spawn(async move {
            desk.converse(stream).await;
            drop(place);
        });
    }
    Ok(())
}

/// Answers requests.
struct Desk {
    gate: Gate,
    files: Files,
    handler: DavHandler,
}

impl Desk {
    fn new(view: View, token: &Token) -> Self {
        let files = Files::new(view);
        let handler = DavHandler::builder()
            .filesystem(Box::new(files.clone()))
            .methods(DavMethodSet::WEBDAV_RO)
            .read_buf_size(READ_BYTES)
            .build_handler();
        Self { gate: Gate::new(token), files, handler }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream) {
        let answer = service_fn(move |request: Request<Incoming>| {
            let desk = Arc::clone(&self);
            async move { Ok::<Response<Body>, Infallible>(desk.answer(request).await) }
        });
        // A client that goes away, or a file that cannot be read, ends its connection only.
        let _ignored = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut response = match self.gate.refuse(&request) {
            None => self.read(request).await,
            Some(refused) => refused,
        };
        gate::protect(response.headers_mut());
        response
    }

    async fn read(&self, request: Request<Incoming>) -> Response<Body> {
        let method = request.method();
        if method == Method::GET || method == Method::HEAD {
            let is_head = method == Method::HEAD;
            if let Some(index) = index::index_of(&self.files, request.uri().path(), is_head).await {
                return index;
            }
        }
        self.handler.handle(request).await
    }
}

const ASYNC_THREADS: usize = 2;
const READING_THREADS: usize = 16;
const CONNECTIONS_COUNT_MAX: usize = 64;
const READ_BYTES: usize = 262_144;
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
const CLOSING: Duration = Duration::from_secs(2);
const CACHE_BYTES: usize = 48 * 1_048_576;
