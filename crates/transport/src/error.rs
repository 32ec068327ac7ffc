use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// The same error with what to do about it. `authorities` is the option that names whom we trust.
pub fn explained(e: &Error, authorities: &str) -> io::Error {
    let why = match e {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnsupportedCompression | InvalidMessage::UnknownProtocolVersion,
        ) => {
            format!("what the peer sends is not TLS: set `tls = true` there, or `false` here ({e})")
        }
        Error::NoCertificatesPresented => format!("the peer shows no certificate, but has to (option `{authorities}`)"),
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("the peer's certificate is signed by no authority that is trusted here (option `{authorities}`)")
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the peer's certificate has expired: it has to renew it".to_string()
        }
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            format!("the peer's certificate is for another name (option `tls_server_name`): {e}")
        }
        Error::InvalidCertificate(_) => format!("the peer's certificate is refused: {e}"),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the peer asks for a certificate (options `tls_cert` and `tls_key`)".to_string()
        }
        Error::AlertReceived(
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::DecryptError,
        ) => format!("the peer refuses our certificate (option `tls_cert`): {e}"),
        _ => e.to_string(),
    };
    io::Error::new(io::ErrorKind::InvalidData, why)
}
