//! Owns the way from a name or a telephone number to an id that says neither.
//!
//! The key matters: without one, whoever knows all telephone numbers knows whose each id is.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::{Config, ImportError};
use crate::{hex::hex, note::Tenant, private::Private};

/// Characters of an id behind its prefix: 80 bits, far more than there are people.
const ID_CHARS: usize = 20;
const KEY_FILE: &str = "pseudonyms.key";

/// Makes ids. The same name has the same id with the same key, and another one for another tenant.
pub struct Pseudonyms(SecretString);

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms")
    }
}

impl Pseudonyms {
    /// Reads the configured key, or the one in `import.dir`, which is made where it is missing.
    pub fn open(config: &Config) -> Result<Self, ImportError> {
        if let Some(key) = &config.pseudonym_key {
            return Ok(Self(key.read()?));
        }
        let path = config.dir.join(KEY_FILE);
        key_in(&path).map(Self).map_err(|source| ImportError::Journal { path, source })
    }

    /// Ids that are thrown away: nothing is read or made.
    #[must_use]
    pub fn for_show() -> Self {
        Self(String::new().into())
    }

    /// `c:` and twenty letters and figures for a sender.
    #[must_use]
    pub fn sender(&self, tenant: &Tenant, name: &Private) -> Private {
        format!("c:{}", self.id(tenant, "sender", name)).into()
    }

    /// `chat:` and twenty letters and figures for a conversation.
    #[must_use]
    pub fn conversation(&self, tenant: &Tenant, title: &Private) -> Private {
        format!("chat:{}", self.id(tenant, "conversation", title)).into()
    }

    fn id(&self, tenant: &Tenant, kind: &str, name: &Private) -> String {
        #[expect(clippy::expect_used, reason = "this hash takes keys of every length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.expose_secret().as_bytes()).expect("a key of any length is taken");
        // Neither a tenant nor a kind holds a zero byte, so no two different triples are the same bytes.
        for part in [tenant.as_str(), kind, name.expose()] {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        let mut id = hex(&mac.finalize().into_bytes());
        id.truncate(ID_CHARS);
        id
    }
}

fn key_in(path: &Path) -> std::io::Result<SecretString> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    // Written beside and linked: two imports that begin at the same moment agree on one key, and none reads half of it.
    if !path.exists() {
        let beside = path.with_extension(uuid::Uuid::new_v4().to_string());
        let key = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(key.as_bytes())?;
        file.sync_all()?;
        let linked = fs::hard_link(&beside, path);
        fs::remove_file(&beside)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(fs::read_to_string(path)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_same_with_the_same_key_only() {
        let [here, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let open = |dir: &Path| Pseudonyms::open(&Config { dir: dir.to_owned(), ..Config::default() }).unwrap();
        let (name, tenant) = (Private::new("+49 170 555"), "musterstrom".parse().unwrap());
        let id = open(here.path()).sender(&tenant, &name);
        assert_eq!(id, open(here.path()).sender(&tenant, &name), "also in another process");
        assert_ne!(id, open(elsewhere.path()).sender(&tenant, &name));
        assert_ne!(id, open(here.path()).sender(&"second".parse().unwrap(), &name));
        assert!(id.expose().starts_with("c:") && id.expose().len() == 22 && !id.expose().contains("170555"));
        let left: Vec<_> = fs::read_dir(here.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing but the key lies there");
    }
}
