//! `/metrics`, `/healthz` and `/readyz`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Metrics;

/// Whether the daemon takes messages and enforces what it decides.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    listens: AtomicBool,
    /// The kernel does not take what is decided.
    fails: AtomicBool,
}

impl Readiness {
    /// Sets whether messages are taken.
    pub fn set(&self, ready: bool) {
        self.0.listens.store(ready, Ordering::Relaxed);
    }

    /// Sets whether the kernel takes what is decided; it does until something else is said.
    pub fn set_enforcing(&self, enforcing: bool) {
        self.0.fails.store(!enforcing, Ordering::Relaxed);
    }

    /// Whether `/readyz` says so.
    pub fn is_ready(&self) -> bool {
        self.get().is_ok()
    }

    /// `Err` says why not.
    fn get(&self) -> Result<(), &'static str> {
        if !self.0.listens.load(Ordering::Relaxed) {
            Err("not ready\n")
        } else if self.0.fails.load(Ordering::Relaxed) {
            Err("not ready: the firewall does not take the bans; the log says why\n")
        } else {
            Ok(())
        }
    }
}

/// What is served.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// For `/readyz`.
    pub readiness: Readiness,
}

/// Serves until `stop`. At most [`MOST_CONNECTIONS`] at a time; further ones wait in the backlog.
pub async fn serve(
    listener: std::net::TcpListener,
    endpoint: Endpoint,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors or the like: it passes, and must not spin meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let endpoint = endpoint.clone();
        tokio::spawn(async move {
            connection(stream, endpoint).await;
            drop(place);
        });
    }
}

/// Binds the endpoint's address.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

async fn connection(stream: TcpStream, endpoint: Endpoint) {
    let answer = service_fn(move |request| {
        let response = respond(&request, &endpoint);
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .serve_connection(TokioIo::new(stream), answer);
    // A scraper that goes away in the middle is its own affair.
    _ = tokio::time::timeout(Duration::from_secs(300), serving).await;
}

fn respond(request: &Request<Incoming>, endpoint: &Endpoint) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    // https://prometheus.io/docs/instrumenting/exposition_formats/
    const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";
    let (status, kind, body) = match (request.method(), request.uri().path()) {
        (method, _) if method != Method::GET && method != Method::HEAD => {
            (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET\n".to_owned())
        }
        (_, "/metrics") => (StatusCode::OK, EXPOSITION, endpoint.metrics.render()),
        (_, "/healthz") => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
        (_, "/readyz") => match endpoint.readiness.get() {
            Ok(()) => (StatusCode::OK, PLAIN, "ready\n".to_owned()),
            Err(why) => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, why.to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, PLAIN, "/metrics, /healthz or /readyz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Scrapers are few.
const MOST_CONNECTIONS: usize = 32;
