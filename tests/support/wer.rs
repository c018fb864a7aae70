//! Word error rate: word-level edit distance over the number of words really said.

/// Errors and words of one transcript against what was said, as spoken or as written, whichever is nearer.
pub fn errors(heard: &str, spoken: &str, written: &str) -> (usize, usize) {
    let heard = words(heard);
    [spoken, written]
        .map(words)
        .map(|said| (distance(&heard, &said), said.len()))
        .into_iter()
        .min_by(|a, b| (a.0 * b.1.max(1)).cmp(&(b.0 * a.1.max(1))))
        .unwrap_or_default()
}

fn words(text: &str) -> Vec<String> {
    let clean = |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    text.split(|c: char| c.is_whitespace() || c == '-').map(clean).filter(|w: &String| !w.is_empty()).collect()
}

/// Levenshtein distance between two word lists.
fn distance(a: &[String], b: &[String]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[test]
fn errors_are_counted_by_word_and_the_nearer_reading_counts() {
    assert_eq!(errors("Bitte um vierzehn Uhr!", "bitte um vierzehn uhr", "bitte um 14 Uhr"), (0, 4));
    assert_eq!(errors("bitte um 14 Uhr", "bitte um vierzehn uhr", "bitte um 14 Uhr"), (0, 4));
    assert_eq!(errors("", "ja nein", "ja nein"), (2, 2));
    assert_eq!(errors("a b c d", "a c d", "a c d"), (1, 3));
}
