//! The requests of object stores, by the agent that all requests of xpipe share: its certificates, proxies and time-outs.
//! The library asks for them asynchronously; each is carried out at once on the thread that asks.

use std::collections::VecDeque;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue};
use ureq::{Agent, SendBody, Timeout};
use xpipe_engine::net;

/// Bytes of an answer that are read at once.
const PIECE: usize = 256 << 10;

/// Makes the clients of object stores.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transport {
    /// Sent with every request: for servers without a scheme of signatures.
    pub(crate) authorization: Option<HeaderValue>,
}

impl HttpConnector for Transport {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let http = options.get_config_value(&ClientConfigKey::AllowHttp).is_some_and(|v| v == "true");
        let agent = net::agent()
            .https_only(!http)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .timeout_per_write(Some(Duration::from_secs(60)))
            .timeout_recv_response(Some(Duration::from_secs(120)))
            .max_idle_connections_per_host(16)
            .build()
            .new_agent();
        Ok(HttpClient::new(Requests { agent, authorization: self.authorization.clone() }))
    }
}

/// Carries out requests.
#[derive(Debug)]
struct Requests {
    agent: Agent,
    authorization: Option<HeaderValue>,
}

#[async_trait::async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.carry_out(request)
    }
}

impl Requests {
    fn carry_out(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (mut head, body) = request.into_parts();
        let length = body.content_length();
        let has_body = length > 0 || matches!(head.method.as_str(), "PUT" | "POST");
        if has_body {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if let Some(value) = &self.authorization {
            head.headers.insert(AUTHORIZATION, value.clone());
        }
        let pieces = Pieces(pieces(body)?);
        let body = if has_body { SendBody::from_owned_reader(pieces) } else { SendBody::none() };
        let answer = self.agent.run(ureq::http::Request::from_parts(head, body)).map_err(|e| told(&e))?;
        let (head, body) = answer.into_parts();
        let size = body.content_length();
        let reader = body.into_with_config().limit(u64::MAX).reader();
        let body = Answer { reader: Mutex::new(Some(Box::new(reader))), size };
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

/// The pieces of the body of a request, which are all there.
fn pieces(body: impl Body<Data = Bytes, Error = HttpError>) -> Result<VecDeque<Bytes>, HttpError> {
    let mut body = Box::pin(body);
    let mut pieces = VecDeque::new();
    let mut context = Context::from_waker(Waker::noop());
    // The body of a request is never pending: it is in memory.
    while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
        if let Ok(data) = frame?.into_data() {
            pieces.push_back(data);
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(pieces)
}

struct Pieces(VecDeque<Bytes>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while let Some(first) = self.0.front_mut() {
            if first.is_empty() {
                self.0.pop_front();
                continue;
            }
            let n = first.len().min(into.len());
            into[..n].copy_from_slice(&first.split_to(n));
            return Ok(n);
        }
        Ok(0)
    }
}

/// The body of an answer, read where it is asked for.
struct Answer {
    /// `None` at its end.
    reader: Mutex<Option<Box<dyn Read + Send>>>,
    size: Option<u64>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reader) = slot.as_mut() else { return Poll::Ready(None) };
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while filled < PIECE {
            match reader.read(&mut piece[filled..]) {
                Ok(0) => {
                    *slot = None;
                    break;
                }
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => {
                    *slot = None;
                    let kind = match e.kind() {
                        std::io::ErrorKind::TimedOut => HttpErrorKind::Timeout,
                        _ => HttpErrorKind::Interrupted,
                    };
                    return Poll::Ready(Some(Err(HttpError::new(kind, e))));
                }
            }
        }
        piece.truncate(filled);
        Poll::Ready((filled > 0).then(|| Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.size.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

/// An error of a request, with whether it may be tried again.
fn told(error: &ureq::Error) -> HttpError {
    use std::io::ErrorKind as K;
    if let Some(permanent) = net::permanent(error) {
        let text = format!("{} ({})", permanent.why, permanent.help);
        return HttpError::new_boxed(HttpErrorKind::Unknown, text.into());
    }
    let kind = match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => HttpErrorKind::Connect,
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => HttpErrorKind::Connect,
        ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
        ureq::Error::Io(e) => match e.kind() {
            K::ConnectionRefused | K::HostUnreachable | K::NetworkUnreachable => HttpErrorKind::Connect,
            K::TimedOut => HttpErrorKind::Timeout,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
                HttpErrorKind::Interrupted
            }
            _ => HttpErrorKind::Unknown,
        },
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new_boxed(kind, error.to_string().into())
}
