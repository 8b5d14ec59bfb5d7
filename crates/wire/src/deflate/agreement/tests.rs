//! Offers and answers as the RFC has them, and as it doesn't.

use super::*;

const SMALL: Direction = Direction { context_takeover: false, window_bits: 10 };

fn chosen(offer: &str) -> Option<String> {
    Agreement::choose([offer], &Agreement::FULL).map(|(_, answer)| answer)
}

#[test]
fn offers_are_answered() {
    for (offer, answer) in [
        ("permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
        ("permessage-deflate;client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
        ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
        ("permessage-deflate; server_max_window_bits=\"10\"", "permessage-deflate; server_max_window_bits=10"),
        ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
        ("permessage-deflate ; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"),
        ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
        // The first can't be served, the second can.
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", "permessage-deflate"),
        ("permessage-deflate; x=\"1\", permessage-deflate", "permessage-deflate"),
    ] {
        assert_eq!(chosen(offer).as_deref(), Some(answer), "{offer}");
    }
    let two = Agreement::choose(["other", "permessage-deflate"], &Agreement::FULL);
    assert_eq!(two, Some((Agreement::FULL, "permessage-deflate".to_owned())), "two headers are one list");
}

#[test]
fn bad_offers_are_declined() {
    for offer in [
        "",
        "permessage-bzip2",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; server_max_window_bits=300",
        "permessage-deflate; client_max_window_bits=\"\"",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
        "permessage-deflate; unknown",
        "permessage-deflate;",
        "permessage-deflate; =9",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate; client_max_window_bits=\"9",
        "permessage-deflate; client_max_window_bits=\"a b\"",
        "@, permessage-deflate",
    ] {
        assert_eq!(chosen(offer), None, "{offer}");
    }
}

#[test]
fn a_server_says_what_it_does_not_allow() {
    let allows = Agreement { from_server: SMALL, from_client: SMALL };
    let (agreed, answer) = Agreement::choose(["permessage-deflate; client_max_window_bits"], &allows).unwrap();
    assert_eq!(
        answer,
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; \
         client_max_window_bits=10"
    );
    assert_eq!(agreed, allows);
    let (agreed, answer) = Agreement::choose(["permessage-deflate"], &allows).unwrap();
    assert!(!answer.contains("client_max"), "who doesn't offer it can't be told to: {answer}");
    assert_eq!(agreed.from_client, Direction::ALONE);
}

#[test]
fn what_a_client_offers_is_agreed_to() {
    for from_server in [Direction::FULL, Direction::ALONE, SMALL] {
        for from_client in [Direction::FULL, Direction::ALONE, SMALL] {
            for allows in [Agreement::FULL, Agreement { from_server: SMALL, from_client: Direction::ALONE }] {
                let offered = Agreement { from_server, from_client };
                let (chosen, answer) = Agreement::choose([offered.offer().as_str()], &allows).unwrap();
                assert_eq!(offered.agree([answer.as_str()]), Ok(Some(chosen)), "{} -> {answer}", offered.offer());
            }
        }
    }
    assert_eq!(Agreement::FULL.agree([]), Ok(None));
}

#[test]
fn answers_that_were_not_offered_fail() {
    let small = Agreement { from_server: SMALL, from_client: SMALL };
    for (offered, answer) in [
        (Agreement::FULL, "permessage-bzip2"),
        (Agreement::FULL, "permessage-deflate, permessage-deflate"),
        (Agreement::FULL, "permessage-deflate; client_max_window_bits"),
        (Agreement::FULL, "permessage-deflate; server_max_window_bits=16"),
        (Agreement::FULL, "permessage-deflate; unknown=1"),
        (Agreement::FULL, "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9"),
        (Agreement::FULL, "permessage-deflate ;"),
        (small, "permessage-deflate"),
        (small, "permessage-deflate; server_no_context_takeover"),
        (small, "permessage-deflate; server_no_context_takeover; server_max_window_bits=11"),
        (small, "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=11"),
    ] {
        assert!(offered.agree([answer]).is_err(), "{answer}");
    }
}
