//! Who calls.

use wire::ApiError;
use wire::token::Claims;

use crate::app::App;
use crate::failure;
use crate::time::unix_seconds;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A user, by a token that names him.
    User(String),
    /// A backend, by a server's token; it may act for any user.
    Server,
}

impl App {
    /// Checks an API key and a token.
    pub(crate) fn authenticate(&self, api_key: Option<&str>, token: Option<&str>) -> Result<Caller, ApiError> {
        if api_key != Some(self.config.api_key.as_str()) {
            return Err(failure::access_key());
        }
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| failure::auth("a token is missing: send it in the Authorization header"))?;
        let token = token.strip_prefix("Bearer ").unwrap_or(token);
        let Claims { user_id, .. } = self.tokens.verify(token, unix_seconds())?;
        Ok(user_id.filter(|id| !id.is_empty()).map_or(Caller::Server, Caller::User))
    }
}
