//! Owns mail addresses, written ("info@beispiel.de") or spoken ("max Punkt muster at beispiel Punkt de").

use super::Scan;

const TOP_LEVEL: [&str; 11] = ["de", "com", "net", "org", "at", "ch", "eu", "info", "uk", "fr", "it"];

pub(super) fn find(scan: &mut Scan) {
    for at in 1..scan.words.len() {
        let written = scan.gap_after(at - 1) == "@";
        let spoken = matches!(scan.word(at), "at" | "aet" | "klammeraffe") && at + 1 < scan.words.len();
        if !written && !spoken {
            continue;
        }
        let (start, local) = local_part(scan, at - 1);
        let Some((end, domain)) = domain(scan, if written { at } else { at + 1 }) else { continue };
        if scan.is_free(start..end) {
            scan.take("email", format!("{local}@{domain}"), false, start..end);
        }
    }
}

fn separator(word: &str) -> Option<char> {
    match word {
        "punkt" | "dot" => Some('.'),
        "minus" | "bindestrich" | "dash" | "hyphen" => Some('-'),
        "unterstrich" | "underscore" => Some('_'),
        _ => None,
    }
}

/// Backwards from the word before the sign.
fn local_part(scan: &Scan, last: usize) -> (usize, String) {
    let mut start = last;
    let mut local = scan.word(last).to_owned();
    loop {
        let written = start.checked_sub(1).map(|w| scan.gap_after(w)).filter(|gap| matches!(*gap, "." | "-" | "_"));
        if let Some(gap) = written {
            start -= 1;
            local = format!("{}{gap}{local}", scan.word(start));
        } else if let Some(sign) = start.checked_sub(2).and_then(|w| separator(scan.word(w + 1))) {
            start -= 2;
            local = format!("{}{sign}{local}", scan.word(start));
        } else {
            return (start, local);
        }
    }
}

/// Forwards to a top-level domain; None if there is none.
fn domain(scan: &Scan, first: usize) -> Option<(usize, String)> {
    let mut domain = scan.word(first).to_owned();
    let mut last = first;
    loop {
        let (sign, next) = match scan.gap_after(last) {
            "." => ('.', last + 1),
            "-" => ('-', last + 1),
            _ => (separator(scan.word(last + 1))?, last + 2),
        };
        let part = Some(scan.word(next)).filter(|part| !part.is_empty())?;
        domain.push(sign);
        domain.push_str(part);
        last = next;
        if sign == '.' && TOP_LEVEL.contains(&part) {
            return Some((last + 1, domain));
        }
    }
}
