//! Owns the question whether tokens or words go round in circles, which whisper does when its window is too tight or
//! the audio holds nothing to hold on to. Probabilities do not show it: a loop scores better than speech.

/// Longest period looked for, in tokens: a sentence.
const PERIOD_MAX: usize = 32;
/// Tokens that a loop must cover; shorter ones people do say ("nein, nein, nein").
const LOOP_TOKENS_MIN: usize = 12;
/// A sentence this long, said twice in a row, is suspicious.
const SENTENCE_WORDS_MIN: usize = 5;

/// True if some part of `tokens` is the same sequence at least three times in a row.
pub fn is_loop(tokens: &[i32]) -> bool {
    (1..=PERIOD_MAX.min(tokens.len() / 3)).any(|period| {
        let needed = LOOP_TOKENS_MIN.next_multiple_of(period).max(3 * period) - period;
        longest_run(tokens, period) >= needed
    })
}

/// True if a whole stretch of words stands twice in a row. People do that too; so it is a reason to listen again,
/// not to give up.
pub fn is_said_twice(text: &str) -> bool {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
        .collect();
    (SENTENCE_WORDS_MIN..=words.len() / 2).any(|period| longest_run(&words, period) >= period)
}

/// The longest stretch in which every item equals the one `period` before it.
fn longest_run<T: PartialEq>(items: &[T], period: usize) -> usize {
    let (mut run, mut longest) = (0, 0);
    for (earlier, later) in items.iter().zip(items.iter().skip(period)) {
        run = if earlier == later { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_the_same_sentence_is_a_loop_wherever_it_stands() {
        let sentence = [5, 9, 2, 7, 1];
        let mut tokens = vec![100, 101];
        tokens.extend(sentence.repeat(3));
        tokens.push(102);
        assert!(is_loop(&tokens));
        assert!(!is_loop(&[&sentence[..], &sentence[..]].concat()));
    }

    #[test]
    fn one_token_for_ever_is_a_loop_but_no_no_no_is_not() {
        assert!(is_loop(&[3; 12]));
        assert!(!is_loop(&[3, 3, 3]));
    }

    #[test]
    fn a_doubled_sentence_is_noticed_in_spite_of_punctuation() {
        assert!(is_said_twice("Wo bleibt denn mein Paket? Wo bleibt denn mein Paket."));
        assert!(!is_said_twice("Ja, ja, das ist gut, ja."));
    }

    #[test]
    fn nothing_is_no_loop() {
        assert!(!is_loop(&[]) && !is_said_twice(""));
    }
}
