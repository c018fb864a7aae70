//! Owns the international bank account number: its shape and its checksum.

/// Two letters of a country, two check digits, then 11 to 30 letters and digits.
pub(super) fn looks_like(value: &str) -> bool {
    let bytes = value.as_bytes();
    (15..=34).contains(&bytes.len())
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit)
        && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// ISO 7064 modulo 97: the number, with its first four characters at the end and letters as 10 to 35, leaves 1.
pub(super) fn is_valid(value: &str) -> bool {
    if !looks_like(value) {
        return false;
    }
    let (head, tail) = value.split_at(4);
    let rest = tail.chars().chain(head.chars()).fold(0_u32, |rest, c| {
        let digit = c.to_digit(36).unwrap_or(0);
        (rest * if digit > 9 { 100 } else { 10 } + digit) % 97
    });
    rest == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_digit_is_found() {
        assert!(is_valid("DE89370400440532013000") && is_valid("GB29NWBK60161331926819"));
        for wrong in ["DE89370400440532013001", "DE98370400440532013000", "DE89", "", "ÄÖ89370400440532013000"] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
