//! Owns which references of notes may be looked up: they come from outside.

/// The number that a note names its ticket by. Whatever else it may hold names none.
pub(super) fn number(reference: Option<&str>) -> Option<&str> {
    reference.filter(|text| (1..16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn nothing_but_a_number_is_looked_up() {
        assert_eq!(number(Some("4711")), Some("4711"));
        for other in ["", "../users", "4711'", "-1", " 7", "\u{0664}", "1234567890123456"] {
            assert_eq!(number(Some(other)), None, "{other}");
        }
    }
}
