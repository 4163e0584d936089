//! The admin port: metrics, health and readiness over HTTP, for this machine alone.
//!
//! It has a thread and a runtime of its own, so that a scrape never takes time from a shard. Nobody
//! logs in here, so the address is a loopback one ([`LoopbackAddr`]) and a request whose `Host` is
//! not this machine is refused: otherwise a web page could reach the port through the browser of
//! somebody who works here (DNS rebinding). Everything a peer may use is bounded.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
};

use crate::{
    config::LoopbackAddr,
    metrics::{self, Metrics},
};

/// Connections at a time; further ones wait in the listen queue of the operating system.
const CONNECTIONS_MAX: usize = 16;
/// For the header of a request, and between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole connection: who reads slowly holds its place no longer than this.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// For the header of a request, in bytes.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// After an accept that failed, usually for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether the broker takes clients: what `/readyz` answers.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// Clients are served from here on; without effect once draining has begun.
    pub fn set_ready(&self) {
        // Draining is final, and so is being ready already.
        let _ = self
            .0
            .compare_exchange(STARTING, READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// No new clients from here on.
    pub fn set_draining(&self) {
        self.0.store(DRAINING, Ordering::Release);
    }

    /// Whether clients are served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire) == READY
    }

    fn word(&self) -> &'static str {
        match self.0.load(Ordering::Acquire) {
            STARTING => "starting\n",
            READY => "ready\n",
            _ => "draining\n",
        }
    }
}

/// The open admin port; closes when it is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
    /// Dropping it ends the thread.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Admin {
    /// Opens the port.
    ///
    /// # Errors
    ///
    /// What the operating system answers to binding the address.
    pub(crate) fn bind(listen: LoopbackAddr) -> io::Result<std::net::TcpListener> {
        let listener = std::net::TcpListener::bind(listen.get())?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Serves the port from a thread of its own.
    ///
    /// # Errors
    ///
    /// What the operating system answers to starting the thread.
    pub(crate) fn start(
        listener: std::net::TcpListener,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let service = Arc::new(Service { metrics, readiness });
        let thread = thread::Builder::new()
            .name("whinchat-admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        result = serve(listener, service) => {
                            if let Err(error) = result {
                                tracing::error!(%error, "the admin port is closed");
                            }
                        }
                        // The only message is that the sender is gone.
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens, with the port that the system chose.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by then, and ends nothing else.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, service: Arc<Service>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::debug!(%error, "the admin port could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            // A peer that is too slow, or gone, is no business of anybody.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, service)).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, service: Arc<Service>) -> Result<(), hyper::Error> {
    let answer = service_fn(move |request| {
        let response = service.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

struct Service {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl Service {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let shared = self.metrics.shared();
        shared.admin_requests.increment();
        let response = self.route(request);
        if response.status().is_client_error() {
            shared.admin_requests_refused.increment();
        }
        response
    }

    fn route<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !is_for_this_machine(request) {
            return text(
                StatusCode::FORBIDDEN,
                "the Host of a request must be localhost or a loopback address\n",
            );
        }
        if request.method() != Method::GET {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.encode());
                response.headers_mut().insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static(metrics::CONTENT_TYPE),
                );
                response
            }
            "/healthz" => match self.metrics.log_failure() {
                None => text(StatusCode::OK, "ok\n"),
                Some(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the log failed\n"),
            },
            "/readyz" => {
                let ready = self.readiness.is_ready();
                let status = if ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                text(status, self.readiness.word())
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "/metrics, /healthz and /readyz are here\n",
            ),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether the one `Host`, and the authority of an absolute request target, name this machine.
fn is_for_this_machine<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let only_one = hosts.next().is_none();
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    only_one && host.is_some_and(is_local_host) && target.is_none_or(is_local_host)
}

/// Whether `host`, with or without a port, is a name or address of this machine alone.
fn is_local_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((address, "")) => address,
            Some((address, port)) if is_port(port) => address,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A colon and digits.
fn is_port(text: &str) -> bool {
    text.strip_prefix(':')
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
