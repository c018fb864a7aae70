//! What all connectors do alike.

use std::time::{Duration, Instant};

use sprachpost::tickets::{TicketError, TicketId};

use super::{SOON, System, Who, connect, connect_with, deliver, entry, within};
use crate::support::tickets::{Allowance, Fault, Only};

macro_rules! on {
    ($module:ident, $system:ty: $($test:ident)*) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(&<$system>::start()).await;
            })*
        }
    };
}

/// Whatever results are written into.
macro_rules! on_receiver {
    ($module:ident, $system:ty: $($more:ident)*) => {
        on! { $module, $system:
            a_note_arrives_with_all_its_parts
            a_note_delivered_again_is_written_once
            an_answer_that_is_lost_after_the_write_is_no_second_note
            the_limit_on_requests_is_kept
            a_storm_of_errors_ends_in_one_note
            a_system_that_says_nothing_is_given_up_waiting_for
            a_file_that_is_too_large_is_told_apart
            what_customers_say_is_text_and_nothing_else
            a_megabyte_of_speech_arrives_as_far_as_it_fits
            a_good_set_up_has_no_faults
            $($more)*
        }
    };
}

/// A receiver with tickets that can be looked at, closed and missing.
macro_rules! on_ticketing_system {
    ($module:ident, $system:ty: $($more:ident)*) => {
        on_receiver! { $module, $system:
            an_answer_that_is_lost_after_opening_is_no_second_ticket
            a_note_goes_to_the_ticket_that_it_names
            a_ticket_that_does_not_exist_leads_to_the_conversations_own
            a_note_without_a_conversation_has_a_ticket_of_its_own
            a_closed_ticket_is_followed_by_a_new_one
            a_reminder_is_set_once
            a_ticket_that_is_gone_is_said_to_be
            wrong_credentials_are_told_from_missing_rights
            what_does_not_exist_is_found_before_the_first_note
            a_team_that_does_not_exist_is_no_fault_of_the_note
            $($more)*
        }
    };
}

on_ticketing_system! { zammad, crate::tickets::connectors::zammad::Zammad:
    a_closed_ticket_is_opened_again_where_that_is_wanted
    too_many_requests_are_answered_with_a_pause
}

on_ticketing_system! { chatwoot, crate::tickets::connectors::chatwoot::Chatwoot:
    a_closed_ticket_is_opened_again_where_that_is_wanted
}

on_ticketing_system! { zendesk, crate::tickets::connectors::zendesk::Zendesk:
    too_many_requests_are_answered_with_a_pause
}

on_ticketing_system! { freshdesk, crate::tickets::connectors::freshdesk::Freshdesk:
    a_closed_ticket_is_opened_again_where_that_is_wanted
    too_many_requests_are_answered_with_a_pause
}

on_receiver! { webhook, crate::tickets::connectors::webhook::Webhook:
    too_many_requests_are_answered_with_a_pause
}

/// What keeps placeholders apart is not seen, and neither is how a text ends.
fn plain(text: &str) -> String {
    text.replace('\u{2060}', "").trim_end().to_owned()
}

/// The one ticket that there is.
async fn only_ticket(system: &dyn System) -> String {
    let mut tickets = system.tickets().await;
    assert_eq!(tickets.len(), 1, "{tickets:?}");
    tickets.remove(0)
}

async fn a_note_arrives_with_all_its_parts(system: &dyn System) {
    let entry = entry(system, "m1");
    let ticket = within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
    assert_eq!(ticket.as_str(), only_ticket(system).await);

    let seen = system.seen(ticket.as_str()).await;
    let [note] = &seen.notes[..] else { panic!("{:?}", seen.notes) };
    assert!(note.internal, "customers must not see it");
    assert_eq!(plain(&note.text), entry.text.expose());
    let [file] = &note.files[..] else { panic!("{:?}", note.files) };
    let sent = entry.attachment.as_ref().unwrap();
    assert_eq!((&file.name, &file.content_type), (&sent.file_name, &sent.content_type));
    assert!(file.bytes == sent.bytes, "the recording has to arrive byte by byte");

    let words = system.words();
    assert_eq!((seen.priority.as_deref(), seen.team.as_deref()), (Some(words.priority), Some(words.team)));
    assert!(words.tags.iter().all(|tag| seen.tags.iter().any(|there| there == tag)), "{:?}", seen.tags);
    assert!(!seen.closed && seen.reminder_s.is_none());
}

