//! The service under test.

use std::path::Path;

use super::Check;
use crate::model::{TargetSpec, Tokens};

impl Check<'_> {
    pub(super) fn target(&mut self, base_dir: &Path) -> TargetSpec {
        let Some(target) = self.file.target.get() else {
            self.vague |= self.file.target.given;
            return TargetSpec::default();
        };
        let refused = target.urls.given && target.urls.get().is_none_or(|list| list.partial);
        self.vague |= refused || (target.url.given && target.url.get().is_none());
        if target.url.given && target.urls.given {
            self.error(target.urls.key, "the target has both `url` and `urls`", "keep one of them");
        }
        if target.urls.get().is_some_and(|list| list.items.is_empty() && !list.partial) {
            self.error(
                target.urls.span,
                "`urls` is empty",
                "name at least one address, or leave `urls` out for the bundled server",
            );
        }
        if target.api_key.given && !target.url.given && !target.urls.given {
            let hint = "add its `url`; the bundled server has a key of its own";
            self.error(target.api_key.key, "`api_key` is for a server of your own, and none is named", hint);
        }
        if target.ca.given && !target.url.given && !target.urls.given {
            let hint = "add its `url`; the bundled server is reached without TLS";
            self.error(target.ca.key, "`ca` is for a server of your own, and none is named", hint);
        }
        let url = target.url.get().into_iter();
        let urls = target.urls.get().into_iter().flat_map(|list| list.items.iter().map(|item| &item.value));
        let tokens = target.tokens.get().map_or(Tokens::Bundled, |tokens| {
            let secret = tokens.secret.get().map(|secret| Tokens::Secret(secret.0.clone()));
            let csv = tokens.csv.get().map(|path| Tokens::Csv(base_dir.join(&path.0)));
            secret.or(csv).unwrap_or_default()
        });
        TargetSpec {
            urls: url.chain(urls).map(|address| address.0.clone()).collect(),
            api_key: target.api_key.get().map(|key| key.0.clone()),
            ca: target.ca.get().map(|path| base_dir.join(&path.0)),
            tokens,
        }
    }
}
