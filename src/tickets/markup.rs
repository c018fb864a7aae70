//! Owns how plain text goes into markup, so that agents see what was said and nothing that was said does anything: no
//! tag, link, image, mention or placeholder comes to life. It is the only place that escapes.

/// Breaks placeholders apart without being seen. Ticketing systems replace `{{…}}` in notes, some of them after they
/// have read the markup, so that no escape of the markup's own helps.
const WORD_JOINER: char = '\u{2060}';

/// Text as HTML. Lines become `<br>`; nothing else is a tag.
pub(super) fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    let mut last = '\0';
    for c in text.chars() {
        if opens_placeholder(last, c) {
            out.push(WORD_JOINER);
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("<br>"),
            c if is_unprintable(c) => {}
            c => out.push(c),
        }
        last = c;
    }
    out
}

/// Text as Markdown. The backslashes also keep template languages away: `\{\{` opens nothing.
pub(super) fn markdown(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(markdown_line).collect();
    // The one address that means something in the source itself: whoever is mentioned is notified.
    lines.join("\n").replace("mention://", r"mention:\//")
}

fn markdown_line(line: &str) -> String {
    // From four spaces on, a line is code.
    let indented = line.starts_with('\t') || line.starts_with("    ");
    let line = if indented { line.trim_start() } else { line };
    let begins_list = |at: usize, c: char| match c {
        '-' | '+' | '=' => line[..at].trim_start().is_empty(),
        '.' => line[..at].trim_start().bytes().all(|digit| digit.is_ascii_digit()) && at > 0,
        _ => false,
    };
    let mut out = String::with_capacity(line.len() + line.len() / 8);
    for (at, c) in line.char_indices() {
        if r"\`*_{}[]()<>#|~!&".contains(c) || begins_list(at, c) {
            out.push('\\');
        }
        if !is_unprintable(c) {
            out.push(c);
        }
    }
    out
}

fn opens_placeholder(last: char, c: char) -> bool {
    last == '{' && matches!(c, '{' | '%' | '#')
}

/// Control characters are no text, and databases refuse some of them.
fn is_unprintable(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_holds_no_tag_but_line_breaks_and_no_placeholder() {
        let said = "<b onclick='x'>\"A & B\"</b>\n{{ticket.requester.email}} {% raw %}\u{0}";
        insta::assert_snapshot!(html(said).replace(WORD_JOINER, "~"), @"&lt;b onclick=&#39;x&#39;&gt;&quot;A &amp; B&quot;&lt;/b&gt;<br>{~{ticket.requester.email}} {~% raw %}");
    }

    #[test]
    fn markdown_shows_every_character_as_it_is() {
        let said = "# Titel\n- a *b* `c` [d](mention://user/1/x)\n1. {{contact.email}}\n    code &amp;";
        insta::assert_snapshot!(markdown(said), @r"
        \# Titel
        \- a \*b\* \`c\` \[d\]\(mention:\//user/1/x\)
        1\. \{\{contact.email\}\}
        code \&amp;
        ");
    }

    #[test]
    fn what_means_nothing_stays_readable() {
        let said = "Kunde 4711-2, 3.5 Mbit/s, am 1. Mai um 7:30: https://hear.example/0d6c-11 + Rückruf = nein";
        assert_eq!(markdown(said), said);
    }
}