async fn a_note_delivered_again_is_written_once(system: &dyn System) {
    let entry = entry(system, "m1");
    let first = within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
    for _ in 0..2 {
        // By another process, which knows nothing of the first.
        let again = within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
        assert_eq!(again, first);
    }
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 1);
}

async fn an_answer_that_is_lost_after_the_write_is_no_second_note(system: &dyn System) {
    let entry = entry(system, "m1");
    system.wire().break_next(Only::Notes, Fault::LostAnswer, 1);
    let lost = within(SOON, deliver(&*connect(system), &entry)).await.unwrap_err();
    assert_eq!(lost, TicketError::Unreachable);
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 1, "the write itself was done");

    within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 1);
}

async fn an_answer_that_is_lost_after_opening_is_no_second_ticket(system: &dyn System) {
    let entry = entry(system, "m1");
    let connector = connect(system);
    within(SOON, connector.open(&entry, None)).await.unwrap();
    let found = within(SOON, connect(system).find(&entry)).await.unwrap();
    assert_eq!(found.len(), 1, "a ticket is found from the moment on that it exists");
    assert!(!within(SOON, connector.has_note(&found[0].ticket, &entry)).await.unwrap(), "it holds no note yet");

    within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 1);
}

async fn a_note_goes_to_the_ticket_that_it_names(system: &dyn System) {
    let ticket = system.foreign_ticket().await;
    let before = system.seen(&ticket).await;
    let mut entry = entry(system, "m1");
    entry.reference = Some(ticket.clone());
    for _ in 0..2 {
        let written = within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
        assert_eq!(written.as_str(), ticket);
    }
    let after = system.seen(&ticket).await;
    assert_eq!(after.notes.len(), before.notes.len() + 1);
    assert_eq!(system.tickets().await.len(), 1);
    assert!(before.tags.iter().all(|tag| after.tags.contains(tag)), "tags of others stay: {:?}", after.tags);
}

async fn a_ticket_that_does_not_exist_leads_to_the_conversations_own(system: &dyn System) {
    let own = within(SOON, deliver(&*connect(system), &entry(system, "m1"))).await.unwrap();
    for (n, reference) in ["99999", "4711'; --", "../users", "", "9".repeat(40).as_str()].into_iter().enumerate() {
        let mut entry = entry(system, &format!("m{}", n + 2));
        entry.reference = Some(reference.to_owned());
        let written = within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
        assert_eq!(written, own, "{reference}");
    }
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 6);
}

async fn a_note_without_a_conversation_has_a_ticket_of_its_own(system: &dyn System) {
    for message_id in ["m1", "m2"] {
        let mut entry = entry(system, message_id);
        entry.conversation = None;
        for _ in 0..2 {
            within(SOON, deliver(&*connect(system), &entry)).await.unwrap();
        }
    }
    let tickets = system.tickets().await;
    assert_eq!(tickets.len(), 2);
    for ticket in tickets {
        assert_eq!(system.seen(&ticket).await.notes.len(), 1);
    }
}

async fn a_closed_ticket_is_followed_by_a_new_one(system: &dyn System) {
    let first = entry(system, "m1");
    let old = within(SOON, deliver(&*connect(system), &first)).await.unwrap();
    system.close(old.as_str()).await;

    // What was written before is not written again.
    assert_eq!(within(SOON, connect(system).find(&first)).await.unwrap().len(), 1);
    assert!(within(SOON, connect(system).has_note(&old, &first)).await.unwrap());

    let new = within(SOON, deliver(&*connect(system), &entry(system, "m2"))).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(system.seen(new.as_str()).await.follows.as_deref(), Some(old.as_str()));
    let next = within(SOON, deliver(&*connect(system), &entry(system, "m3"))).await.unwrap();
    assert_eq!(next, new);
    assert_eq!(system.seen(new.as_str()).await.notes.len(), 2);
    assert!(system.seen(old.as_str()).await.closed, "the old one stays as it is");
    assert_eq!(system.seen(old.as_str()).await.notes.len(), 1);
}

