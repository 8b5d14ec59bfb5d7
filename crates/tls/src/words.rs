//! What went wrong between two processes, in words that say who should do what.

use std::error::Error;
use std::io;

use jiff::tz::TimeZone;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// How rustls begins to say that the other end refused us.
const ALERT: &str = "received fatal alert: ";
/// With what the other end refuses a certificate (RFC 8446 §6.2), or the lack of one.
const OF_TRUST: [AlertDescription; 7] = [
    AlertDescription::CertificateRequired,
    AlertDescription::BadCertificate,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::UnknownCA,
    AlertDescription::DecryptError,
];

/// An error with its causes. What TLS has to say comes in our words, and then alone.
pub fn explain(error: &(dyn Error + 'static)) -> String {
    if let Some(tls) = tls_error(error) {
        return of_tls(&tls);
    }
    // What a status says of itself is for programmers.
    let status = error.downcast_ref::<tonic::Status>();
    let mut text = status.map_or_else(|| error.to_string(), |status| status.message().to_owned());
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        // Layers repeat each other.
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether it failed for somebody's certificate: then trying again is of no use before somebody mends that.
pub fn is_about_trust(error: &(dyn Error + 'static)) -> bool {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => true,
        Some(rustls::Error::AlertReceived(alert)) => OF_TRUST.contains(&alert),
        _ => false,
    }
}

/// An error and what is below it, including what `io::Error` carries and doesn't name as its source.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// What went wrong in TLS. The HTTP/2 library keeps of it nothing but its text.
fn tls_error(error: &(dyn Error + 'static)) -> Option<rustls::Error> {
    let typed = causes(error).find_map(|cause| cause.downcast_ref().cloned());
    typed.or_else(|| {
        let said = causes(error).find_map(|cause| cause.to_string().strip_prefix(ALERT).map(str::to_owned))?;
        OF_TRUST.into_iter().find(|alert| format!("{alert:?}") == said).map(rustls::Error::AlertReceived)
    })
}

fn of_tls(error: &rustls::Error) -> String {
    use AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(invalid) => of_certificate(invalid),
        rustls::Error::NoCertificatesPresented => {
            "it shows no certificate: give it --tls-cert and --tls-key".to_owned()
        }
        rustls::Error::AlertReceived(Alert::CertificateRequired) => {
            "it wants a certificate of ours: give --tls-cert and --tls-key".to_owned()
        }
        rustls::Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError) => {
            "it does not know the CA of our certificate: both sides need certificates of one CA".to_owned()
        }
        rustls::Error::AlertReceived(Alert::CertificateExpired) => {
            "to it our certificate has ended: make another with `throng certs`, or set the clocks".to_owned()
        }
        rustls::Error::AlertReceived(alert) => format!("it refuses our TLS ({alert:?})"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS: one side has --tls-ca, --tls-cert and --tls-key, and the other does not".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

fn of_certificate(invalid: &CertificateError) -> String {
    match invalid {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not of our CA (--tls-ca): both sides need certificates of one CA".to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate ended on {}: make another with `throng certs`, or set the clocks", day(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate counts from {} on: are both hosts' clocks right?", day(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let name = expected.to_str();
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            let names = names.join(", ");
            format!(
                "its certificate is for {names}, and not for {name}: dial one of these, or make it one with \
                 `throng certs --host NAME={name}`"
            )
        }
        other => format!("its certificate is no good: {other}"),
    }
}

/// `DnsName("a")` or `IpAddress(10.0.0.1)`, as rustls shows a name, as people write it.
fn plain(shown: &str) -> &str {
    let inner = shown.split_once('(').map_or(shown, |(_, rest)| rest.trim_end_matches(')'));
    inner.trim_matches('"')
}

/// An instant's day, in UTC.
pub(crate) fn day(time: UnixTime) -> String {
    let second = i64::try_from(time.as_secs()).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    second.map_or_else(|| "a day unknown".to_owned(), |second| second.to_zoned(TimeZone::UTC).date().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_understood_however_deep_it_is() {
        let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        let typed = io::Error::new(io::ErrorKind::InvalidData, alert.clone());
        // What is left of it after HTTP/2.
        let text = io::Error::new(io::ErrorKind::InvalidData, alert.to_string());
        for error in [typed, text] {
            assert!(is_about_trust(&error), "{error:?}");
            assert!(explain(&error).contains("does not know the CA of our certificate"), "{}", explain(&error));
        }
    }

    #[test]
    fn other_errors_are_told_once_with_their_causes() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(explain(&refused), "connection refused");
        assert_eq!(explain(&tonic::Status::not_found("there is no run")), "there is no run");
        assert!(!is_about_trust(&refused));
    }

    #[test]
    fn a_name_that_a_certificate_lacks_is_named() {
        let error = rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: "b.internal".try_into().expect("a name"),
            presented: vec!["DnsName(\"a.internal\")".to_owned(), "IpAddress(10.0.0.1)".to_owned()],
        });
        let text = explain(&io::Error::other(error));
        assert!(text.contains("is for a.internal, 10.0.0.1, and not for b.internal"), "{text}");
    }
}
