//! Owns what is known of cases: which follow-up each is waiting for, and when it was last heard of.
//!
//! A case is a conversation; where a note has none, its ticket; where it has neither, the note itself. The newest note
//! of a case decides: it cancels what an older one had planned, in whatever order their results come. It knows no queue
//! and no clock; every change says what has to be kept.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Config, store::Change};
use crate::{
    event::{CaseClosed, FollowUpDue, Processed},
    note::{Channel, NoteId, Tenant, id_of},
    private::Private,
};

/// How entries of this part are named where they are kept.
pub(super) const PREFIX: &str = "case/";

/// All cases that were heard of lately, or wait for a follow-up.
#[derive(Debug, Default)]
pub(super) struct Cases {
    known: HashMap<Uuid, Case>,
    /// Every follow-up that is planned, by its time.
    due: BTreeSet<(Timestamp, Uuid)>,
    /// Cases with a planned follow-up, by the other names that somebody may close them by.
    by_ticket: HashMap<(Tenant, String), Uuid>,
    by_note: HashMap<NoteId, Uuid>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Case {
    /// When its newest note was sent, or it was closed.
    latest: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    planned: Option<Box<Planned>>,
    /// The note whose follow-up was told last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<NoteId>,
}

/// A follow-up that waits for its time, with what its event will say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Planned {
    pub data: FollowUpDue,
    pub traceparent: Option<String>,
}

impl Planned {
    /// What is to be said at this moment.
    pub(super) fn at(&self, now: Timestamp) -> FollowUpDue {
        let open = self.data.reply_window_ends_at.is_none_or(|end| now < end);
        let template = self.data.template.clone().filter(|_| !open);
        FollowUpDue { reply_window_open: open, template, ..self.data.clone() }
    }
}

impl Cases {
    /// Takes back what was kept; what cannot be read is left out.
    pub(super) fn restore(&mut self, key: &str, value: &[u8]) {
        let Some(id) = key.strip_prefix(PREFIX).and_then(|id| id.parse().ok()) else { return };
        if let Ok(case) = serde_json::from_slice::<Case>(value) {
            self.put(id, case);
        }
    }

    pub(super) fn planned(&self) -> usize {
        self.due.len()
    }

    /// Takes note of a result; `at` is when the note was sent, or else when its result was first published.
    pub(super) fn note(
        &mut self,
        result: &Processed,
        traceparent: Option<String>,
        at: Timestamp,
        config: &Config,
    ) -> Option<Change> {
        let (tenant, channel) = (result.tenant.as_ref()?, result.channel.as_ref()?);
        let id = match (&result.conversation, &result.ticket) {
            (Some(conversation), _) => of_conversation(tenant, channel, conversation),
            (None, Some(ticket)) => of_ticket(tenant, ticket),
            (None, None) if result.follow_up.is_some() => result.note_id.as_uuid(),
            (None, None) => return None,
        };
        let known = self.known.get(&id);
        let told = known.and_then(|case| case.told);
        if known.is_some_and(|case| at < case.latest || (at == case.latest && told == Some(result.note_id))) {
            return None;
        }
        let full = self.planned() >= config.planned_max as usize && known.is_none_or(|case| case.planned.is_none());
        let planned = plan(result, tenant, channel, traceparent, config);
        if full && planned.is_some() {
            metrics::counter!("sprachpost_follow_ups_dropped_total").increment(1);
        }
        let planned = planned.filter(|_| !full).map(Box::new);
        Some(self.put(id, Case { latest: at, planned, told }))
    }

    /// Nobody has to ask any more, unless the customer was heard after that.
    pub(super) fn close(&mut self, closed: &CaseClosed) -> Vec<Change> {
        let conversation = closed.channel.as_ref().zip(closed.conversation.as_ref());
        let by_conversation = conversation.map(|(channel, name)| of_conversation(&closed.tenant, channel, name));
        let by_ticket = closed.ticket.as_ref().map(|ticket| {
            let known = self.by_ticket.get(&(closed.tenant.clone(), ticket.clone())).copied();
            known.unwrap_or_else(|| of_ticket(&closed.tenant, ticket))
        });
        let by_note = closed.note_id.map(|note| self.by_note.get(&note).copied().unwrap_or(note.as_uuid()));
        let ids: BTreeSet<Uuid> = [by_conversation, by_ticket, by_note].into_iter().flatten().collect();
        let mut changes = Vec::new();
        for id in ids {
            let known = self.known.get(&id);
            let of_others = known
                .and_then(|case| case.planned.as_ref())
                .is_some_and(|planned| planned.data.tenant != closed.tenant);
            if of_others || known.is_some_and(|case| closed.closed_at < case.latest) {
                continue;
            }
            let told = known.and_then(|case| case.told);
            changes.push(self.put(id, Case { latest: closed.closed_at, planned: None, told }));
        }
        changes
    }