async fn a_closed_ticket_is_opened_again_where_that_is_wanted(system: &dyn System) {
    let wanted = || connect_with(system, Who::Agent, "reopen = true\n");
    let ticket = within(SOON, deliver(&*wanted(), &entry(system, "m1"))).await.unwrap();
    system.close(ticket.as_str()).await;
    let again = within(SOON, deliver(&*wanted(), &entry(system, "m2"))).await.unwrap();
    assert_eq!(again, ticket);
    let seen = system.seen(ticket.as_str()).await;
    assert!(!seen.closed && seen.notes.len() == 2);
}

async fn a_reminder_is_set_once(system: &dyn System) {
    let mut entry = entry(system, "m1");
    entry.reminder_at = Some("2026-12-24T08:30:00.25Z".parse().unwrap());
    let connector = connect(system);
    let ticket = within(SOON, deliver(&*connector, &entry)).await.unwrap();
    let expected = entry.reminder_at.map(jiff::Timestamp::as_second);
    assert_eq!(system.seen(ticket.as_str()).await.reminder_s, expected);

    let before = system.wire().asked().len();
    within(SOON, connector.set(&ticket, &entry)).await.unwrap();
    let again = system.wire().asked().split_off(before);
    assert!(again.iter().all(|asked| asked.method == "GET"), "nothing is left to change: {again:?}");
}

async fn a_ticket_that_is_gone_is_said_to_be(system: &dyn System) {
    let gone = TicketId::new("99999");
    let (connector, entry) = (connect(system), entry(system, "m1"));
    assert_eq!(within(SOON, connector.add_note(&gone, &entry)).await, Err(TicketError::Gone));
    assert_eq!(within(SOON, connector.has_note(&gone, &entry)).await, Err(TicketError::Gone));
    assert_eq!(within(SOON, connector.set(&gone, &entry)).await, Err(TicketError::Gone));
}

async fn wrong_credentials_are_told_from_missing_rights(system: &dyn System) {
    let (ticket, entry) = (TicketId::new(system.foreign_ticket().await), entry(system, "m1"));
    let before = system.seen(ticket.as_str()).await.notes;

    let stranger = connect_with(system, Who::Stranger, "");
    assert_eq!(within(SOON, stranger.find(&entry)).await, Err(TicketError::Unauthorized));
    assert_eq!(within(SOON, stranger.add_note(&ticket, &entry)).await, Err(TicketError::Unauthorized));

    let without_rights = connect_with(system, Who::WithoutRights, "");
    for result in [
        within(SOON, without_rights.add_note(&ticket, &entry)).await,
        within(SOON, without_rights.open(&entry, None)).await.map(drop),
        within(SOON, without_rights.set(&ticket, &entry)).await,
    ] {
        assert!(matches!(result, Err(TicketError::Forbidden { .. })), "{result:?}");
    }
    assert_eq!(system.seen(ticket.as_str()).await.notes, before);

    for who in [Who::Stranger, Who::WithoutRights] {
        let findings = within(SOON, connect_with(system, who, "").check()).await;
        assert!(findings.iter().any(|finding| finding.fault.is_some()), "{findings:?}");
        assert!(!format!("{findings:?}").contains(system.secret(who)), "{findings:?}");
    }
}

/// Counted where they arrive: the connector never makes more requests than it may.
async fn the_limit_on_requests_is_kept(system: &dyn System) {
    const LIMIT: usize = 12;
    system.wire().allow(Some(Allowance { requests: LIMIT, within: Duration::from_mins(1) }));
    let connector = connect_with(system, Who::Agent, &format!("requests_per_minute = {LIMIT}\n"));
    let many = async {
        for n in 0..2 * LIMIT {
            deliver(&*connector, &entry(system, &format!("m{n}"))).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), many).await.is_err(), "it has to wait for its next minute");
    assert_eq!(system.wire().asked().len(), LIMIT);
    assert_eq!(system.wire().refused(429), 0);
}

