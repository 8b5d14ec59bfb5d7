//! What a synthetic run says of single events.

use reports::RunResult;
use reports::result::{ByEvent, EVENTS_VERSION, Example, Examples, MessageCounts, MissedEvent};

/// 37 lost ones, and which.
pub(super) fn misses(result: &mut RunResult) {
    let lost = |user: u64, number: u64, last_number: u64, message: Option<&str>| Example {
        user,
        user_id: format!("fans-{user:04}"),
        channel: "livestream:lobby".into(),
        number,
        last_number,
        at_s: 58.2,
        message: message.map(str::to_owned),
        sent_s: message.map(|_| 41.3),
    };
    result.examples = Examples {
        version: EVENTS_VERSION,
        lost: vec![lost(412, 812, 814, Some("quickstart-7-0-811")), lost(413, 812, 812, None)],
        duplicated: vec![lost(9, 40, 40, Some("quickstart-7-0-39"))],
        reordered: vec![lost(17, 41, 44, Some("quickstart-7-0-40"))],
    };
    let missed = |number: u64, missed: u64, message: Option<&str>| MissedEvent {
        channel: "livestream:lobby".into(),
        number,
        expected: 5_000,
        missed,
        message: message.map(str::to_owned),
        sent_s: message.map(|_| 41.3),
    };
    let all = result.completeness;
    result.by_event = ByEvent {
        version: EVENTS_VERSION,
        events: 900,
        expected: all.expected,
        lost: all.lost,
        events_missed: 3,
        messages: MessageCounts {
            messages: 900,
            expected: all.expected,
            delivered: all.delivered,
            receipts: all.delivered - 2,
            aside: 2,
            differing: 0,
        },
        agrees: Some(true),
        most_missed: vec![missed(812, 35, Some("quickstart-7-0-811")), missed(813, 1, None), missed(814, 1, None)],
        ..ByEvent::default()
    };
}
