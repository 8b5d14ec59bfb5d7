//! Who the users are, and how they prove it.

use std::path::Path;

use scenarios::Scenario;
use scenarios::model::Tokens;
use wire::token::{Claims, TokenKey};

/// Where ids and tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// Ids by the scenario; tokens signed here.
    Signed(TokenKey),
    /// Both from a file; user i takes line i.
    Listed(Vec<Identity>),
}

/// A user's id and token.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user's id.
    pub user_id: String,
    /// The user's JWT.
    pub token: String,
}

/// Secrets don't belong into logs.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signed(_) => f.write_str("Signed"),
            Self::Listed(list) => write!(f, "Listed({})", list.len()),
        }
    }
}

/// Secrets don't belong into logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// The source that a scenario names. `secret` is the bundled server's.
    ///
    /// # Errors
    /// In words: no secret, or a file that can't be read or has too few lines.
    pub fn open(scenario: &Scenario, secret: &str) -> Result<Self, String> {
        match &scenario.target.tokens {
            Tokens::Secret(own) => Ok(Self::Signed(TokenKey::new(own))),
            Tokens::Bundled if secret.is_empty() => Err("there is no secret to sign user tokens with: \
                name one in the scenario (target.tokens) or start the run with the bundled server"
                .into()),
            Tokens::Bundled => Ok(Self::Signed(TokenKey::new(secret))),
            Tokens::Csv(path) => read(path, scenario.users()).map(Self::Listed),
        }
    }

    /// A user's id and token. Users beyond a list have none of their own; [`TokenSource::open`] saw to it that none is.
    pub fn identity(&self, scenario: &Scenario, user: u64) -> Identity {
        match self {
            Self::Signed(key) => {
                let user_id = scenario.user_id(user);
                let token = key.sign(&Claims::user(user_id.as_str()));
                Identity { user_id, token }
            }
            Self::Listed(list) => usize::try_from(user)
                .ok()
                .and_then(|line| list.get(line).cloned())
                .unwrap_or_else(|| Identity { user_id: scenario.user_id(user), token: String::new() }),
        }
    }
}

fn read(path: &Path, users: u64) -> Result<Vec<Identity>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| format!("the tokens' file {name} can't be read: {e}"))?;
    let mut list = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let found = line.split_once(',').map(|(id, token)| (id.trim(), token.trim()));
        match found {
            // A heading.
            Some(("user_id", "token")) if list.is_empty() => {}
            Some((id, token)) if !id.is_empty() && !token.is_empty() => {
                list.push(Identity { user_id: id.to_owned(), token: token.to_owned() });
            }
            _ => return Err(format!("{name}, line {}: expected `user_id,token`", number + 1)),
        }
    }
    let have = list.len() as u64;
    if have < users {
        return Err(format!(
            "{name} has tokens for {have} users, the scenario has {users}: {} are missing",
            users - have
        ));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("throng-tokens-{}-{name}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_list_is_read_and_counted() {
        let good = file("good", "user_id,token\nann, a.b.c\n\nbob,d.e.f\n");
        let list = read(&good, 2).unwrap();
        assert_eq!((list[1].user_id.as_str(), list[1].token.as_str()), ("bob", "d.e.f"));
        assert!(read(&good, 3).unwrap_err().contains("1 are missing"));
        let bad = file("bad", "ann,a\nbob\n");
        assert!(read(&bad, 1).unwrap_err().contains("line 2"));
        assert!(!format!("{list:?}").contains("d.e.f"));
        for path in [good, bad] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
