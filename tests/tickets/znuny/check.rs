//! `sprachpost tickets check`.

use sprachpost::tickets::Config;

use super::{as_user, but};
use crate::{
    support::{
        runtime,
        ticketing::RealSystem,
        znuny::{BARE_WEB_SERVICE, CONVERSATION_FIELD, OPENER, READER, TAGS_FIELD, WEB_SERVICE, shared},
    },
    tickets::{checked, config_with, usual},
};

#[test]
#[ignore = "needs a Znuny: make test-znuny"]
fn check_names_what_is_wrong_before_the_first_note_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let znuny = shared();
    let queue = runtime().block_on(znuny.new_queue());
    let check = |tickets: &Config| checked(folder.path(), tickets);
    let mapped = "tags = [\"voice\"]\n[priority_by_urgency]\nhigh = \"4 high\"\n[team_by_route]\ntechnik = \"Raw\"\n";
    let (code, good) = check(&usual(znuny, &queue, mapped));
    assert_eq!(code, Some(0), "{good}");
    for said in
        [WEB_SERVICE, &queue, CONVERSATION_FIELD, TAGS_FIELD, "4 high", "Raw", "pending reminder", "TicketUpdate"]
    {
        assert!(good.contains(said), "{said}: {good}");
    }
    let untagged = but(&queue, &format!("tags_field = \"{TAGS_FIELD}\"\n"), "", "tags = [\"voice\"]\n");
    let (code, text) = check(&untagged);
    assert!(code == Some(0) && text.contains("left out"), "{text}");
    let opener = as_user(&queue, OPENER);
    assert_eq!(check(&opener).0, Some(0), "without a ticket, rights on tickets do not show");
    assert!(runtime().block_on(znuny.tickets(&queue)).is_empty(), "nothing is opened to try it");

    let (id, _) = runtime().block_on(znuny.open(&queue));
    let lines = runtime().block_on(znuny.history(&id));
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    let file = znuny.password_file();
    let with = |more: &str| but(&queue, "customer_user", &format!("{more}\ncustomer_user"), "");
    for (tickets, fault) in [
        (usual(znuny, &queue, mapped), ""),
        (but(&queue, file.to_str().unwrap(), wrong.to_str().unwrap(), ""), "credentials"),
        (with("web_service = \"NoSuchService\""), "web service"),
        (with(&format!("web_service = \"{BARE_WEB_SERVICE}\"")), "TicketSearch"),
        (usual(znuny, "No Such Queue", ""), "No Such Queue"),
        (usual(znuny, &queue, "[team_by_route]\ntechnik = \"No Such Team\"\n"), "No Such Team"),
        (usual(znuny, &queue, "[priority_by_urgency]\nhigh = \"99\"\n"), "99"),
        (with("state = \"nowhere\""), "state"),
        (with("reminder_state = \"nowhere\""), "nowhere"),
        (but(&queue, "voice-notes@tests.local", "nobody", ""), "customer user nobody"),
        (but(&queue, CONVERSATION_FIELD, "NoSuchField", ""), "NoSuchField"),
        (usual(znuny, &queue, "tags = [\"unknown\"]\n"), "unknown"),
        (as_user(&queue, READER), "create"),
        (opener, "rw"),
        (config_with(&znuny.own_keys("http://127.0.0.1:9", &queue), ""), "cannot be reached"),
        (config_with(&znuny.own_keys(&format!("{}/elsewhere", znuny.url()), &queue), ""), "address"),
    ] {
        let (code, text) = check(&tickets);
        let expected = i32::from(!fault.is_empty());
        assert!(code == Some(expected) && text.contains(fault), "{fault}: {text}");
    }
    assert_eq!(runtime().block_on(znuny.tickets(&queue)), std::slice::from_ref(&id));
    assert_eq!(runtime().block_on(znuny.history(&id)), lines);
}
