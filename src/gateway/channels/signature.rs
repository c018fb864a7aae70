//! Owns proofs that a request comes from a platform: signatures over the raw body, and shared tokens.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq as _;

use super::Refused;
use crate::hex::unhex;

/// The hash that a platform signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

/// Checks an HMAC over `parts`, one after the other, that was written in hex. Compared in constant time.
///
/// # Errors
/// [`Refused::WrongSignature`].
pub fn check_hmac(algorithm: Algorithm, secret: &SecretString, parts: &[&[u8]], given: &str) -> Result<(), Refused> {
    let key = secret.expose_secret().as_bytes();
    let given = unhex(given).ok_or(Refused::WrongSignature)?;
    let good = match algorithm {
        Algorithm::Sha1 => matches::<Hmac<Sha1>>(key, parts, &given),
        Algorithm::Sha256 => matches::<Hmac<Sha256>>(key, parts, &given),
        Algorithm::Sha512 => matches::<Hmac<Sha512>>(key, parts, &given),
    };
    if good { Ok(()) } else { Err(Refused::WrongSignature) }
}

fn matches<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return false };
    for part in parts {
        mac.update(part);
    }
    mac.verify_slice(given).is_ok()
}

/// Checks a token that both sides know. Compared in constant time.
///
/// # Errors
/// [`Refused::WrongSignature`].
pub fn check_token(secret: &SecretString, given: &[u8]) -> Result<(), Refused> {
    let same = bool::from(secret.expose_secret().as_bytes().ct_eq(given));
    if same { Ok(()) } else { Err(Refused::WrongSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 2202 and RFC 4231, test case 2.
    const KEY: &str = "Jefe";
    const DATA: &[u8] = b"what do ya want for nothing?";
    const SHA1: &str = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    const SHA256: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    const SHA512: &str = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fd\
                          caeab1a34d4a6b4b636e070a38bce737";

    #[test]
    fn known_signatures_are_good_and_all_others_are_not() {
        for (algorithm, good) in [(Algorithm::Sha1, SHA1), (Algorithm::Sha256, SHA256), (Algorithm::Sha512, SHA512)] {
            let check = |key: &str, parts: &[&[u8]], given: &str| check_hmac(algorithm, &key.into(), parts, given);
            assert_eq!(check(KEY, &[DATA], good), Ok(()));
            assert_eq!(check(KEY, &[&DATA[..5], &DATA[5..]], &good.to_uppercase()), Ok(()));
            for (key, data, given) in [
                ("jefe", DATA, good),
                (KEY, &DATA[1..], good),
                (KEY, DATA, &good[2..]),
                (KEY, DATA, ""),
                (KEY, DATA, "no hex"),
            ] {
                assert_eq!(check(key, &[data], given), Err(Refused::WrongSignature));
            }
        }
    }

    #[test]
    fn a_token_is_the_whole_token() {
        let secret = "token".into();
        assert_eq!(check_token(&secret, b"token"), Ok(()));
        for wrong in ["", "toke", "tokens", "Token"] {
            assert_eq!(check_token(&secret, wrong.as_bytes()), Err(Refused::WrongSignature), "{wrong}");
        }
    }
}
