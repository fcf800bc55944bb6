//! How a request gets to the collector: http/protobuf or grpc. A connection lasts for a burst of requests, and is
//! closed after it: spans are rare, and an idle connection costs both sides.

use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use rustls::ClientConfig;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};

use super::super::client::{self, USER_AGENT, chain};
use super::verdict::{self, Answer};
use super::{OtlpError, tls};
use crate::config::{Compression, Otlp, Protocol};

/// The most of an answer that is read, bytes.
const ANSWER: usize = 64 << 10;

/// A way to the collector.
#[derive(Debug)]
pub(super) enum Transport {
    Http(Box<Http>),
    Grpc(Box<Grpc>),
}

impl Transport {
    /// Prepares the way; nothing is connected. `None` where nothing is to be exported.
    pub(super) fn new(otlp: &Otlp) -> Result<Option<Self>, OtlpError> {
        let Some(target) = otlp.target() else { return Ok(None) };
        let uri = target.url(otlp.protocol).map_err(|error| OtlpError::Endpoint(error.to_string()))?;
        let tls = if target.is_tls() {
            tls::config(otlp)?
        } else {
            client::trusting_nobody().map_err(tls::fail)?
        };
        let headers: HeaderMap =
            otlp.headers.iter().map(|(name, value)| (name.clone(), value.value())).collect();
        let gzip = otlp.compression == Compression::Gzip;
        Ok(Some(match otlp.protocol {
            Protocol::HttpProtobuf => Self::Http(Box::new(Http { uri, headers, gzip, tls, client: None })),
            Protocol::Grpc => {
                let endpoint = Endpoint::from(uri)
                    .user_agent(USER_AGENT)
                    .map_err(|error| OtlpError::Endpoint(chain(&error)))?;
                Self::Grpc(Box::new(Grpc { endpoint, headers, gzip, tls, channel: None }))
            }
        }))
    }

    /// Sends a request and says what became of it. It waits for as long as the collector has it wait.
    pub(super) async fn send(&mut self, request: ExportTraceServiceRequest) -> Answer {
        match self {
            Self::Http(http) => http.send(&request).await,
            Self::Grpc(grpc) => grpc.send(request).await,
        }
    }

    /// Closes the connection; the next request makes a new one.
    pub(super) fn rest(&mut self) {
        match self {
            Self::Http(http) => http.client = None,
            Self::Grpc(grpc) => grpc.channel = None,
        }
    }
}

/// Protobuf in HTTP/1.1 requests.
#[derive(Debug)]
pub(super) struct Http {
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
    /// Never asked for where the collector is spoken to in the clear.
    tls: ClientConfig,
    client: Option<client::Client>,
}

impl Http {
    async fn send(&mut self, message: &ExportTraceServiceRequest) -> Answer {
        let request = match self.request(message) {
            Ok(request) => request,
            Err(why) => return Answer::Misconfigured(why),
        };
        let sender = self.client.get_or_insert_with(|| client::http1(self.tls.clone()));
        let response = match sender.request(request).await {
            Ok(response) => response,
            Err(error) => return unreachable_now(&error),
        };
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER).collect().await;
        if !parts.status.is_success() {
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            return verdict::http(parts.status, &parts.headers, &body);
        }
        if verdict::is_page(&parts.headers) {
            return Answer::Misconfigured("a web page came back: this is no OTLP endpoint".to_owned());
        }
        match body.map(|body| ExportTraceServiceResponse::decode(body.to_bytes())) {
            Ok(Ok(response)) => taken(response.partial_success),
            // It said that all is well; some say it in JSON.
            Ok(Err(_)) => taken(None),
            Err(error) => unreachable_now(error.as_ref()),
        }
    }

    fn request(&self, message: &ExportTraceServiceRequest) -> Result<Request<Full<Bytes>>, String> {
        let body = message.encode_to_vec();
        let body = if self.gzip { gzip(&body).map_err(|error| error.to_string())? } else { body };
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if self.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Ok(request)
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Level::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// gRPC over HTTP/2.
#[derive(Debug)]
pub(super) struct Grpc {
    endpoint: Endpoint,
    headers: HeaderMap,
    gzip: bool,
    /// Never asked for where the collector is spoken to in the clear.
    tls: ClientConfig,
    channel: Option<Channel>,
}

impl Grpc {
    async fn send(&mut self, message: ExportTraceServiceRequest) -> Answer {
        let channel = match self.channel.clone() {
            Some(channel) => channel,
            None => match self.connect().await {
                Ok(channel) => self.channel.insert(channel).clone(),
                Err(error) => return unreachable_now(&error),
            },
        };
        let mut client = TraceServiceClient::new(channel)
            .max_decoding_message_size(ANSWER)
            .accept_compressed(CompressionEncoding::Gzip);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        match client.export(request).await {
            Ok(response) => taken(response.into_inner().partial_success),
            Err(status) => match Error::source(&status) {
                // No answer: the connection broke.
                Some(source) if source.is::<tonic::transport::Error>() => unreachable_now(source),
                _ => verdict::grpc(&status),
            },
        }
    }

    async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        let connector = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_or_http();
        self.endpoint.connect_with_connector(connector.enable_http2().build()).await
    }
}

fn taken(partial: Option<ExportTracePartialSuccess>) -> Answer {
    let partial = partial.unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_spans).unwrap_or(0);
    Answer::Taken { rejected, message: client::line(&partial.error_message) }
}

fn unreachable_now(error: &(dyn Error + 'static)) -> Answer {
    Answer::Later { why: client::line(&chain(error)), after: None }
}
