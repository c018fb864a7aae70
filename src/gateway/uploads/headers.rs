//! Owns what the tus protocol writes into headers: what is known about an upload, and checksums of pieces.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::gateway::upload::Fields;

/// What clients say of their own accord about a file, and nobody here asks for.
const OF_CLIENTS: [&str; 6] = ["filename", "filetype", "name", "type", "relativePath", "size"];

/// `Upload-Metadata`: pairs of a name and its value in base64, separated by commas; the names are those of the
/// parameters of `POST /v1/notes`. None if it is not that.
pub(super) fn metadata(header: &[u8]) -> Option<Fields> {
    let mut fields = serde_json::Map::new();
    let text = std::str::from_utf8(header).ok()?;
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
        if OF_CLIENTS.contains(&name) {
            continue;
        }
        let value = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        if fields.insert(name.to_owned(), value.into()).is_some() {
            return None;
        }
    }
    serde_json::from_value(fields.into()).ok()
}

/// What a piece has to be.
#[derive(Debug, PartialEq)]
pub(super) enum Checksum {
    Sha1(Vec<u8>),
    Sha256(Vec<u8>),
}

impl Checksum {
    /// `Upload-Checksum`: an algorithm and the checksum in base64. None if it is not that.
    pub(super) fn read(header: &[u8]) -> Option<Self> {
        let (algorithm, encoded) = std::str::from_utf8(header).ok()?.split_once(' ')?;
        let bytes = BASE64_STANDARD.decode(encoded).ok()?;
        match (algorithm, bytes.len()) {
            ("sha1", 20) => Some(Self::Sha1(bytes)),
            ("sha256", 32) => Some(Self::Sha256(bytes)),
            _ => None,
        }
    }
}

/// A checksum in the making.
pub(super) enum Digesting {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Digesting {
    pub(super) fn begin(wanted: &Checksum) -> Self {
        match wanted {
            Checksum::Sha1(_) => Self::Sha1(Sha1::new()),
            Checksum::Sha256(_) => Self::Sha256(Sha256::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn is(self, wanted: &Checksum) -> bool {
        match (self, wanted) {
            (Self::Sha1(hash), Checksum::Sha1(wanted)) => hash.finalize()[..] == wanted[..],
            (Self::Sha256(hash), Checksum::Sha256(wanted)) => hash.finalize()[..] == wanted[..],
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_the_fields_of_an_upload_and_what_clients_add_is_left_out() {
        let fields = metadata(b"tenant bXVzdGVyc3Ryb20=,message_id MQ==, filename w6QucG5n,type").unwrap();
        assert_eq!(fields.tenant.unwrap().as_str(), "musterstrom");
        assert_eq!(fields.message_id.as_deref(), Some("1"));
        assert!(metadata(b"").unwrap().tenant.is_none());
        for bad in
            [&b"tenant !"[..], b"unknown MQ==", b"tenant QSM=", b"tenant MQ==,tenant MQ==", b"tenant /w==", b"\xff"]
        {
            assert!(metadata(bad).is_none(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn a_checksum_is_one_of_two_kinds_and_of_the_right_length() {
        let checksum = Checksum::read(b"sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=").unwrap();
        let mut digest = Digesting::begin(&checksum);
        digest.update(b"hel");
        digest.update(b"lo");
        assert!(digest.is(&checksum));
        for bad in
            [&b"sha1"[..], b"sha1 qvTG", b"md5 qvTGHdzF6KLavt4PO0gs2a6pQ00=", b"sha256 qvTGHdzF6KLavt4PO0gs2a6pQ00="]
        {
            assert_eq!(Checksum::read(bad), None);
        }
    }
}
