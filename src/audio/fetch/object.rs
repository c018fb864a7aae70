//! Owns addresses in the operator's object store: which bucket and key a note may name, and the signature.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action as _, UrlStyle};
use secrecy::ExposeSecret as _;
use url::Url;

use super::{FetchError, ObjectStoreConfig, SetupError};

/// A signed address is used at once; clocks differ.
const SIGNATURE_HOLDS: Duration = Duration::from_mins(5);

pub(super) struct Store {
    buckets: Vec<Bucket>,
    credentials: Credentials,
}

impl Store {
    pub(super) fn new(config: &ObjectStoreConfig) -> Result<Self, SetupError> {
        let endpoint = &config.endpoint;
        if endpoint.query().is_some() || endpoint.fragment().is_some() || !endpoint.username().is_empty() {
            return Err(SetupError::Endpoint);
        }
        let bucket = |name: &String| {
            Bucket::new(endpoint.clone(), UrlStyle::Path, name.clone(), config.region.clone())
                .map_err(|_| SetupError::Endpoint)
        };
        let [access_key, secret_key] = [config.access_key.read()?, config.secret_key.read()?];
        Ok(Self {
            buckets: config.buckets.iter().map(bucket).collect::<Result<_, _>>()?,
            credentials: Credentials::new(access_key.expose_secret(), secret_key.expose_secret()),
        })
    }

    /// A signed address to read from, that anybody could use for a few minutes: it must never be shown.
    pub(super) fn address(&self, bucket: &str, key: &str) -> Result<Url, FetchError> {
        let bucket = self.bucket(bucket, key)?;
        Self::inside(bucket, bucket.get_object(Some(&self.credentials), key).sign(SIGNATURE_HOLDS))
    }

    /// The same to write to.
    pub(super) fn address_to_write(&self, bucket: &str, key: &str) -> Result<Url, FetchError> {
        let bucket = self.bucket(bucket, key)?;
        Self::inside(bucket, bucket.put_object(Some(&self.credentials), key).sign(SIGNATURE_HOLDS))
    }

    fn bucket(&self, bucket: &str, key: &str) -> Result<&Bucket, FetchError> {
        let Some(bucket) = self.buckets.iter().find(|allowed| allowed.name() == bucket) else {
            return Err(FetchError::Forbidden { why: "its bucket is not one of fetch.object_store.buckets" });
        };
        // Such a key would be resolved like a path, out of the bucket.
        if key.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(FetchError::Forbidden { why: "its key is no key of an object" });
        }
        Ok(bucket)
    }

    fn inside(bucket: &Bucket, url: Url) -> Result<Url, FetchError> {
        if url.as_str().starts_with(bucket.base_url().as_str()) {
            Ok(url)
        } else {
            Err(FetchError::Forbidden { why: "its key is no key of an object" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn store() -> Store {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("{name}-value")).unwrap();
            Secret::File(path)
        };
        Store::new(&ObjectStoreConfig {
            endpoint: "https://s3.example.com".parse().unwrap(),
            region: "eu-central-1".to_owned(),
            buckets: vec!["voice-notes".to_owned()],
            access_key: key("access"),
            secret_key: key("secret"),
        })
        .unwrap()
    }

    #[test]
    fn an_address_is_signed_and_does_not_show_the_secret() {
        let url = store().address("voice-notes", "2026/11/a note.ogg").unwrap();
        assert!(url.as_str().starts_with("https://s3.example.com/voice-notes/2026/11/a%20note.ogg?"), "{url}");
        assert!(url.query_pairs().any(|(name, value)| name == "X-Amz-Signature" && value.len() == 64));
        assert!(!url.as_str().contains("secret-value"));
    }

    #[test]
    fn no_key_leads_out_of_its_bucket() {
        for key in ["", "/", "..", "../other/x", "a/../../other/x", "./x", "a//b", "x/"] {
            assert!(matches!(store().address("voice-notes", key), Err(FetchError::Forbidden { .. })), "{key:?}");
        }
        for key in ["%2e%2e/x", "..%2fx", "a\\..\\b", "?x", "#x", "ä/ö"] {
            let url = store().address("voice-notes", key).unwrap();
            assert!(url.path().starts_with("/voice-notes/"), "{key:?}: {url}");
        }
        assert!(matches!(store().address("other", "x"), Err(FetchError::Forbidden { .. })));
    }

    #[test]
    fn a_missing_key_is_a_configuration_error() {
        let error = Store::new(&ObjectStoreConfig {
            endpoint: "https://s3.example.com".parse().unwrap(),
            region: String::new(),
            buckets: Vec::new(),
            access_key: Secret::File("/nowhere/access".into()),
            secret_key: Secret::File("/nowhere/secret".into()),
        })
        .err();
        assert!(matches!(error, Some(SetupError::Secret(_))), "{error:?}");
    }
}
