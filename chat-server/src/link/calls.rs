//! Requests that edges pass on: they go through the origin's own router, so that what is allowed, how often, and what goes
//! wrong is the same as without an edge.

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt as _;
use proto::link::{CallReply, CallRequest, Header};
use tonic::Status;
use tower::ServiceExt as _;

/// Paths that make sense only where the connection is.
const LOCAL: [&str; 3] = ["/connect", "/longpoll", "/stats"];

/// Answers a request.
pub(super) async fn answer(router: &Router, call: CallRequest) -> Result<CallReply, Status> {
    let request = read(call)?;
    if LOCAL.contains(&request.uri().path()) {
        return Err(Status::invalid_argument("connections are the edge's own"));
    }
    let response = match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| Status::internal("an answer could not be collected"))?.to_bytes();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| Header {
        name: name.as_str().to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    });
    Ok(CallReply { status: u32::from(parts.status.as_u16()), headers: headers.collect(), body })
}

fn read(call: CallRequest) -> Result<Request<Body>, Status> {
    let wrong = |what: &str| Status::invalid_argument(format!("a call has a {what} that HTTP doesn't know"));
    let mut request = Request::new(Body::from(call.body));
    *request.method_mut() = Method::from_bytes(call.method.as_bytes()).map_err(|_| wrong("method"))?;
    *request.uri_mut() = call.path_and_query.parse::<Uri>().map_err(|_| wrong("path"))?;
    for Header { name, value } in call.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("header"))?;
        let value = HeaderValue::from_bytes(&value).map_err(|_| wrong("header"))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}
