//! Owns how a text is shortened to what a system takes: its end says so, and it keeps its marker.

use super::Marker;

/// `text` as `write` puts it, with at most `max` units as `measure` counts them. A text that is too long ends with
/// `[…]` and the marker.
pub(super) fn fit(
    text: &str,
    marker: &Marker,
    max: usize,
    write: impl Fn(&str) -> String,
    measure: impl Fn(&str) -> usize,
) -> String {
    let whole = write(text);
    if measure(&whole) <= max {
        return whole;
    }
    let shortened =
        |bytes: usize| write(&format!("{}\n[…]\n{}", &text[..text.floor_char_boundary(bytes)], marker.as_str()));
    // Escaping makes some characters longer than others, so the longest beginning that fits is searched for.
    let (mut fits, mut too_long) = (0, text.len());
    while too_long - fits > 1 {
        let middle = fits + (too_long - fits) / 2;
        if measure(&shortened(middle)) <= max { fits = middle } else { too_long = middle }
    }
    shortened(fits)
}

#[cfg(test)]
mod tests {
    use super::{super::markup, *};
    use crate::note::NoteId;

    fn marker() -> Marker {
        Marker::of(NoteId::of(&"t".parse().unwrap(), &"c".parse().unwrap(), "m"), 0)
    }

    #[test]
    fn a_text_that_fits_stays_as_it_is() {
        assert_eq!(fit("grün", &marker(), 5, str::to_owned, str::len), "grün");
    }

    #[test]
    fn a_text_that_is_too_long_fills_what_there_is_and_keeps_its_marker() {
        let text = format!("{}\n{}", "<ä> ".repeat(50_000), marker().as_str());
        for max in [200, 65_535] {
            let fitted = fit(&text, &marker(), max, markup::html, str::len);
            assert!(fitted.len() <= max && fitted.len() + 16 > max, "{} of {max}", fitted.len());
            assert!(fitted.ends_with(&format!("<br>[…]<br>{}", marker().as_str())));
        }
    }
}
