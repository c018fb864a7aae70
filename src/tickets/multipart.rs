//! Owns forms with files (`multipart/form-data`).

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::Attachment;
use crate::hex::hex;

/// A form in the making. Names come from the source code, and file names are plain (see [`Attachment::file_name`]).
#[derive(Default)]
pub(super) struct Form {
    parts: Vec<(String, Bytes)>,
}

impl Form {
    pub(super) fn field(mut self, name: &'static str, value: impl Into<Bytes>) -> Self {
        self.parts.push((format!("form-data; name=\"{name}\"\r\n"), value.into()));
        self
    }

    pub(super) fn file(mut self, name: &'static str, file: &Attachment) -> Self {
        let head = format!(
            "form-data; name=\"{name}\"; filename=\"{}\"\r\nContent-Type: {}\r\n",
            file.file_name, file.content_type
        );
        self.parts.push((head, file.bytes.clone()));
        self
    }

    /// The content type and the body. What separates the parts is made of a hash of all of them, and so is in none.
    pub(super) fn finish(self) -> (String, Vec<u8>) {
        let mut hash = Sha256::new();
        self.parts.iter().for_each(|(_, content)| hash.update(content));
        let boundary = format!("sprachpost-{}", hex(&hash.finalize()[..16]));
        let mut body = Vec::with_capacity(self.parts.iter().map(|(_, content)| content.len() + 256).sum());
        for (head, content) in &self.parts {
            body.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: {head}\r\n").as_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        (format!("multipart/form-data; boundary={boundary}"), body)
    }
}
