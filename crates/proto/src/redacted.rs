//! What messages that carry secrets show of themselves: names, sizes, and no values. They have no other `Debug`.

use std::fmt::{Debug, Formatter, Result};

use crate::control::{Instance, Scenario, Target};
use crate::link::{CallRequest, Header};

/// Something that is there and not shown.
struct Hidden;

impl Debug for Hidden {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("…")
    }
}

/// Flags without their values.
fn keys(overrides: &[String]) -> Vec<&str> {
    overrides.iter().map(|flag| flag.split_once('=').map_or("…", |(key, _)| key)).collect()
}

impl Debug for Scenario {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Scenario")
            .field("file_name", &self.file_name)
            .field("source", &format_args!("{} bytes", self.source.len()))
            .field("overrides", &keys(&self.overrides))
            .field("variables", &self.variables.keys())
            .field("base_dir", &self.base_dir)
            .finish()
    }
}

impl Debug for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("Target")
            .field("urls", &self.urls)
            .field("api_key", &Hidden)
            .field("api_secret", &Hidden)
            .field("bundled", &self.bundled)
            .field("ca", &format_args!("{} bytes", self.ca.len()))
            .finish()
    }
}

impl Debug for Instance {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_tuple("Instance").field(&Hidden).finish()
    }
}

impl Debug for CallRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        // A query may have a user's token, and so may headers.
        let path = self.path_and_query.split('?').next().unwrap_or_default();
        f.debug_struct("CallRequest")
            .field("method", &self.method)
            .field("path", &path)
            .field("headers", &self.headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("edge", &self.edge)
            .field("mark", &self.mark)
            .finish_non_exhaustive()
    }
}

impl Debug for Header {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}: {:?}", self.name, Hidden)
    }
}

#[cfg(test)]
mod tests {
    use crate::control::{AgentOrder, Prepare, Scenario, SubmitRequest, Target, agent_order::Order};
    use crate::link::{CallRequest, Header};

    #[test]
    fn no_message_shows_a_secret_however_deep_it_is() {
        let scenario = Scenario {
            file_name: "s.yaml".into(),
            source: "tokens: { secret: hush }".into(),
            overrides: vec!["target.tokens.secret=hush".into(), "hush".into()],
            variables: [("CHAT_SECRET".to_owned(), "hush".to_owned())].into(),
            ..Scenario::default()
        };
        let target = Target { api_key: "hush".into(), api_secret: "hush".into(), ..Target::default() };
        let (scenario, target) = (Some(scenario), Some(target));
        let submit = SubmitRequest { scenario: scenario.clone(), target: target.clone(), ..SubmitRequest::default() };
        let prepare = Prepare { scenario, target, ..Prepare::default() };
        let order = AgentOrder { order: Some(Order::Prepare(prepare)) };
        let call = CallRequest {
            path_and_query: "/connect?authorization=hush".into(),
            headers: vec![Header { name: "authorization".into(), value: "hush".into() }],
            body: "hush".into(),
            ..CallRequest::default()
        };
        let shown = format!("{submit:?} {order:?} {call:?} {submit:#?}");
        assert!(!shown.contains("hush"), "{shown}");
        // Bytes would be shown as numbers, or escaped.
        assert!(!shown.contains("104, 117"), "{shown}");
        for name in ["s.yaml", "24 bytes", "target.tokens.secret", "CHAT_SECRET", "/connect", "authorization"] {
            assert!(shown.contains(name), "{name}: {shown}");
        }
    }
}