    /// The follow-ups whose time has come, the longest overdue first.
    pub(super) fn due(&self, now: Timestamp, most: usize) -> Vec<(Uuid, Planned)> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(most);
        let planned = |id: &Uuid| self.known.get(id)?.planned.as_deref().cloned();
        due.filter_map(|(_, id)| Some((*id, planned(id)?))).collect()
    }

    /// A follow-up was published.
    pub(super) fn told(&mut self, id: Uuid) -> Option<Change> {
        let case = self.known.get(&id)?;
        let told = case.planned.as_ref().map(|planned| planned.data.note_id).or(case.told);
        let case = Case { latest: case.latest, planned: None, told };
        Some(self.put(id, case))
    }

    /// Forgets what nothing waits for and nobody has spoken of for a while.
    pub(super) fn tidy(&mut self, now: Timestamp, config: &Config) -> Vec<Change> {
        let kept = SignedDuration::from_hours(24 * i64::from(config.remembered_days));
        let is_old = |case: &Case| case.planned.is_none() && now.duration_since(case.latest) > kept;
        let old: Vec<Uuid> = self.known.iter().filter(|(_, case)| is_old(case)).map(|(id, _)| *id).collect();
        old.into_iter()
            .map(|id| {
                self.known.remove(&id);
                Change::removed(format!("{PREFIX}{id}"))
            })
            .collect()
    }

    fn put(&mut self, id: Uuid, case: Case) -> Change {
        let before = self.known.get(&id).and_then(|case| case.planned.as_deref());
        if let Some(FollowUpDue { due_at, note_id, tenant, ticket, .. }) = before.map(|planned| &planned.data) {
            self.due.remove(&(*due_at, id));
            self.by_note.remove(note_id);
            if let Some(ticket) = ticket {
                self.by_ticket.remove(&(tenant.clone(), ticket.clone()));
            }
        }
        if let Some(Planned { data, .. }) = case.planned.as_deref() {
            self.due.insert((data.due_at, id));
            self.by_note.insert(data.note_id, id);
            if let Some(ticket) = &data.ticket {
                self.by_ticket.insert((data.tenant.clone(), ticket.clone()), id);
            }
        }
        let change = Change::of(format!("{PREFIX}{id}"), &case);
        self.known.insert(id, case);
        change
    }
}

fn of_conversation(tenant: &Tenant, channel: &Channel, conversation: &Private) -> Uuid {
    id_of(&["conversation", tenant.as_str(), channel.as_str(), conversation.expose()])
}

fn of_ticket(tenant: &Tenant, ticket: &str) -> Uuid {
    id_of(&["ticket", tenant.as_str(), ticket])
}

fn plan(
    result: &Processed,
    tenant: &Tenant,
    channel: &Channel,
    traceparent: Option<String>,
    config: &Config,
) -> Option<Planned> {
    let follow_up = result.follow_up.as_ref()?;
    let intent = result.understanding.as_ref()?.intent.as_ref()?.name.clone();
    // Where nothing else is said, the window is the channel's usual one.
    let usual = || {
        let hours = config.reply_window_h.get(channel.as_str())?;
        result.sent_at?.checked_add(SignedDuration::from_hours(i64::from(*hours))).ok()
    };
    let data = FollowUpDue {
        note_id: result.note_id,
        tenant: tenant.clone(),
        channel: channel.clone(),
        message_id: result.message_id.clone(),
        conversation: result.conversation.clone(),
        ticket: result.ticket.clone(),
        sender: result.sender.clone(),
        intent,
        language: result.transcript.as_ref().map(|transcript| transcript.language.clone()),
        team: result.route.as_ref().and_then(|route| route.team.clone()),
        sent_at: result.sent_at,
        due_at: follow_up.due_at,
        reply_window_ends_at: result.reply_window_ends_at.or_else(usual),
        reply_window_open: false,
        template: follow_up.template.clone(),
    };
    Some(Planned { data, traceparent })
}
