//! Owns the phrases that recognisers learnt from subtitles and write where nobody speaks.
//!
//! Some of them customers say as well, so no phrase condemns a note by itself: the evidence for speech has to be weak.

/// Nobody says these to a contact centre, though they may name a word of them within more.
const CREDITS: [&str; 21] = [
    "untertitel",
    "amara.org",
    "copyright wdr",
    "swr 20",
    "zdf, 20",
    "fürs zuschauen",
    "für's zuschauen",
    "für die aufmerksamkeit",
    "thank you for watching",
    "thanks for watching",
    "subtitles by",
    "please subscribe",
    "sous-titr",
    "subtítulos",
    "altyazı",
    "sesli betimleme",
    "napisy stworzone",
    "субтитры",
    "продолжение следует",
    "ご視聴ありがとうございました",
    "字幕",
];
/// Customers say these too, sometimes nothing else.
const COURTESIES: [&str; 16] = [
    "danke",
    "danke schön",
    "dankeschön",
    "vielen dank",
    "tschüss",
    "tschüß",
    "auf wiedersehen",
    "bis zum nächsten mal",
    "bis bald",
    "thank you",
    "thanks",
    "bye",
    "you",
    "merci",
    "teşekkürler",
    "спасибо",
];
/// A credit is all there is in such a text.
const CREDIT_WORDS_MAX: usize = 9;
/// Evidence is weak from these probabilities of no speech on, for a credit and for a courtesy. Of 189 labelled clips
/// of speech, noisy ones included, half have less than 0.07, one in ten more than 0.2, and three more than 0.5.
const CREDIT_NO_SPEECH_MIN: f32 = 0.1;
const COURTESY_NO_SPEECH_MIN: f32 = 0.6;
/// It is weak, too, if a whole note holds fewer characters a second than the slowest speaker says.
const CHARACTERS_PER_S_MIN: f64 = 5.0;

/// Is this text, in lower case, such a phrase, and the evidence that somebody speaks weak?
pub fn is_likely(text: &str, no_speech_probability: f32, speech_s: f64) -> bool {
    let slow = (text.trim().chars().count() as f64) < CHARACTERS_PER_S_MIN * speech_s;
    let words = text.split_whitespace().count();
    let is_credit = words <= CREDIT_WORDS_MAX && CREDITS.iter().any(|credit| text.contains(credit));
    let is_courtesy = COURTESIES.contains(&text.trim_matches(|c: char| !c.is_alphanumeric()));
    (is_credit && (slow || no_speech_probability >= CREDIT_NO_SPEECH_MIN))
        || (is_courtesy && slow && no_speech_probability >= COURTESY_NO_SPEECH_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_courtesy_counts_unless_nobody_seems_to_speak() {
        assert!(!is_likely("vielen dank.", 0.3, 2.0));
        assert!(!is_likely("tschüss!", 0.1, 9.0), "little text in a long note alone says nothing");
        assert!(is_likely("vielen dank.", 0.7, 8.0));
    }

    #[test]
    fn a_credit_is_believed_only_on_good_evidence() {
        assert!(is_likely("untertitelung des zdf, 2020", 0.3, 3.0));
        assert!(is_likely("untertitelung des zdf, 2020", 0.0, 10.0));
        assert!(is_likely("ご視聴ありがとうございました", 0.69, 20.0));
        assert!(!is_likely("wo sind die untertitel?", 0.02, 1.5));
    }

    #[test]
    fn a_phrase_within_a_longer_text_is_what_somebody_says() {
        let customer = "bei der serie fehlen seit gestern die deutschen untertitel, könnt ihr das bitte prüfen?";
        assert!(!is_likely(customer, 0.5, 5.0));
    }
}