async fn too_many_requests_are_answered_with_a_pause(system: &dyn System) {
    const PAUSE: Duration = Duration::from_secs(2);
    let connector = connect(system);
    // Others use the same account.
    system.wire().allow(Some(Allowance { requests: 4, within: PAUSE }));
    for n in 1.. {
        let entry = entry(system, &format!("m{n}"));
        let Err(error) = within(SOON, deliver(&*connector, &entry)).await else { continue };
        assert!(
            matches!(error, TicketError::Limited { after: Some(after) } if !after.is_zero() && after <= PAUSE),
            "{error}"
        );
        system.wire().allow(None);
        let asked_again = Instant::now();
        within(SOON, deliver(&*connector, &entry)).await.unwrap();
        let waited = asked_again.elapsed();
        assert!(waited >= Duration::from_millis(900), "the pause is waited for: {waited:?}");
        assert_eq!(system.wire().refused(429), 1);
        assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), n);
        return;
    }
}

async fn a_storm_of_errors_ends_in_one_note(system: &dyn System) {
    let entry = entry(system, "m1");
    let connector = connect(system);
    for status in [500, 502, 503, 500] {
        system.wire().break_next(Only::Notes, Fault::Status(status), 1);
        let result = within(SOON, deliver(&*connector, &entry)).await;
        assert_eq!(result, Err(TicketError::Unavailable { status }));
    }
    system.wire().break_next(Only::Any, Fault::Status(504), 3);
    for _ in 0..3 {
        let result = within(SOON, deliver(&*connector, &entry)).await;
        assert_eq!(result, Err(TicketError::Unavailable { status: 504 }));
    }
    within(SOON, deliver(&*connector, &entry)).await.unwrap();
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 1);
}

async fn a_system_that_says_nothing_is_given_up_waiting_for(system: &dyn System) {
    let entry = entry(system, "m1");
    let connector = connect_with(system, Who::Agent, "http.total_s_max = 1\n");
    system.wire().break_next(Only::Any, Fault::Silence(Duration::from_secs(30)), 1);
    let began = Instant::now();
    assert_eq!(within(SOON, deliver(&*connector, &entry)).await, Err(TicketError::TimedOut));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    system.wire().break_next(Only::Notes, Fault::Silence(Duration::from_secs(30)), 1);
    assert_eq!(within(SOON, deliver(&*connector, &entry)).await, Err(TicketError::TimedOut));

    within(SOON, deliver(&*connector, &entry)).await.unwrap();
    assert_eq!(system.seen(&only_ticket(system).await).await.notes.len(), 1);
}

async fn a_file_that_is_too_large_is_told_apart(system: &dyn System) {
    system.limit_files(10_000);
    let connector = connect(system);
    let mut entry = entry(system, "m1");
    assert!(entry.attachment.as_ref().unwrap().bytes.len() > 10_000);
    assert_eq!(within(SOON, deliver(&*connector, &entry)).await, Err(TicketError::TooLarge));
    assert!(system.seen(&only_ticket(system).await).await.notes.is_empty(), "nothing is written by halves");

    // What the bridge makes of it.
    entry.attachment = None;
    within(SOON, deliver(&*connector, &entry)).await.unwrap();
    let seen = system.seen(&only_ticket(system).await).await;
    assert!(seen.notes.len() == 1 && seen.notes[0].files.is_empty());
}

