//! How an edge proves that it belongs to its origin: with a token, signed anew for each call with a key that both derive
//! from the API secret. No user's or server's token is one.

use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::{Request, Status};
use wire::token::{Claims, TokenKey};

use crate::config::Secret;
use crate::time::unix_seconds;

/// Seconds for which a proof is good: calls are made at once, but hosts' clocks differ.
const GOOD_FOR: i64 = 120;
/// The name of the header.
const HEADER: &str = "authorization";

/// Signs on an edge. `Debug` doesn't show the key.
#[derive(Clone, Debug)]
pub(crate) struct Proof(TokenKey);

impl Proof {
    /// The key of an API secret.
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(TokenKey::new(&format!("throng link v1\0{}", secret.reveal())))
    }

    /// Checks a call on the origin.
    pub(crate) fn check(&self, request: Request<()>) -> Result<Request<()>, Status> {
        let token = request.metadata().get(HEADER).and_then(|token| token.to_str().ok()).unwrap_or_default();
        match self.0.verify(token, unix_seconds()) {
            Ok(claims) if claims.server && claims.exp.is_some() => Ok(request),
            Ok(_) => Err(Status::unauthenticated("this is no edge's proof")),
            Err(_) => Err(Status::unauthenticated("this edge and its origin don't have the same API secret")),
        }
    }
}

impl Interceptor for Proof {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let claims = Claims { exp: Some(unix_seconds() + GOOD_FOR), ..Claims::server() };
        let token = MetadataValue::try_from(self.0.sign(&claims));
        let token = token.map_err(|_| Status::internal("a token has characters that no header may have"))?;
        request.metadata_mut().insert(HEADER, token);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_secret_proves_it_and_no_token_of_the_api_does() {
        let proof = |secret| Proof::new(&Secret::new(secret));
        let proven = proof("a").call(Request::new(())).unwrap();
        assert!(proof("b").check(Request::new(())).is_err());
        let copy = |request: &Request<()>| {
            let mut copied = Request::new(());
            *copied.metadata_mut() = request.metadata().clone();
            copied
        };
        assert!(proof("a").check(copy(&proven)).is_ok());
        assert!(proof("b").check(copy(&proven)).is_err());
        let mut server = Request::new(());
        let token = TokenKey::new("a").sign(&Claims::server());
        server.metadata_mut().insert(HEADER, token.parse().unwrap());
        assert!(proof("a").check(server).is_err());
        assert!(!format!("{:?}", proof("hush")).contains("hush"));
    }
}