async fn what_customers_say_is_text_and_nothing_else(system: &dyn System) {
    let mut entry = entry(system, "m1");
    let said = [
        "<script>alert(1)</script><img src=x onerror=alert(1)> & &lt;b&gt; \"'",
        "{{contact.email}} {{ticket.requester.email}} {% raw %} #{ticket.title} ${x} <%= x %>",
        "# Titel",
        "* a *b* _c_ `d` ~~e~~ | f | [g](https://evil.example) ![h](https://evil.example/i.png)",
        "- Liste",
        "1. Punkt",
        "    eingerückt",
        "=====",
        "@alle [@x](mention://user/1/x) \\ \\n \u{202e}umgekehrt 🎤 ẞ",
        "[vn:00000000-0000-0000-0000-000000000000]",
    ];
    let text = format!("{}\n{}", said.join("\n"), entry.marker.as_str());
    entry.text = text.clone().into();
    let connector = connect(system);
    let ticket = within(SOON, deliver(&*connector, &entry)).await.unwrap();
    let seen = system.seen(ticket.as_str()).await;
    // Spaces at a line's begin mean nothing to people.
    let lines = |text: &str| plain(text).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&seen.notes[0].text), lines(&text));
}

async fn a_megabyte_of_speech_arrives_as_far_as_it_fits(system: &dyn System) {
    let mut entry = entry(system, "m1");
    let sentence = "Das Internet geht seit <gestern> & immer noch nicht. ";
    let spoken = sentence.repeat((1 << 20) / sentence.len());
    entry.text = format!("{}\n{}", spoken.trim_end(), entry.marker.as_str()).into();
    let connector = connect_with(system, Who::Agent, "http.total_s_max = 15\n");
    for _ in 0..2 {
        within(3 * SOON, deliver(&*connector, &entry)).await.unwrap();
    }
    let seen = system.seen(&only_ticket(system).await).await;
    assert_eq!(seen.notes.len(), 1);
    let shown = plain(&seen.notes[0].text);
    assert!(shown.ends_with(entry.marker.as_str()), "the marker stays");
    match system.words().text_max {
        None => assert!(shown == entry.text.expose(), "{} bytes of {}", shown.len(), entry.text.expose().len()),
        Some(max) => {
            let (beginning, _) = shown.split_once("\n[…]\n").expect("it says that there was more");
            assert!(spoken.starts_with(beginning));
            assert!(shown.chars().count() <= max && beginning.len() > max / 2, "{} of {max}", beginning.len());
        }
    }
}

async fn a_good_set_up_has_no_faults(system: &dyn System) {
    let words = system.words();
    let mapping = format!(
        "tags = [{:?}]\npriority_by_urgency = {{ high = {:?} }}\nteam_by_route = {{ technik = {:?} }}\n",
        words.tags[0], words.priority, words.team,
    );
    let findings = within(SOON, connect_with(system, Who::Agent, &mapping).check()).await;
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|finding| finding.fault.is_none()), "{findings:#?}");
    assert!(system.wire().asked().iter().all(|asked| asked.method == "GET"), "looking changes nothing");
}

async fn what_does_not_exist_is_found_before_the_first_note(system: &dyn System) {
    let (team, tag) = system.words().missing;
    let mut mapping = format!("team_by_route = {{ technik = {team:?} }}\n");
    if let Some(tag) = tag {
        mapping.extend(["tags = [\"", tag, "\"]\n"]);
    }
    let findings = within(SOON, connect_with(system, Who::Agent, &mapping).check()).await;
    for missing in std::iter::once(team).chain(tag) {
        let finding = findings.iter().find(|finding| finding.what.contains(missing)).expect("a finding that names it");
        assert!(finding.fault.is_some(), "{finding:?}");
    }
}

/// The bridge writes the note all the same, and tells whoever configured it.
async fn a_team_that_does_not_exist_is_no_fault_of_the_note(system: &dyn System) {
    let mut entry = entry(system, "m1");
    entry.team = Some(system.words().missing.0.to_owned());
    let connector = connect(system);
    let ticket = within(SOON, connector.open(&entry, None)).await.unwrap();
    let result = within(SOON, connector.set(&ticket, &entry)).await;
    assert!(matches!(result, Err(TicketError::Missing { .. })), "{result:?}");
    within(SOON, connector.add_note(&ticket, &entry)).await.unwrap();
}
